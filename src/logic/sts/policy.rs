//! An inline session policy.

use std::fmt;
use std::sync::Arc;

/// The text of a session policy. STS allows characters up to U+00FF (API reference, AssumeRole), so one byte stores
/// each.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionPolicy(Arc<[u8]>);

impl SessionPolicy {
    /// `None` if the text contains a character that STS doesn't allow.
    pub fn new(text: &str) -> Option<Self> {
        let is_allowed = |c: &char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{ff}');
        let bytes = text.chars().map(|c| Some(c).filter(is_allowed).and_then(|c| u8::try_from(c).ok()));
        bytes.collect::<Option<Vec<u8>>>().map(|bytes| Self(bytes.into()))
    }

    pub fn text(&self) -> String {
        self.0.iter().copied().map(char::from).collect()
    }

    /// The length in characters, as STS counts it.
    pub fn characters(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for SessionPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

#[cfg(test)]
mod tests;
