//! Parse, build, run, exit code. No logic.

use std::io::Write;
use std::process::ExitCode;

use kube2iam::config::{self, Command, UsageError};
use kube2iam::daemon;
use kube2iam::logic::aws_environment::AwsEnvironment;
use kube2iam::operator;

fn main() -> ExitCode {
    let lookup = |name: &str| std::env::var_os(name).and_then(|value| value.into_string().ok());
    let mut words = Vec::new();
    for word in std::env::args_os().skip(1) {
        match word.into_string() {
            Ok(word) => words.push(word),
            Err(word) => return fail(UsageError::EXIT_CODE, &format!("`{}` is not UTF-8", word.to_string_lossy())),
        }
    }
    if let Some(ended) = operator::run(&words, &lookup, &mut std::io::stdout()) {
        return ended.error.map_or_else(|| ExitCode::from(ended.code), |error| fail(ended.code, &error));
    }
    match config::parse(words.into_iter(), &lookup) {
        Ok(Command::Help(text) | Command::Version(text)) => say(&text),
        Ok(Command::Run(config)) => match daemon::run(*config, &AwsEnvironment::from_lookup(&lookup)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(1, &error.to_string()),
        },
        Err(error) => fail(UsageError::EXIT_CODE, &error.to_string()),
    }
}

fn say(text: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{}", text.trim_end()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "kube2iam: {message}"); // nobody is left to tell
    ExitCode::from(code)
}
