//! The second process of the playground: the agent itself.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use rustix::process::{Signal, set_parent_process_death_signal};

/// The agent's own file.
pub fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    let binary = own.parent().and_then(|examples| examples.parent()).map(|target| target.join("kube2iam"));
    binary.expect("cargo puts examples two levels deep")
}

/// Runs the agent with these flags in this process, until it ends. It doesn't outlive the playground, however that ends.
pub fn run(flags: Vec<String>) -> ExitCode {
    let _ = set_parent_process_death_signal(Some(Signal::TERM));
    let binary = binary();
    let cause = Command::new(&binary).args(flags).exec();
    crate::page::Page::stderr().line(&format!("failed to start `{}`: {cause}", binary.display()));
    ExitCode::FAILURE
}
