//! The operator's commands: `kube2iam explain`, `status` and `log-level` query the running agent over its control
//! socket; `doctor` and `compare` run checks themselves; `state-dir` prepares a directory; `manifests` prints the
//! manifests that install the agent. Each prints text, or JSON with `--json`.

mod compare;
mod doctor;
mod explain;
mod log_level;
mod manifests;
mod socket;
mod state_dir;
mod status;

#[cfg(test)]
mod tests;

use std::io::Write;

use crate::config::{self, EnvironmentLookup, SUBCOMMANDS, UsageError, Words, WordsAsked, read_words};

/// The result of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub code: u8,
    /// For standard error, one line
    pub error: Option<String>,
}

/// Why a command has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Failure {
    /// The command line is invalid.
    Usage(String),
    /// The agent or server gave no usable response.
    Unanswered(String),
    /// Help was requested; this is its text.
    Help(String),
}

/// The finding of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CommandVerdict {
    Good,
    /// There is a problem to fix.
    Bad,
}

type CommandResult = Result<CommandVerdict, Failure>;

/// Runs the command that the first word names; `None` if it names none.
pub fn run(words: &[String], lookup: EnvironmentLookup<'_>, output: &mut dyn Write) -> Option<Ended> {
    let (first, rest) = words.split_first()?;
    let command = SUBCOMMANDS.iter().find(|command| command.word == first && command.word != "redirect")?;
    let outcome = match read_words(command, rest) {
        Err(error) => Err(Failure::Usage(error.to_string())),
        Ok(WordsAsked::Help(text)) => Err(Failure::Help(text)),
        Ok(WordsAsked::Run(words)) => match command.word {
            "explain" => explain::run(&words, output),
            "status" => status::run(&words, output),
            "log-level" => log_level::run(&words, output),
            "state-dir" => state_dir::run(&words, output),
            "manifests" => manifests::run(&words, output),
            "compare" => compare::run(&words, lookup, output),
            "completion" => print(output, &config::completion(words.first()).unwrap_or_default()),
            "help" => help(&words, output),
            "version" => print(output, &config::BUILD.line()),
            _ => doctor::run(&words, lookup, output),
        },
    };
    let ended = |code, error| Ended { code, error };
    Some(match outcome {
        Ok(CommandVerdict::Good) => ended(0, None),
        Ok(CommandVerdict::Bad) => ended(EXIT_BAD, None),
        Err(Failure::Usage(error)) => ended(UsageError::EXIT_CODE, Some(error)),
        Err(Failure::Unanswered(error)) => ended(EXIT_BAD, Some(error)),
        Err(Failure::Help(text)) => say(output, &text).map_or(ended(EXIT_BAD, None), |()| ended(0, None)),
    })
}

fn help(words: &Words, output: &mut dyn Write) -> CommandResult {
    let asked = Some(words.first()).filter(|word| !word.is_empty());
    match config::help_of(asked) {
        Some(text) => print(output, &text),
        None => Err(Failure::Usage(
            "failed to read the word after `help`: no such command; `kube2iam --help` lists them".to_owned(),
        )),
    }
}

fn print(output: &mut dyn Write, text: &str) -> CommandResult {
    say(output, text).map(|()| CommandVerdict::Good)
}

/// Prints a text. A closed output isn't worth an error message.
fn say(output: &mut dyn Write, text: &str) -> Result<(), Failure> {
    let printed = writeln!(output, "{}", text.trim_end()).and_then(|()| output.flush());
    printed.map_err(|cause| Failure::Unanswered(format!("failed to write the answer: {cause}")))
}

const EXIT_BAD: u8 = 1;
