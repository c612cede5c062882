//! `kube2iam state-dir PATH`

use std::io::Write;
use std::path::Path;

use super::{CommandResult, CommandVerdict, Failure, say};
use crate::config::Words;
use crate::os::state_dir::StateDir;

pub(super) fn run(words: &Words, output: &mut dyn Write) -> CommandResult {
    let path = Path::new(words.first());
    StateDir::prepare(path).map_err(|cause| {
        Failure::Unanswered(format!("failed to prepare state directory `{}`: {cause}", path.display()))
    })?;
    let group = rustix::process::getegid().as_raw();
    say(output, &format!("`{}` is open to root and to group {group}", path.display()))?;
    Ok(CommandVerdict::Good)
}
