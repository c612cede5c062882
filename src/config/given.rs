//! A value of the typed command line that still knows its flag, so that whoever reads it can refuse it by name.

use std::convert::Infallible;
use std::str::FromStr;

use super::usage::{UsageError, shown};

/// What was given for a flag. It may be a token, hence no `Debug`.
#[derive(Clone)]
pub(super) struct Given {
    flag: String,
    value: String,
    source: ValueSource,
}

/// Where a value comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueSource {
    Typed,
    /// The flag's default
    Preset,
}

impl Given {
    pub(super) fn as_str(&self) -> &str {
        &self.value
    }

    /// Whether it was typed, rather than taken from the flag's default.
    pub(super) fn is_typed(&self) -> bool {
        self.source == ValueSource::Typed
    }

    /// Makes something of the value; `allowed` says what would have been possible.
    pub(super) fn read<T>(&self, allowed: &str, reader: impl FnOnce(&str) -> Option<T>) -> Result<T, UsageError> {
        reader(&self.value).ok_or_else(|| self.refuse(allowed))
    }

    pub(super) fn refuse(&self, allowed: &str) -> UsageError {
        UsageError::value(&format!("--{}", self.flag), &self.value, allowed)
    }

    /// A refusal for another reason than the value alone.
    pub(super) fn conflict(&self, cause: &str) -> UsageError {
        UsageError::contradiction(self.shown(), cause)
    }

    /// `--flag=value`, for a message.
    pub(super) fn shown(&self) -> String {
        format!("--{}={}", self.flag, shown(&self.value))
    }

    /// Whether a flag that is on unless turned off is on. The pre-pass wrote it as `true` or `false`.
    pub(super) fn is_on(&self) -> bool {
        self.value == "true"
    }

    /// The word by which it goes through argh.
    pub(super) fn word(flag: &str, value: &str, source: ValueSource) -> String {
        let mark = match source {
            ValueSource::Typed => TYPED,
            ValueSource::Preset => PRESET,
        };
        format!("{flag}{mark}{value}")
    }
}

impl FromStr for Given {
    type Err = Infallible;

    fn from_str(word: &str) -> Result<Self, Infallible> {
        // no flag's name has either mark in it
        let (flag, value) = word.split_once([TYPED, PRESET]).unwrap_or((word, ""));
        let source = if word[flag.len()..].starts_with(PRESET) { ValueSource::Preset } else { ValueSource::Typed };
        Ok(Self { flag: flag.to_owned(), value: value.to_owned(), source })
    }
}

/// An empty value of a flag that has no default is as good as none: kube2iam makes no difference between them.
pub(super) fn unless_empty(given: Option<&Given>) -> Option<&Given> {
    given.filter(|given| !given.value.is_empty())
}

/// The entries of a list flag that is split at commas, blanks around them taken off, empty ones left out.
pub(super) fn entries(list: &[Given]) -> Vec<Given> {
    let mut entries = Vec::new();
    for given in list {
        let values = given.value.split(',').map(str::trim).filter(|value| !value.is_empty());
        entries.extend(values.map(|value| Given { value: value.to_owned(), ..given.clone() }));
    }
    entries
}

const TYPED: char = '=';
const PRESET: char = ':';
