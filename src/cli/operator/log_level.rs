//! `kube2iam log-level [LEVEL]`

use std::io::Write;
use std::path::PathBuf;

use argh::FromArgs;
use serde_json::Value;

use super::socket::{SocketRequest, ask};
use super::{CommandResult, CommandVerdict, Failure, say, words};
use crate::config::{log_level, log_levels};

/// Tells how much the agent logs, or changes it until the agent ends.
#[derive(FromArgs)]
struct LogLevelArguments {
    /// error, warn, info, debug or trace
    #[argh(positional)]
    level: Option<String>,
    /// the agent's control socket (default /run/kube2iam/control.sock)
    #[argh(option, default = "words::SOCKET.into()")]
    socket: PathBuf,
}

pub(super) fn run(words: &[String], output: &mut dyn Write) -> CommandResult {
    let LogLevelArguments { level, socket } = words::read("log-level", words)?;
    if let Some(word) = level.as_deref().filter(|word| log_level(word).is_none()) {
        let shown = word.escape_debug();
        return Err(Failure::Usage(format!("failed to read `{shown}`: allowed is {}", log_levels())));
    }
    let parameter = level.as_deref().map(|level| ("level", level));
    let method = if parameter.is_some() { "POST" } else { "GET" };
    let answer = ask(&socket, &SocketRequest { method, path: "/log-level", parameters: parameter.as_slice() })?;
    say(output, answer.get("level").and_then(Value::as_str).unwrap_or_default())?;
    Ok(CommandVerdict::Good)
}
