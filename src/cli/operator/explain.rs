//! `kube2iam explain NAMESPACE/POD | ADDRESS`

use std::io::Write;

use super::socket::{SocketRequest, ask, form, path, shown};
use super::{CommandResult, CommandVerdict, Failure, say};
use crate::config::Words;
use crate::logic::operator::explain::Subject;

pub(super) fn run(words: &Words, output: &mut dyn Write) -> CommandResult {
    let subject = words.rest.first().map(String::as_str).unwrap_or_default();
    if Subject::parse(subject).is_none() {
        let shown = subject.escape_debug();
        return Err(Failure::Usage(format!("failed to read `{shown}`: allowed is NAMESPACE/POD or an address")));
    }
    let json = words.is_on("json");
    let question = SocketRequest { method: "GET", path: "/explain", parameters: &[("subject", subject), form(json)] };
    say(output, &shown(&ask(path(words), &question)?, json)?)?;
    Ok(CommandVerdict::Good)
}
