//! Dispatches the command line: an operator's command if the first word names one, otherwise the agent.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use crate::agent;
use crate::cli::operator;
use crate::config::{self, Command, EnvironmentLookup, RedirectAsked, UsageError};
use crate::logic::sts::environment::AwsEnvironment;
use crate::redirect::command as redirect_command;

/// Runs the command that the words name, with the process's environment.
pub fn run(words: impl Iterator<Item = OsString>) -> ExitCode {
    let lookup = |name: &str| std::env::var_os(name).and_then(|value| value.into_string().ok());
    match texts(words) {
        Ok(words) => run_words(words, &lookup),
        Err(error) => fail(UsageError::EXIT_CODE, &error),
    }
}

/// The words as texts. One that is not UTF-8 is named by its position and never repeated, since it may be a token.
fn texts(words: impl Iterator<Item = OsString>) -> Result<Vec<String>, String> {
    let text = |(before, word): (usize, OsString)| {
        word.into_string().map_err(|_| format!("failed to read `command line`: word {} is not UTF-8", before + 1))
    };
    words.enumerate().map(text).collect()
}

fn run_words(words: Vec<String>, lookup: EnvironmentLookup<'_>) -> ExitCode {
    if let Some(ended) = operator::run(&words, lookup, &mut std::io::stdout()) {
        return ended.error.map_or_else(|| ExitCode::from(ended.code), |error| fail(ended.code, &error));
    }
    if let Some(error) = config::misnamed(&words) {
        return fail(UsageError::EXIT_CODE, &error.to_string());
    }
    let mut words = words.into_iter().peekable();
    match words.peek().map(String::as_str) {
        Some("redirect") => redirect(words.skip(1)),
        _ => agent(words, lookup),
    }
}

fn agent(words: impl Iterator<Item = String>, lookup: EnvironmentLookup<'_>) -> ExitCode {
    match config::parse(words, lookup) {
        Ok(Command::Help(text) | Command::Version(text)) => say(&text),
        Ok(Command::Run(config)) => match agent::run(*config, &AwsEnvironment::from_lookup(lookup)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(error.exit_code(), &error.to_string()),
        },
        Err(error) => fail(UsageError::EXIT_CODE, &error.to_string()),
    }
}

fn redirect(words: impl Iterator<Item = String>) -> ExitCode {
    match config::parse_redirect(words) {
        Ok(RedirectAsked::Help(text)) => say(&text),
        Ok(RedirectAsked::Do(command)) => {
            let printed = redirect_command::run(&command);
            let _ = std::io::stderr().write_all(printed.errors.as_bytes()); // there is nowhere else to report it
            match std::io::stdout().write_all(printed.output.as_bytes()) {
                Ok(()) => ExitCode::from(printed.exit_code),
                Err(_) => ExitCode::FAILURE,
            }
        }
        Err(error) => fail(UsageError::EXIT_CODE, &error.to_string()),
    }
}

fn say(text: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{}", text.trim_end()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Prints a one-line error.
fn fail(code: u8, message: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "kube2iam: {message}"); // there is nowhere else to report it
    ExitCode::from(code)
}

#[cfg(test)]
mod tests;
