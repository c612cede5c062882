//! `kube2iam status`

use std::io::Write;
use std::path::PathBuf;

use argh::FromArgs;

use super::socket::{Question, ask, read};
use super::{Outcome, Verdict, say, words};
use crate::logic::status::Status;

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
    let answer = ask(&socket, &Question { method: "GET", path: "/status", parameter: None })?;
    if json {
        say(output, &answer.to_string())?;
        return Ok(Verdict::Good);
    }
    let status: Status = read(&answer)?;
    say(output, &status.text())?;
    Ok(Verdict::Good)
}
