//! The table of flags: argh's description of each flag, split into its parts. The pflag pre-pass, `--help`, the
//! completions and the docs' table are derived from it.

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality};

use super::flags::FlagValues;

/// A flag as documented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flag {
    /// Without the dashes
    pub(super) name: &'static str,
    /// The title of its group
    pub(super) group: &'static str,
    pub(super) takes: Takes,
    pub(super) meaning: String,
    pub(super) default: Default,
    pub(super) origin: FlagOrigin,
}

/// What follows a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing, or `=true` and the like; off by default
    Switch,
    /// The same; on by default
    Bool,
    /// One value, with its placeholder; the last occurrence counts
    Value(&'static str),
    /// One value per occurrence; all of them count
    Values(&'static str),
    /// The same, and each value is a comma-separated list
    List(&'static str),
}

/// What applies without the flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Default {
    /// Used as if it had been typed
    Value(String),
    /// Described in words, since no value expresses it
    Described(String),
    Nothing,
}

/// Whether kube2iam has the flag too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FlagOrigin {
    Kube2iam,
    /// kube2iam has it with another meaning
    Differs(String),
    New,
}

impl Flag {
    /// The default value.
    pub(super) fn preset(&self) -> Option<&str> {
        match &self.default {
            Default::Value(value) => Some(value),
            Default::Described(_) | Default::Nothing => None,
        }
    }

    /// Whether an empty value means the flag is unset, as in kube2iam. Durations are excepted, since Go refuses empty
    /// ones, as are flags with a default, which an empty value replaces.
    pub(super) fn treats_empty_as_unset(&self) -> bool {
        matches!(self.takes, Takes::Value(word) if word != "duration") && self.preset().is_none()
    }
}

/// Every flag, group by group, in the order of the help text.
pub(super) fn flags() -> Vec<Flag> {
    let mut flags: Vec<Flag> = FlagValues::groups().iter().flat_map(group).collect();
    flags.push(help());
    flags
}

fn group(group: &CommandInfoWithArgs) -> Vec<Flag> {
    let title = group.description;
    group.flags.iter().filter(|flag| flag.long != "--help").map(|flag| row(title, flag)).collect()
}

fn row(group: &'static str, flag: &FlagInfo<'static>) -> Flag {
    let takes = match flag.kind {
        FlagInfoKind::Switch => Takes::Switch,
        FlagInfoKind::Option { arg_name: "bool" } => Takes::Bool,
        FlagInfoKind::Option { arg_name } if flag.optionality == Optionality::Repeating => {
            if arg_name.ends_with(",…") { Takes::List(arg_name) } else { Takes::Values(arg_name) }
        }
        FlagInfoKind::Option { arg_name } => Takes::Value(arg_name),
    };
    let described = Description::read(flag.description);
    let default = match flag.kind {
        FlagInfoKind::Switch => Default::Value("false".to_owned()),
        FlagInfoKind::Option { .. } => described.default,
    };
    let name = flag.long.trim_start_matches("--");
    Flag { name, group, takes, meaning: described.meaning, default, origin: described.origin }
}

/// argh gives every group a `--help`; the table has one.
fn help() -> Flag {
    let group = FlagValues::groups().last().map_or("", |group| group.description);
    Flag {
        name: "help",
        group,
        takes: Takes::Switch,
        meaning: "print this text and exit; also -h".to_owned(),
        default: Default::Value("false".to_owned()),
        origin: FlagOrigin::Kube2iam,
    }
}

struct Description {
    meaning: String,
    default: Default,
    origin: FlagOrigin,
}

impl Description {
    /// Splits a description into its parts, from the end.
    fn read(text: &str) -> Self {
        // argh doubles braces, since it uses descriptions as format strings
        let text = text.replace("{{", "{").replace("}}", "}");
        let (rest, origin) = match (text.strip_suffix(NEW), text.split_once(DIFFERS)) {
            (Some(rest), _) => (rest, FlagOrigin::New),
            (None, Some((rest, note))) => (rest, FlagOrigin::Differs(note.to_owned())),
            (None, None) => (text.as_str(), FlagOrigin::Kube2iam),
        };
        let (meaning, default) = if let Some((meaning, value)) = rest.split_once(DEFAULT) {
            (meaning, Default::Value(value.to_owned()))
        } else if let Some((meaning, words)) = rest.split_once(UNSET) {
            (meaning, Default::Described(words.to_owned()))
        } else {
            (rest, Default::Nothing)
        };
        Self { meaning: meaning.to_owned(), default, origin }
    }
}

const DEFAULT: &str = ". Default: ";
const UNSET: &str = ". Unset: ";
const DIFFERS: &str = ". Differs: ";
const NEW: &str = ". New.";

#[cfg(test)]
mod tests;
