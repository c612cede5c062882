//! Patterns of the roles that namespaces allow: globs with kube2iam's meaning, or regular expressions.

pub(super) mod list;

use std::fmt;

use regex_lite::{Regex, RegexBuilder};

use super::arn::{BaseArn, is_arn};
pub use list::{FirstMatch, RoleList};

/// How the entries of a namespace's list are parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `*` matches any text including slashes; every other character matches itself
    Glob,
    /// A regular expression that must match the whole ARN
    Regexp,
    /// A regular expression that may match anywhere in the ARN, as in kube2iam
    RegexpUnanchored,
}

/// A list or an entry that can't be parsed, and the cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternFault(String);

impl fmt::Display for PatternFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A compiled entry.
#[derive(Clone, Debug)]
pub enum Matcher {
    Glob(Box<str>),
    Regexp(Box<Regex>),
}

impl Matcher {
    /// Compiles one entry. An entry that can't be compiled allows nothing; the error names the cause.
    pub fn compile(written: &str, format: Format, base: &BaseArn) -> Result<Self, PatternFault> {
        let expression = match format {
            Format::Glob => return Ok(Self::Glob(written.into())),
            Format::Regexp => {
                let bare = complete_expression(written.strip_prefix('^').unwrap_or(written), base);
                compile(&bare, written)?; // a stray parenthesis must not close the anchored group
                format!("^(?:{bare})$")
            }
            Format::RegexpUnanchored => complete_expression(written, base),
        };
        compile(&expression, written).map(|regex| Self::Regexp(Box::new(regex)))
    }

    pub fn matches(&self, role: &str, base: &BaseArn) -> bool {
        match self {
            Self::Glob(pattern) => glob_below(pattern, role, base),
            Self::Regexp(regex) => regex.is_match(role),
        }
    }
}

/// Whether `role` matches a list's glob. A glob that isn't an ARN follows the base, which contains no star.
pub fn glob_below(pattern: &str, role: &str, base: &BaseArn) -> bool {
    if is_arn(pattern) {
        return glob(pattern, role);
    }
    role.strip_prefix(base.as_str()).is_some_and(|tail| glob(base.relative(pattern), tail))
}

fn compile(expression: &str, written: &str) -> Result<Regex, PatternFault> {
    if written.len() > LONGEST_PATTERN {
        let length = written.len();
        return Err(PatternFault(format!(
            "a pattern of {length} bytes allows nothing: at most {LONGEST_PATTERN} are read"
        )));
    }
    let named = |cause| PatternFault(format!("the pattern `{}` allows nothing: {cause}", shown(written)));
    RegexBuilder::new(expression).size_limit(LARGEST_EXPRESSION).build().map_err(named)
}

/// Prepends the base, escaped, to an expression that isn't an ARN.
fn complete_expression(written: &str, base: &BaseArn) -> String {
    if is_arn(written) {
        written.to_owned()
    } else {
        format!("{}{}", regex_lite::escape(base.as_str()), base.relative(written))
    }
}

/// A tenant's text escaped onto one line, and truncated.
pub fn shown(text: &str) -> String {
    let cut: String = text.chars().take(LONGEST_SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST_SHOWN).is_some() { format!("{cut}…") } else { cut }
}

/// Whether `text` matches `pattern`, in which each `*` matches any text, even an empty one. Matching each piece
/// between stars at its first occurrence is enough: the following star absorbs the rest.
pub fn glob(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*').filter(|piece| !piece.is_empty()) {
        match text.find(piece) {
            Some(at) => text = &text[at + piece.len()..],
            None => return false,
        }
    }
    text.ends_with(last)
}

/// Limit of one expression, in bytes.
const LONGEST_PATTERN: usize = 512;
/// Limit of a compiled expression, in bytes, since counted repetitions expand. It fits the longest plain expression
/// after the longest base, and bounds the time of one match.
const LARGEST_EXPRESSION: usize = 40 * 1_024;
/// Characters; enough for a role ARN of the usual length.
const LONGEST_SHOWN: usize = 160;

#[cfg(test)]
mod tests;
