//! What an annotation names: a role, or a text that is none. It is parsed once, when its object changes.

use std::borrow::Cow;

use super::{BaseArn, RoleArn};

/// An annotation that should name a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedRole {
    /// It is there, and empty.
    Empty,
    Role(RoleArn, Written),
    /// Not a role; the text, cut where it is longer than what anyone reads.
    Malformed(Box<str>),
}

/// Which part of a role's ARN the annotation has: two texts of a role needn't be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    start: u16,
    slash: Slash,
}

/// Whether a slash stands before the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slash {
    Absent,
    Dropped,
}

impl NamedRole {
    pub fn parse(text: &str, base: &BaseArn) -> Self {
        if text.is_empty() {
            return Self::Empty;
        }
        let Ok(role) = base.role(text) else { return Self::Malformed(cut(text).into()) };
        let tail = if super::is_arn(text) { text } else { base.relative(text) };
        let slash = if tail.len() < text.len() { Slash::Dropped } else { Slash::Absent };
        let start = role.as_str().len() - tail.len();
        // the bounds of a role keep it far below
        Self::Role(role, Written { start: u16::try_from(start).unwrap_or_default(), slash })
    }

    pub fn role(&self) -> Option<&RoleArn> {
        match self {
            Self::Role(role, _) => Some(role),
            Self::Empty | Self::Malformed(_) => None,
        }
    }

    /// The text of the annotation.
    pub fn written(&self) -> Cow<'_, str> {
        match self {
            Self::Empty => "".into(),
            Self::Malformed(text) => (&**text).into(),
            Self::Role(role, written) => {
                let tail = &role.as_str()[usize::from(written.start)..];
                match written.slash {
                    Slash::Absent => tail.into(),
                    Slash::Dropped => format!("/{tail}").into(),
                }
            }
        }
    }
}

/// What of a malformed text is kept.
fn cut(text: &str) -> &str {
    text.char_indices().nth(LONGEST_MALFORMED).map_or(text, |(end, _)| &text[..end])
}

/// Characters; enough to see what was meant.
const LONGEST_MALFORMED: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_an_annotation_survives_its_parsing() {
        let with_base = BaseArn::parse("arn:aws:iam::123456789012:role/team").unwrap();
        for base in [with_base, BaseArn::default()] {
            for text in [
                "",
                "app",
                "/app",
                "/a/b",
                "//app",
                "arn:aws:iam::123456789012:role/team/app",
                "arn:aws:iam::210987654321:role/b",
                "/arn:aws:iam::1:role/x",
                "not a role",
            ] {
                assert_eq!(NamedRole::parse(text, &base).written(), text);
            }
        }
        let malformed = NamedRole::parse(&"\u{e9}".repeat(2_000), &BaseArn::default());
        assert_eq!(malformed.written().chars().count(), LONGEST_MALFORMED);
    }
}
