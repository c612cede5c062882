//! `kube2iam log-level [LEVEL]`

use std::io::Write;

use serde_json::Value;

use super::socket::{SocketRequest, ask, path};
use super::{CommandResult, CommandVerdict, Failure, say};
use crate::config::{Words, log_level, log_levels};
use crate::logic::base::json::{self, PrintedForm};

pub(super) fn run(words: &Words, output: &mut dyn Write) -> CommandResult {
    let level = words.rest.first().map(String::as_str);
    if let Some(word) = level.filter(|word| log_level(word).is_none()) {
        let shown = word.escape_debug();
        return Err(Failure::Usage(format!("invalid value `{shown}` for the level: allowed is {}", log_levels())));
    }
    let parameter = level.map(|level| ("level", level));
    let method = if parameter.is_some() { "POST" } else { "GET" };
    let answer = ask(path(words), &SocketRequest { method, path: "/log-level", parameters: parameter.as_slice() })?;
    let text = match words.form() {
        PrintedForm::Json => json::text(&answer),
        PrintedForm::Text => answer.get("level").and_then(Value::as_str).unwrap_or_default().to_owned(),
    };
    say(output, &text)?;
    Ok(CommandVerdict::Good)
}
