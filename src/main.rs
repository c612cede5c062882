//! Takes the command line up and gives the exit code back. No logic.

use std::process::ExitCode;

fn main() -> ExitCode {
    kube2iam::run(std::env::args_os().skip(1))
}
