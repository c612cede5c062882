//! `kube2iam status`

use std::io::Write;

use super::socket::{SocketRequest, ask, parameter, path, shown};
use super::{CommandResult, CommandVerdict, say};
use crate::config::Words;

pub(super) fn run(words: &Words, output: &mut dyn Write) -> CommandResult {
    let form = words.form();
    let answer = ask(path(words), &SocketRequest { method: "GET", path: "/status", parameters: &[parameter(form)] })?;
    say(output, &shown(&answer, form)?)?;
    Ok(CommandVerdict::Good)
}
