//! What is wrong with a command line: one line that names the flag, the value and what is allowed.
//! The value of a flag that isn't known, and a word that belongs to no flag, are never repeated: either may be a token.

use std::fmt::{self, Display};

use super::values::listed;

/// A command line that can't be followed. Printed as it is; the process then ends with [`UsageError::EXIT_CODE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError(String);

impl UsageError {
    /// `EX_USAGE` of sysexits.h
    pub const EXIT_CODE: u8 = 64;

    /// A flag or a variable whose value is none of what is allowed.
    pub(super) fn value(name: &str, value: &str, allowed: impl Display) -> Self {
        Self(format!("invalid value `{}` for `{name}`: allowed is {allowed}", shown(value)))
    }

    /// A flag without the value that must follow it.
    pub(super) fn no_value(name: &str) -> Self {
        Self(format!("failed to read `--{name}`: a value must follow it"))
    }

    /// A word that looks like a flag and is none; `nearest` is what may have been meant.
    pub(super) fn unknown(word: &str, nearest: Option<&str>) -> Self {
        let hint = match nearest {
            Some(name) => format!("did you mean `--{name}`?"),
            None => ALLOWED.to_owned(),
        };
        Self(format!("failed to read `{}`: no such flag; {hint}", shown(word)))
    }

    /// A first word that is no flag and no command; `nearest` is what may have been meant.
    pub(super) fn no_command(nearest: Option<&str>) -> Self {
        let hint = nearest.map_or_else(|| ALLOWED.to_owned(), |word| format!("did you mean `{word}`?"));
        Self(format!("failed to read the first word: no such command; {hint}"))
    }

    /// A subcommand without the word that it is about.
    pub(super) fn missing_word(command: &str, arguments: &str) -> Self {
        Self(format!("failed to read `{command}`: it needs {arguments}; `kube2iam {command} --help` shows how"))
    }

    /// A subcommand without one of the words that may follow it; `nearest` is what may have been meant.
    pub(super) fn no_action(command: &str, actions: &[&str], nearest: Option<&str>) -> Self {
        Self(match nearest {
            Some(word) => format!("failed to read the word after `{command}`: no such command; did you mean `{word}`?"),
            None => format!("failed to read `{command}`: {} must follow it", listed(actions)),
        })
    }

    /// More words than the subcommand takes.
    pub(super) fn stray_word(command: &str) -> Self {
        Self(format!("failed to read `{command}`: one word too many; `kube2iam {command} --help` shows how"))
    }

    /// Things that can't be had together, or not without another.
    pub(super) fn contradiction(first: impl Display, cause: impl Display) -> Self {
        Self(format!("failed to use `{first}`: {cause}"))
    }

    /// No way to the API server: neither flags nor variables name one. One of the two flags may have been given alone.
    pub(super) fn no_api_server(lone: Option<(&str, &str)>) -> Self {
        let cause = "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not both set, as they are in a pod";
        Self(match lone {
            Some((given, missing)) => format!(
                "failed to use `{given}`: {missing} must come with it, and there is no service account to use instead: \
                 {cause}"
            ),
            None => format!(
                "failed to find an API server: {cause}; allowed is --kubeconfig, or --api-server with --api-token"
            ),
        })
    }

    /// What argh has against a command line that the pre-pass let through.
    pub(super) fn command_line(cause: &str) -> Self {
        let cause: Vec<&str> = cause.split_whitespace().collect();
        Self(format!("failed to read `command line`: {}", cause.join(" ")))
    }
}

impl Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// A value on one line, cut where it gets long.
pub(super) fn shown(value: &str) -> String {
    let mut shown: String = value.chars().take(LONGEST_SHOWN).flat_map(char::escape_debug).collect();
    if value.chars().nth(LONGEST_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

const ALLOWED: &str = "`--help` lists what is allowed";
/// How many characters of a value an error repeats: enough for a role ARN of the usual length.
const LONGEST_SHOWN: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_and_never_long() {
        let long = "é\n".repeat(1_000);
        let error = UsageError::value("--node", &long, "a name").to_string();
        assert!(!error.contains('\n') && error.len() < 400, "{error}");
        assert!(error.ends_with("…` for `--node`: allowed is a name"));
    }
}
