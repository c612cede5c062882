//! The value of a role annotation: a role, or a text that is none. It is parsed once, when its object changes.

use std::borrow::Cow;

use super::{BaseArn, RoleArn};

/// The value of an annotation that should name a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedRole {
    /// The annotation exists and is empty.
    Empty,
    Role(RoleArn, Written),
    /// Not a role: the text, truncated for display.
    Malformed(Box<str>),
}

/// Which part of the role's ARN the annotation contains. It restores the annotation without keeping a second string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    start: u16,
    slash: Slash,
}

/// Whether the annotation has a leading slash.
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
        // A role ARN is far shorter than `u16::MAX`.
        Self::Role(role, Written { start: u16::try_from(start).unwrap_or_default(), slash })
    }

    pub fn role(&self) -> Option<&RoleArn> {
        match self {
            Self::Role(role, _) => Some(role),
            Self::Empty | Self::Malformed(_) => None,
        }
    }

    /// The annotation's text.
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

/// The kept part of a malformed text.
fn cut(text: &str) -> &str {
    text.char_indices().nth(LONGEST_MALFORMED).map_or(text, |(end, _)| &text[..end])
}

/// Characters kept; enough to recognise the mistake.
const LONGEST_MALFORMED: usize = 160;

#[cfg(test)]
mod tests;
