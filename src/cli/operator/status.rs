//! `kube2iam status [--watch]`

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::socket::{SocketRequest, ask, parameter, path, shown};
use super::{CommandResult, CommandVerdict, Failure, say};
use crate::config::Words;
use crate::logic::base::json::PrintedForm;
use crate::os::clock::SystemClock;
use crate::os::latch::Latch;
use crate::ports::{Clock, Waited};

pub(super) fn run(words: &Words, output: &mut dyn Write) -> CommandResult {
    let look = || {
        let form = words.form();
        let answer =
            ask(path(words), &SocketRequest { method: "GET", path: "/status", parameters: &[parameter(form)] })?;
        let ready = answer.get("ready").and_then(Value::as_bool) == Some(true);
        Ok((shown(&answer, form)?, if ready { CommandVerdict::Good } else { CommandVerdict::Bad }))
    };
    if words.is_on("watch") {
        return watch(words.form(), &look, output);
    }
    let (text, verdict) = look()?;
    say(output, &text)?;
    Ok(verdict)
}

/// Prints the status repeatedly, until a signal or a closed output. Failed queries, such as during an upgrade, don't
/// end it.
fn watch(
    form: PrintedForm,
    look: &dyn Fn() -> Result<(String, CommandVerdict), Failure>,
    output: &mut dyn Write,
) -> CommandResult {
    let clock = SystemClock::new();
    let latch = Latch::new(Arc::new(SystemClock::new()));
    let redraws = form == PrintedForm::Text && std::io::stdout().is_terminal();
    loop {
        let (text, verdict) = match look() {
            Ok(found) => found,
            Err(Failure::Unanswered(cause)) if form == PrintedForm::Text => (cause, CommandVerdict::Bad),
            Err(Failure::Unanswered(_)) => (String::new(), CommandVerdict::Bad),
            Err(other) => return Err(other),
        };
        if redraws {
            say(output, &format!("{CLEAR}{text}"))?;
        } else if !text.is_empty() {
            let gap = if form == PrintedForm::Text { "\n" } else { "" };
            say(output, &format!("{}{gap}", text.trim_end()))?;
        }
        if latch.wait(clock.now().mono.after(LOOK_EVERY)) == Waited::ShutDown {
            return Ok(verdict);
        }
    }
}

const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Cursor home, clear screen (ECMA-48).
const CLEAR: &str = "\x1b[H\x1b[2J";
