//! `kube2iam status`

use std::io::Write;
use std::path::PathBuf;

use argh::FromArgs;

use super::socket::{Question, ask, form, shown};
use super::{Outcome, Verdict, say, words};

/// Tells how the agent on this node is.
#[derive(FromArgs)]
struct Words {
    /// print one JSON object
    #[argh(switch)]
    json: bool,
    /// the agent's control socket (default /run/kube2iam/control.sock)
    #[argh(option, default = "words::SOCKET.into()")]
    socket: PathBuf,
}

pub(super) fn run(words: &[String], output: &mut dyn Write) -> Outcome {
    let Words { json, socket } = words::read("status", words)?;
    let answer = ask(&socket, &Question { method: "GET", path: "/status", parameters: &[form(json)] })?;
    say(output, &shown(&answer, json)?)?;
    Ok(Verdict::Good)
}
