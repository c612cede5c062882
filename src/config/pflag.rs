//! The pre-pass: converts the syntax of Go's pflag to the plain words that argh accepts, and turns an error of argh into
//! one that names the flag.
//!
//! `--flag=value`, `--flag value`, `--bool`, `--bool=false`. The last occurrence counts; lists accumulate; `--` ends the
//! flags; flags may follow positional words. A boolean never takes the next word. `-h` and `--help` take precedence over
//! later errors, not over earlier ones.

use argh::{ArgsInfo, FromArgs};

use super::table::{Flag, Takes};
use super::usage::{UsageError, shown};

/// What the flags ask for.
#[cfg_attr(test, derive(Debug, PartialEq, Eq))]
pub(super) enum Invocation<'a> {
    Help,
    Run(CommandLine<'a>),
}

/// The command line after the pre-pass: each flag once, except lists.
#[cfg_attr(test, derive(Debug, PartialEq, Eq))]
pub(super) struct CommandLine<'a> {
    flags: &'a [Flag],
    /// What was typed: index into `flags`, and value. Each entry of a list is separate.
    values: Vec<(usize, String)>,
    pub(super) warnings: Vec<String>,
}

/// An invalid value, and its position among the typed ones.
pub(super) struct ValueError {
    pub(super) place: usize,
    pub(super) error: UsageError,
}

/// Parses `args`, without the program's name, according to the table of flags.
pub(super) fn pre_pass<'a>(
    flags: &'a [Flag],
    args: &mut dyn Iterator<Item = String>,
) -> Result<Invocation<'a>, UsageError> {
    let mut line = CommandLine { flags, values: Vec::new(), warnings: Vec::new() };
    let mut place = "before the first flag".to_owned();
    while let Some(word) = args.next() {
        if word == "--" {
            args.for_each(|_| line.warn_of_stray("after `--`"));
            break;
        }
        if !word.starts_with('-') || word == "-" {
            line.warn_of_stray(&place);
            continue;
        }
        let (name, value) = split(&word, flags)?;
        if name == HELP {
            return Ok(Invocation::Help);
        }
        let Some(index) = flags.iter().position(|flag| flag.name == name) else {
            if name == GONE {
                return Err(UsageError::contradiction("--shadow", NOW_A_COMMAND));
            }
            return Err(UsageError::unknown(&format!("--{name}"), nearest(name, flags)));
        };
        line.take(index, value, args)?;
        place = format!("after `--{name}`");
    }
    Ok(Invocation::Run(line))
}

