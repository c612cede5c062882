//! A namespace's list of allowed roles as its annotation has it, within limits. Nothing is compiled here: only the
//! text is kept, and `logic::policy::evaluation` evaluates it once per role, outside of request threads and locks.

use super::{Format, Matcher, PatternFault};
use crate::logic::policy::arn::{BaseArn, RoleArn};

/// The entries of a namespace's list, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleList {
    pub format: Format,
    /// All entries, concatenated
    text: Box<str>,
    /// The end offset of each entry
    ends: Box<[u32]>,
    fault: Option<PatternFault>,
}

/// The index of the first entry that allows a role; `None`: no entry does.
pub type FirstMatch = Option<u16>;

impl RoleList {
    /// Parses the annotation: a JSON array of strings. In the regexp formats a value that doesn't start with `[` is a
    /// single pattern, as in kiam's annotation. A list that can't be parsed or exceeds a limit allows nothing.
    pub fn parse(annotation: &str, format: Format) -> Self {
        match entries(annotation, format).and_then(|entries| Self::within_bounds(&entries, format)) {
            Ok(list) => list,
            Err(fault) => Self { format, text: Box::default(), ends: Box::default(), fault: Some(fault) },
        }
    }

    fn within_bounds(entries: &[String], format: Format) -> Result<Self, PatternFault> {
        let (most, longest) = match format {
            Format::Glob => (MOST_ENTRIES, LONGEST_LIST),
            Format::Regexp | Format::RegexpUnanchored => (MOST_EXPRESSIONS, LONGEST_EXPRESSIONS),
        };
        let count = entries.len();
        if count > most {
            return Err(PatternFault(format!("a list of {count} entries allows nothing: at most {most} are read")));
        }
        let text = entries.concat();
        if text.len() > longest {
            let bytes = text.len();
            return Err(PatternFault(format!("entries of {bytes} bytes allow nothing: at most {longest} are read")));
        }
        let mut end = 0;
        let ends = entries.iter().map(|entry| {
            end += entry.len();
            u32::try_from(end).unwrap_or(u32::MAX) // the limit is far below
        });
        Ok(Self { format, ends: ends.collect(), text: text.into(), fault: None })
    }

    /// Why the whole list allows nothing, if it is invalid.
    pub fn fault(&self) -> Option<&PatternFault> {
        self.fault.as_ref()
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn written(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.entry(index))
    }

    /// The entry at `index`, as written; empty if there is none.
    pub fn entry(&self, index: usize) -> &str {
        let end = |index: usize| self.ends.get(index).map_or(self.text.len(), |end| *end as usize);
        let start = index.checked_sub(1).map_or(0, end);
        self.text.get(start..end(index)).unwrap_or_default()
    }

    /// The first entry that allows `role`. A tenant determines how long this takes: never call it for a request or
    /// under a lock.
    pub fn first_match(&self, role: &RoleArn, base: &BaseArn) -> FirstMatch {
        let allows = |entry: &str| {
            Matcher::compile(entry, self.format, base).is_ok_and(|matcher| matcher.matches(role.as_str(), base))
        };
        self.written().position(allows).and_then(|index| u16::try_from(index).ok())
    }
}

fn entries(annotation: &str, format: Format) -> Result<Vec<String>, PatternFault> {
    if annotation.len() > LONGEST_LIST {
        let bytes = annotation.len();
        return Err(PatternFault(format!("a list of {bytes} bytes allows nothing: at most {LONGEST_LIST} are read")));
    }
    let plain = annotation.trim();
    if format != Format::Glob && !plain.starts_with('[') && !plain.is_empty() {
        return Ok(vec![plain.to_owned()]);
    }
    serde_json::from_str(annotation)
        .map_err(|cause| PatternFault(format!("the list is not a JSON array of strings: {cause}")))
}

/// Limits of a list: entries, and bytes of its annotation.
pub const MOST_ENTRIES: usize = 1_000;
pub const LONGEST_LIST: usize = 32 * 1_024;
/// Limits of a list of regular expressions, which cost more per entry.
pub const MOST_EXPRESSIONS: usize = 100;
pub const LONGEST_EXPRESSIONS: usize = 8 * 1_024;
