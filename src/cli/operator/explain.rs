//! `kube2iam explain NAMESPACE/POD | ADDRESS`

use std::io::Write;

use super::socket::{SocketRequest, ask, parameter, path, shown};
use super::{CommandResult, CommandVerdict, Failure, say};
use crate::config::Words;
use crate::logic::operator::explain::Subject;

pub(super) fn run(words: &Words, output: &mut dyn Write) -> CommandResult {
    let subject = words.first();
    if Subject::parse(subject).is_none() {
        let shown = subject.escape_debug();
        return Err(Failure::Usage(format!(
            "invalid value `{shown}` for the subject: allowed is NAMESPACE/POD or an address"
        )));
    }
    let form = words.form();
    let question =
        SocketRequest { method: "GET", path: "/explain", parameters: &[("subject", subject), parameter(form)] };
    say(output, &shown(&ask(path(words), &question)?, form)?)?;
    Ok(CommandVerdict::Good)
}
