//! Errors of a command line: one line that names the flag, the value and what is allowed. The value of an unknown flag
//! and a positional word are never repeated, since either may be a token.

use std::fmt::{self, Display};

use super::values::listed;

/// An invalid command line. Printed as it is; the process then exits with [`UsageError::EXIT_CODE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError(String);

impl UsageError {
    /// `EX_USAGE` of sysexits.h
    pub const EXIT_CODE: u8 = 64;

    /// An invalid value of a flag or an environment variable.
    pub(super) fn value(name: &str, value: &str, allowed: impl Display) -> Self {
        Self(format!("invalid value `{}` for `{name}`: allowed is {allowed}", shown(value)))
    }

    /// A flag without its value.
    pub(super) fn no_value(name: &str) -> Self {
        Self(format!("failed to read `--{name}`: a value must follow it"))
    }

    /// An unknown flag; `nearest` is a suggestion.
    pub(super) fn unknown(word: &str, nearest: Option<&str>) -> Self {
        let hint = match nearest {
            Some(name) => format!("did you mean `--{name}`?"),
            None => ALLOWED.to_owned(),
        };
        Self(format!("failed to read `{}`: no such flag; {hint}", shown(word)))
    }

    /// An unknown command; `nearest` is a suggestion.
    pub(super) fn no_command(nearest: Option<&str>) -> Self {
        let hint = nearest.map_or_else(|| ALLOWED.to_owned(), |word| format!("did you mean `{word}`?"));
        Self(format!("failed to read the first word: no such command; {hint}"))
    }

    /// A subcommand without its argument.
    pub(super) fn missing_word(command: &str, arguments: &str) -> Self {
        Self(format!("failed to read `{command}`: it needs {arguments}; `kube2iam {command} --help` shows how"))
    }

    /// A subcommand without a valid action; `nearest` is a suggestion.
    pub(super) fn no_action(command: &str, actions: &[&str], nearest: Option<&str>) -> Self {
        Self(match nearest {
            Some(word) => format!("failed to read the word after `{command}`: no such command; did you mean `{word}`?"),
            None => format!("failed to read `{command}`: {} must follow it", listed(actions)),
        })
    }

    /// Too many arguments for the subcommand.
    pub(super) fn stray_word(command: &str) -> Self {
        Self(format!("failed to read `{command}`: one word too many; `kube2iam {command} --help` shows how"))
    }

    /// Flags that exclude or require each other.
    pub(super) fn contradiction(first: impl Display, cause: impl Display) -> Self {
        Self(format!("failed to use `{first}`: {cause}"))
    }

    /// Neither flags nor environment variables name an API server. `lone` is one of two flags that need each other, given
    /// alone, and the missing one.
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

    /// An error of argh that no single value causes.
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

/// A value on one line, truncated.
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
mod tests;
