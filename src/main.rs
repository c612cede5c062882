//! Passes the command line to [`kube2iam::run`] and returns its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    kube2iam::run(std::env::args_os().skip(1))
}
