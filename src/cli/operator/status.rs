//! `kube2iam status`

use std::io::Write;
use std::path::PathBuf;

use argh::FromArgs;

use super::socket::{SocketRequest, ask, form, shown};
use super::{CommandResult, CommandVerdict, say, words};

/// Tells how the agent on this node is.
#[derive(FromArgs)]
struct StatusArguments {
    /// print one JSON object
    #[argh(switch)]
    json: bool,
    /// the agent's control socket (default /run/kube2iam/control.sock)
    #[argh(option, default = "words::SOCKET.into()")]
    socket: PathBuf,
}

pub(super) fn run(words: &[String], output: &mut dyn Write) -> CommandResult {
    let StatusArguments { json, socket } = words::read("status", words)?;
    let answer = ask(&socket, &SocketRequest { method: "GET", path: "/status", parameters: &[form(json)] })?;
    say(output, &shown(&answer, json)?)?;
    Ok(CommandVerdict::Good)
}
