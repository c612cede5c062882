//! `kube2iam explain NAMESPACE/POD | ADDRESS`

use std::io::Write;
use std::path::PathBuf;

use argh::FromArgs;

use super::socket::{SocketRequest, ask, form, shown};
use super::{CommandResult, CommandVerdict, Failure, say, words};
use crate::logic::operator::explain::Subject;

/// Tells step by step which role a pod gets now, or why none.
#[derive(FromArgs)]
struct ExplainArguments {
    /// NAMESPACE/POD, or the address of a pod of this node
    #[argh(positional)]
    subject: String,
    /// print one JSON object
    #[argh(switch)]
    json: bool,
    /// the agent's control socket (default /run/kube2iam/control.sock)
    #[argh(option, default = "words::SOCKET.into()")]
    socket: PathBuf,
}

pub(super) fn run(words: &[String], output: &mut dyn Write) -> CommandResult {
    let ExplainArguments { subject, json, socket } = words::read("explain", words)?;
    if Subject::parse(&subject).is_none() {
        let shown = subject.escape_debug();
        return Err(Failure::Usage(format!("failed to read `{shown}`: allowed is NAMESPACE/POD or an address")));
    }
    let question = SocketRequest { method: "GET", path: "/explain", parameters: &[("subject", &subject), form(json)] };
    say(output, &shown(&ask(&socket, &question)?, json)?)?;
    Ok(CommandVerdict::Good)
}
