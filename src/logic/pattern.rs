//! The lists of roles that namespaces allow: globs as kube2iam reads them, or regular expressions.

use std::fmt;

use regex_lite::{Regex, RegexBuilder};

use super::arn::{BaseArn, RoleArn, is_arn};
use super::trace::Verdict;

/// How the entries of a namespace's list are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `*` stands for any text, slashes included; everything else for itself
    Glob,
    /// A regular expression that must match the whole ARN
    Regexp,
    /// A regular expression that may match anywhere in the ARN, as kube2iam's do
    RegexpUnanchored,
}

/// A namespace's list, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct RoleList {
    entries: Vec<Entry>,
    /// What was wrong with the list, for the log
    pub faults: Vec<PatternFault>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// As written in the annotation
    written: String,
    matcher: Matcher,
}

#[derive(Clone, Debug)]
enum Matcher {
    Glob(String),
    Regexp(Box<Regex>),
    /// An invalid pattern: it allows nothing
    Nothing,
}

/// A list or an entry that can't be read, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternFault(String);

impl fmt::Display for PatternFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl RoleList {
    /// Reads the annotation: a JSON array of strings. In a regexp format a value that doesn't begin with `[`
    /// is one pattern, as kiam's annotation is. What can't be read allows nothing.
    pub fn parse(annotation: &str, format: Format, base: &BaseArn) -> Self {
        let single =
            format != Format::Glob && !annotation.trim_start().starts_with('[') && !annotation.trim().is_empty();
        let written: Vec<String> = if single {
            vec![annotation.trim().to_owned()]
        } else {
            match serde_json::from_str(annotation) {
                Ok(written) => written,
                Err(cause) => return Self::unreadable(&cause.to_string()),
            }
        };
        let mut list = Self::default();
        if format != Format::Glob && written.len() > MOST_EXPRESSIONS {
            let count = written.len();
            list.faults.push(PatternFault(format!("of {count} patterns the first {MOST_EXPRESSIONS} are read")));
        }
        let most = if format == Format::Glob { usize::MAX } else { MOST_EXPRESSIONS };
        for written in written.into_iter().take(most) {
            let matcher = Matcher::compile(&written, format, base).unwrap_or_else(|fault| {
                list.faults.push(fault);
                Matcher::Nothing
            });
            list.entries.push(Entry { written, matcher });
        }
        list
    }

    fn unreadable(cause: &str) -> Self {
        Self {
            entries: Vec::new(),
            faults: vec![PatternFault(format!("the list is not a JSON array of strings: {cause}"))],
        }
    }

    /// The first entry that allows `role`, as it was written.
    pub fn allowing(&self, role: &RoleArn) -> Option<&str> {
        self.judge(role).find(|(_, verdict)| *verdict == Verdict::Allows).map(|(written, _)| written)
    }

    /// Every entry as it was written, and whether it allows `role`. Each is asked when its turn comes.
    pub fn judge<'l, 'r>(&'l self, role: &'r RoleArn) -> impl Iterator<Item = (&'l str, Verdict)> + use<'l, 'r> {
        self.entries.iter().map(|entry| (entry.written.as_str(), Verdict::of(entry.matcher.matches(role.as_str()))))
    }

    /// The entries as written.
    pub fn written(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.written.as_str())
    }
}

impl Matcher {
    fn compile(written: &str, format: Format, base: &BaseArn) -> Result<Self, PatternFault> {
        let expression = match format {
            Format::Glob => return Ok(Self::Glob(base.complete(written).into_owned())),
            Format::Regexp => {
                let bare = complete_expression(written.strip_prefix('^').unwrap_or(written), base);
                compile(&bare, written)?; // a stray parenthesis must not close the anchored group
                format!("^(?:{bare})$")
            }
            Format::RegexpUnanchored => complete_expression(written, base),
        };
        compile(&expression, written).map(|regex| Self::Regexp(Box::new(regex)))
    }

    fn matches(&self, role: &str) -> bool {
        match self {
            Self::Glob(pattern) => glob(pattern, role),
            Self::Regexp(regex) => regex.is_match(role),
            Self::Nothing => false,
        }
    }
}

fn compile(expression: &str, written: &str) -> Result<Regex, PatternFault> {
    if written.len() > LONGEST_PATTERN {
        let length = written.len();
        return Err(PatternFault(format!(
            "a pattern of {length} bytes allows nothing: at most {LONGEST_PATTERN} are read"
        )));
    }
    let named = |cause| PatternFault(format!("the pattern `{}` allows nothing: {cause}", written.escape_debug()));
    RegexBuilder::new(expression).size_limit(LARGEST_EXPRESSION).build().map_err(named)
}

/// The base goes before an expression as the plain text that it is.
fn complete_expression(written: &str, base: &BaseArn) -> String {
    if is_arn(written) { written.to_owned() } else { format!("{}{written}", regex_lite::escape(base.as_str())) }
}

/// Whether `text` matches `pattern`, in which each `*` stands for any text, the empty one included.
/// Pieces between stars are taken at their first place, which is enough: a star behind takes up the rest.
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

