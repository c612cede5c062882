//! The words after a subcommand: argh's, and the form `--flag=value` besides.

use argh::FromArgs;

use super::Failure;

/// Reads the words of `command`.
pub(super) fn read<T: FromArgs>(command: &str, words: &[String]) -> Result<T, Failure> {
    let words: Vec<&str> = words.iter().flat_map(|word| split(word)).collect();
    T::from_args(&["kube2iam", command], &words).map_err(|exit| match exit.status {
        Ok(()) => Failure::Help(exit.output),
        Err(()) => {
            let cause: Vec<&str> = exit.output.split_whitespace().take(MOST_SHOWN).collect();
            Failure::Usage(format!("failed to read the words after `{command}`: {}", cause.join(" ")))
        }
    })
}

fn split(word: &str) -> impl Iterator<Item = &str> {
    let (first, second) = match word.split_once('=') {
        Some((flag, value)) if flag.starts_with("--") => (flag, Some(value)),
        _ => (word, None),
    };
    std::iter::once(first).chain(second)
}

/// Words of argh's that an error repeats.
const MOST_SHOWN: usize = 40;
/// The flag's default.
pub(super) const SOCKET: &str = "/run/kube2iam/control.sock";
