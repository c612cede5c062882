//! `kube2iam status`

use std::io::Write;

use super::socket::{SocketRequest, ask, form, path, shown};
use super::{CommandResult, CommandVerdict, say};
use crate::config::Words;

pub(super) fn run(words: &Words, output: &mut dyn Write) -> CommandResult {
    let json = words.is_on("json");
    let answer = ask(path(words), &SocketRequest { method: "GET", path: "/status", parameters: &[form(json)] })?;
    say(output, &shown(&answer, json)?)?;
    Ok(CommandVerdict::Good)
}
