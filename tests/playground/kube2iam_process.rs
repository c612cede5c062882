//! The other process of the playground: kube2iam itself, agent or command, out of the library that this program was
//! linked with. No other file has to be built, and none that an earlier build left can take its place.

use std::ffi::OsString;
use std::process::ExitCode;

use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

/// The first word of a command line that stands for kube2iam.
pub const WORD: &str = "kube2iam";

/// Runs kube2iam with these words in this process, until it ends. It doesn't outlive the process that started it.
pub fn run(words: Vec<String>) -> ExitCode {
    let _ = set_parent_process_death_signal(Some(Signal::TERM));
    if let Err(cause) = leave_the_network_alone() {
        crate::say_why(&format!("failed to give up the right to change this machine's network: {cause}"));
        return ExitCode::FAILURE;
    }
    kube2iam::run(words.into_iter().map(OsString::from))
}

/// Started by root, the agent would set 169.254.170.2 up on this machine itself, for pods that there aren't.
fn leave_the_network_alone() -> rustix::io::Result<()> {
    let held = capabilities(None)?;
    let kept = |set: CapabilitySet| set - CapabilitySet::NET_ADMIN;
    let kept = CapabilitySets {
        effective: kept(held.effective),
        permitted: kept(held.permitted),
        inheritable: kept(held.inheritable),
    };
    set_capabilities(None, kept)
}
