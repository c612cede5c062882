//! Parses the words after a subcommand according to its row in the table: flags in pflag's syntax (`--flag=value`,
//! `--flag value`, `--switch=false`), anywhere among the positional words.

use super::help;
use super::pflag::{nearest_of, value_of};
use super::subcommands::{Positional, Subcommand};
use super::table::Takes;
use super::usage::UsageError;
use crate::logic::base::json::PrintedForm;

/// What the words after a subcommand ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WordsAsked {
    /// Print this and exit with code 0.
    Help(String),
    Run(Words),
}

/// The words after a subcommand, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// Each occurrence of the subcommand's own flags, with its value
    given: Vec<(&'static str, String)>,
    /// Everything else in order: positional words, or the agent's flags
    pub rest: Vec<String>,
}

impl Words {
    /// The first positional word, or an empty one.
    pub fn first(&self) -> &str {
        self.rest.first().map(String::as_str).unwrap_or_default()
    }

    /// Whether a switch is on. The last occurrence counts.
    pub fn is_on(&self, name: &str) -> bool {
        self.value(name) == Some("true")
    }

    /// The output format: text, or JSON with `--json`.
    pub fn form(&self) -> PrintedForm {
        if self.is_on("json") { PrintedForm::Json } else { PrintedForm::Text }
    }

    /// The value of a flag. The last occurrence counts; an empty value is none.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).last().filter(|value| !value.is_empty())
    }

    /// All values of a flag, in order.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.given.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

/// Parses the words after `command`.
pub fn read_words(command: &'static Subcommand, words: &[String]) -> Result<WordsAsked, UsageError> {
    let mut read = Words::default();
    let mut words = words.iter().cloned();
    let mut behind_dashes = Vec::new();
    while let Some(word) = words.next() {
        if word == "--" && command.takes == Positional::AgentFlagsAfterDashes {
            behind_dashes.extend(words.by_ref());
            break;
        }
        if matches!(word.as_str(), "-h" | "--help") {
            return Ok(WordsAsked::Help(help::of_subcommand(command)));
        }
        let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        let own = name.strip_prefix("--").and_then(|name| command.flags.iter().find(|flag| flag.name == name));
        match own {
            Some(flag) => {
                let takes = flag.value.map_or(Takes::Switch, Takes::Values);
                let value = value_of(flag.name, takes, value, &mut words)?;
                if value.is_empty() {
                    return Err(UsageError::no_value(flag.name));
                }
                read.given.push((flag.name, value));
            }
            None if command.takes != Positional::AgentFlags && word.starts_with('-') && word != "-" => {
                let near = nearest_of(name.trim_start_matches('-'), command.flags.iter().map(|flag| flag.name));
                return Err(UsageError::unknown(name, near));
            }
            None => read.rest.push(word),
        }
    }
    let (least, most) = match command.takes {
        Positional::Nothing | Positional::AgentFlagsAfterDashes => (0, 0),
        Positional::AtMostOne => (0, 1),
        Positional::One => (1, 1),
        Positional::Actions(actions) => match read.first() {
            word if actions.contains(&word) => (1, 1),
            other => {
                let near = nearest_of(other, actions.iter().copied()).filter(|_| !other.is_empty());
                return Err(UsageError::no_action(command.word, actions, near));
            }
        },
        Positional::AgentFlags => (0, usize::MAX),
    };
    match read.rest.len() {
        count if count < least => Err(UsageError::missing_word(command.word, command.arguments)),
        count if count > most => Err(UsageError::stray_word(command.word)),
        _ => {
            read.rest.append(&mut behind_dashes);
            Ok(WordsAsked::Run(read))
        }
    }
}

#[cfg(test)]
mod tests;
