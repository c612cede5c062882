//! An inline session policy, as it goes to STS.

use std::fmt;
use std::sync::Arc;

/// The text of a session policy. STS takes characters up to U+00FF (API reference, AssumeRole), so each is kept in a byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionPolicy(Arc<[u8]>);

impl SessionPolicy {
    /// `None` if STS doesn't take one of its characters.
    pub fn new(text: &str) -> Option<Self> {
        let is_taken = |c: &char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{ff}');
        let bytes = text.chars().map(|c| Some(c).filter(is_taken).and_then(|c| u8::try_from(c).ok()));
        bytes.collect::<Option<Vec<u8>>>().map(|bytes| Self(bytes.into()))
    }

    pub fn text(&self) -> String {
        self.0.iter().copied().map(char::from).collect()
    }

    /// Its length in characters, as STS counts it.
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
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_what_it_was_made_of() {
        for text in ["", "{\"a\":\"\u{ff}\t\"}"] {
            let policy = SessionPolicy::new(text).unwrap();
            assert_eq!((policy.text().as_str(), policy.characters()), (text, text.chars().count()));
        }
        assert!(SessionPolicy::new("\u{100}").is_none() && SessionPolicy::new("\u{1}").is_none());
    }
}
