//! `kube2iam explain NAMESPACE/POD | ADDRESS`

use std::io::Write;
use std::path::PathBuf;

use argh::FromArgs;

use super::socket::{Question, ask, read};
use super::{Failure, Outcome, Verdict, say, words};
use crate::logic::explain::{Explanation, Subject};

/// Tells step by step which role a pod gets now, or why none.
#[derive(FromArgs)]
struct Words {
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

pub(super) fn run(words: &[String], output: &mut dyn Write) -> Outcome {
    let Words { subject, json, socket } = words::read("explain", words)?;
    if Subject::parse(&subject).is_none() {
        let shown = subject.escape_debug();
        return Err(Failure::Usage(format!("failed to read `{shown}`: allowed is NAMESPACE/POD or an address")));
    }
    let question = Question { method: "GET", path: "/explain", parameter: Some(("subject", &subject)) };
    let answer = ask(&socket, &question)?;
    if json {
        say(output, &answer.to_string())?;
        return Ok(Verdict::Good);
    }
    let explanation: Explanation = read(&answer)?;
    say(output, &explanation.text(&subject))?;
    Ok(Verdict::Good)
}