/// A namespace's annotations come to 256 KiB at most; no sensible pattern comes near this.
const LONGEST_PATTERN: usize = 4_096;
/// Bytes of an expression when it is ready; counted repetitions can make much of little.
const LARGEST_EXPRESSION: usize = 64 * 1_024;
/// Expressions of one list: with the bound on each, 16 MiB at the very most, and tens of KiB in earnest.
const MOST_EXPRESSIONS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "arn:aws:iam::123456789012:role/";

    fn check(format: Format, annotation: &str, role: &str) -> Option<String> {
        let base = BaseArn::parse(BASE).unwrap();
        let list = RoleList::parse(annotation, format, &base);
        list.allowing(&base.role(role).unwrap()).map(str::to_owned)
    }

    #[test]
    fn globs_match_as_in_kube2iam() {
        for (pattern, text, matches) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "a/b", true),
            ("a*", "a/b", true),
            ("*b", "a/b", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("a**c", "abc", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("A*", "a", false),
            ("a?c", "abc", false),
            ("*ab*ab", "abab", true),
            ("*ab*ab", "ab", false),
            ("a", "ab", false),
        ] {
            assert_eq!(glob(pattern, text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn names_get_the_base_and_arns_stay() {
        assert_eq!(check(Format::Glob, r#"["app"]"#, "app").as_deref(), Some("app"));
        assert_eq!(check(Format::Glob, r#"["app"]"#, "app-admin"), None);
        assert_eq!(check(Format::Glob, r#"["x", "team/*"]"#, "team/a/b").as_deref(), Some("team/*"));
        assert_eq!(
            check(Format::Glob, r#"["arn:aws:iam::*:role/b"]"#, "arn:aws:iam::210987654321:role/b").as_deref(),
            Some("arn:aws:iam::*:role/b")
        );
        assert_eq!(check(Format::Glob, r#"["*"]"#, "arn:aws:iam::210987654321:role/b"), None);
    }

    #[test]
    fn anchored_expressions_match_the_whole_arn() {
        for (annotation, role, allowed) in [
            (r#"["app"]"#, "app", true),
            (r#"["app"]"#, "app-admin", false),
            (r#"["app|x"]"#, "app", true),
            (r#"["app|x"]"#, "app-admin", false),
            (r#"["a|x"]"#, "b/x", false),
            (r#"["^app$"]"#, "app", true),
            (r#"["^arn:aws:iam::123456789012:role/app.*"]"#, "app-1", true),
            ("app-.*", "app-1", true),
            ("^arn:aws:iam::123456789012:role/app-.*$", "app-1", true),
            (".*", "arn:aws:iam::210987654321:role/b", false),
            (r#"["arn:.*"]"#, "arn:aws:iam::210987654321:role/b", true),
        ] {
            assert_eq!(check(Format::Regexp, annotation, role).is_some(), allowed, "{annotation} {role}");
        }
    }

    #[test]
    fn unanchored_expressions_match_as_in_kube2iam() {
        assert!(check(Format::RegexpUnanchored, r#"["app"]"#, "app-admin").is_some());
        assert!(check(Format::RegexpUnanchored, r#"["^arn:aws:iam::123456789012:role/app"]"#, "app").is_none());
    }

    #[test]
    fn what_cannot_be_read_allows_nothing_and_is_named() {
        let base = BaseArn::parse(BASE).unwrap();
        for (format, annotation, fault) in [
            (Format::Glob, "app", "the list is not a JSON array of strings"),
            (Format::Glob, r#"{"a": 1}"#, "the list is not a JSON array of strings"),
            (Format::Glob, "[1]", "the list is not a JSON array of strings"),
            (Format::Glob, "", "the list is not a JSON array of strings"),
            (Format::Regexp, r#"["("]"#, "the pattern `(` allows nothing"),
            (Format::Regexp, r#"["a)|(?:.*"]"#, "the pattern `a)|(?:.*` allows nothing"),
            (Format::Regexp, "", "the list is not a JSON array of strings"),
        ] {
            let list = RoleList::parse(annotation, format, &base);
            assert!(list.allowing(&base.role("app").unwrap()).is_none(), "{annotation}");
            assert!(list.faults[0].to_string().starts_with(fault), "{}", list.faults[0]);
        }
        assert_eq!(check(Format::Regexp, r#"["(", "app"]"#, "app").as_deref(), Some("app"));
    }

    #[test]
    fn expressions_are_bounded_in_size_and_number() {
        assert!(check(Format::Regexp, r#"["(((a{50}){50}){50})|app"]"#, "app").is_none());
        for (before, format, allowed) in [
            (MOST_EXPRESSIONS - 1, Format::Regexp, true),
            (MOST_EXPRESSIONS, Format::Regexp, false),
            (MOST_EXPRESSIONS, Format::Glob, true),
        ] {
            let list = format!("[{}\"app\"]", "\"x\",".repeat(before));
            assert_eq!(check(format, &list, "app").is_some(), allowed, "{before}");
        }
    }
}