impl<'a> CommandLine<'a> {
    /// The same command line for another table. Flags that only that table has count as not typed.
    pub(super) fn for_table<'b>(self, flags: &'b [Flag]) -> CommandLine<'b> {
        let place = |index: usize| flags.iter().position(|flag: &'b Flag| flag.name == self.flags[index].name);
        let values = self.values.into_iter().filter_map(|(index, value)| Some((place(index)?, value)));
        CommandLine { flags, values: values.collect(), warnings: self.warnings }
    }

    /// Whether a boolean was typed and is on.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.typed(name).is_some_and(|value| value == "true")
    }

    pub(super) fn is_typed(&self, name: &str) -> bool {
        self.typed(name).is_some()
    }

    /// `--flag=value` for a message, with the typed value or else the default.
    pub(super) fn shown(&self, name: &str) -> String {
        let preset = || self.flags.iter().find(|flag| flag.name == name).and_then(Flag::preset);
        format!("--{name}={}", shown(self.typed(name).or_else(preset).unwrap_or_default()))
    }

    /// The value that was typed for a flag, or the first of several.
    fn typed(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(index, _)| self.flags[*index].name == name).map(|(_, value)| value.as_str())
    }

    /// Parses one group of flags with argh: the typed values, and the defaults of the rest.
    pub(super) fn read<T: FromArgs + ArgsInfo>(&self) -> Result<T, ValueError> {
        let words = self.words(T::get_args_info().description);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        T::from_args(&["kube2iam"], &words).map_err(|exit| self.value_error(&exit.output))
    }

    /// Finds the value that argh rejected: `Error parsing option '--FLAG' with value 'VALUE': ALLOWED`.
    fn value_error(&self, output: &str) -> ValueError {
        let mut values = self.values.iter().enumerate();
        let found = values.find_map(|(place, (index, value))| {
            let flag = format!("--{}", self.flags[*index].name);
            let allowed = output.strip_prefix(&format!("Error parsing option '{flag}' with value '{value}': "))?;
            Some(ValueError { place, error: UsageError::value(&flag, value, allowed.trim_end()) })
        });
        found.unwrap_or_else(|| ValueError { place: usize::MAX, error: UsageError::command_line(output) })
    }

    fn take(
        &mut self,
        index: usize,
        value: Option<&str>,
        rest: &mut dyn Iterator<Item = String>,
    ) -> Result<(), UsageError> {
        let Flag { name, takes, .. } = self.flags[index];
        let value = value_of(name, takes, value, rest)?;
        if matches!(takes, Takes::List(_)) {
            let entries = value.split(',').map(str::trim).filter(|entry| !entry.is_empty());
            self.values.extend(entries.map(|entry| (index, entry.to_owned())));
            return Ok(());
        }
        let earlier = self.values.iter_mut().find(|(known, _)| *known == index);
        match (takes, earlier) {
            (Takes::Values(_), _) | (_, None) => self.values.push((index, value)),
            (_, Some((_, earlier))) => *earlier = value,
        }
        Ok(())
    }

    /// One group's words for argh, with defaults filled in.
    fn words(&self, group: &str) -> Vec<String> {
        let typed = self.values.iter().map(|(index, value)| (&self.flags[*index], value.as_str()));
        let typed = typed.filter(|(flag, value)| !(value.is_empty() && flag.treats_empty_as_unset()));
        let untyped = self.flags.iter().filter(|flag| !self.is_typed(flag.name));
        let presets = untyped.filter_map(|flag| Some((flag, flag.preset()?)));
        let of_group = typed.chain(presets).filter(|(flag, _)| flag.group == group && flag.name != HELP);
        let mut words = Vec::new();
        for (flag, value) in of_group {
            match (flag.takes, value) {
                (Takes::Switch, "true") => words.push(format!("--{}", flag.name)),
                (Takes::Switch, _) => {}
                _ => words.extend([format!("--{}", flag.name), value.to_owned()]),
            }
        }
        words
    }

    /// kube2iam ignores positional words; usually they are a mistake.
    fn warn_of_stray(&mut self, place: &str) {
        self.warnings
            .push(format!("ignoring a word {place}: it belongs to no flag (a boolean is written `--flag=false`)"));
    }
}

/// Splits a word that begins with a dash into the flag's name and the value after `=`.
fn split<'w>(word: &'w str, flags: &[Flag]) -> Result<(&'w str, Option<&'w str>), UsageError> {
    let (long, value) = match word.split_once('=') {
        Some((long, value)) => (long, Some(value)),
        None => (word, None),
    };
    match long.strip_prefix("--") {
        _ if long == "-h" => Ok((HELP, None)),
        Some(name) if !name.is_empty() && !name.starts_with('-') => Ok((name, value)),
        _ => Err(UsageError::unknown(long, nearest(long.trim_start_matches('-'), flags))),
    }
}

/// A flag's value: after the `=`, else for a boolean `true`, else the next word.
pub(super) fn value_of(
    name: &str,
    takes: Takes,
    written: Option<&str>,
    rest: &mut dyn Iterator<Item = String>,
) -> Result<String, UsageError> {
    match (takes, written) {
        (Takes::Switch | Takes::Bool, written) => boolean(name, written.unwrap_or("true")).map(|on| on.to_string()),
        (_, Some(written)) => Ok(written.to_owned()),
        (_, None) => rest.next().ok_or_else(|| UsageError::no_value(name)),
    }
}

/// The values of Go's `strconv.ParseBool`.
fn boolean(name: &str, value: &str) -> Result<bool, UsageError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(UsageError::value(&format!("--{name}"), value, "true or false")),
    }
}

/// The flag that `name` is most likely a typo of.
fn nearest(name: &str, flags: &[Flag]) -> Option<&'static str> {
    nearest_of(name, flags.iter().map(|flag| flag.name))
}

/// The word that `name` is most likely a typo of.
pub(super) fn nearest_of(name: &str, words: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let near = words.map(|word| (distance(name, word), word));
    near.filter(|(distance, _)| *distance <= FARTHEST_TYPO).min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// The Levenshtein distance.
pub(super) fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, letter) in left.chars().take(LONGEST_NAME).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in right.iter().enumerate() {
            let exchanged = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

const HELP: &str = "help";
const GONE: &str = "shadow";
const NOW_A_COMMAND: &str =
    "comparing is a command of its own now: `kube2iam compare --theirs=URL`, with the agent's flags";
/// Two wrong letters are a typo, three are another word.
const FARTHEST_TYPO: usize = 2;
/// No flag is as long; the rest of a longer name is ignored.
const LONGEST_NAME: usize = 64;
