//! Takes the command line up and gives the exit code back. No logic.

use std::process::ExitCode;

use kube2iam::cli::command;
use kube2iam::config::UsageError;

fn main() -> ExitCode {
    let lookup = |name: &str| std::env::var_os(name).and_then(|value| value.into_string().ok());
    let mut words = Vec::new();
    for word in std::env::args_os().skip(1) {
        match word.into_string() {
            Ok(word) => words.push(word),
            Err(word) => {
                return command::fail(UsageError::EXIT_CODE, &format!("`{}` is not UTF-8", word.to_string_lossy()));
            }
        }
    }
    command::run(words, &lookup)
}
