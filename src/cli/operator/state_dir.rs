//! `kube2iam state-dir PATH`

use std::io::Write;
use std::path::PathBuf;

use argh::FromArgs;

use super::{CommandResult, CommandVerdict, Failure, say, words};
use crate::os::state_dir::StateDir;

/// Prepares a directory for --state-dir that agents of several users can use: makes it if need be, and opens it to the
/// group under which this runs. Must run as root, with the group of the agents; needs no capability.
#[derive(FromArgs)]
struct StateDirArguments {
    /// the directory
    #[argh(positional)]
    path: PathBuf,
}

pub(super) fn run(words: &[String], output: &mut dyn Write) -> CommandResult {
    let StateDirArguments { path } = words::read("state-dir", words)?;
    StateDir::prepare(&path).map_err(|cause| {
        Failure::Unanswered(format!("failed to prepare state directory `{}`: {cause}", path.display()))
    })?;
    let group = rustix::process::getegid().as_raw();
    say(output, &format!("`{}` is open to root and to group {group}", path.display()))?;
    Ok(CommandVerdict::Good)
}
