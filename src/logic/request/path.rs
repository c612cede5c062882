//! The canonical form of a path, in which it is matched and forwarded: decoded once, without empty and dot segments,
//! and made only of characters that every server interprets the same way. A path without such a form is refused.
//!
//! `tests/closed/known_vulnerabilities.rs` lists the bypasses of similar agents.

use std::fmt;

use memchr::memchr;

/// A path that starts with `/`. Its segments contain only plain characters and are neither empty nor dots, except for
/// an empty last one after a trailing slash, so encoding or decoding doesn't change it. Paths with other characters
/// are marked by [`CanonicalPath::odd_from`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalPath {
    text: String,
    query: Option<String>,
    odd_from: Option<usize>,
}

impl CanonicalPath {
    /// Parses the target of a request line. `is_own_authority` decides which hosts an absolute-form target may name.
    pub fn parse(target: &str, is_own_authority: impl Fn(&str) -> bool) -> Result<Self, PathError> {
        let origin = origin_form(target, is_own_authority)?;
        if is_canonical(origin) {
            return Ok(Self { text: origin.to_owned(), query: None, odd_from: None });
        }
        let origin = origin.split('#').next().unwrap_or_default();
        let (raw, query) = match origin.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (origin, None),
        };
        let (text, odd_from) = if is_canonical(raw) { (raw.to_owned(), None) } else { resolve(raw)? };
        let query = query
            .filter(|query| !query.is_empty() && query.bytes().all(|b| is_plain(b) || b == b'&'))
            .map(str::to_owned);
        Ok(Self { text, query, odd_from })
    }

    /// The path, without its query.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The query, if it contains only plain characters; any other query is dropped.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The path without its query. A query could ask for a response format that the listing filter doesn't
    /// understand.
    #[must_use]
    pub fn without_query(self) -> Self {
        Self { query: None, ..self }
    }

    /// The segments, without the empty one after a trailing slash.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        let mut rest = self.text.as_str();
        std::iter::from_fn(move || {
            let text = &rest[rest.bytes().position(|byte| byte != b'/')?..];
            let segment;
            (segment, rest) = text.split_at(memchr(b'/', text.as_bytes()).unwrap_or(text.len()));
            Some(segment)
        })
    }

    pub fn has_trailing_slash(&self) -> bool {
        self.text.ends_with('/')
    }

    /// The index of the first segment with an encoded slash (`%2F`) or a character outside the alphabet, both of
    /// which role paths may contain; at most that index if dot segments removed some. Such a path is never forwarded,
    /// and its text may contain dot segments from there on.
    pub fn odd_from(&self) -> Option<usize> {
        self.odd_from
    }
}

/// Why a target has no canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// Neither `/…` nor `http://` followed by one of the agent's own names
    Form,
    /// A `%` that isn't followed by two hexadecimal digits
    Encoding,
    /// A character outside the alphabet, raw or encoded: anywhere before the role, or one that role names don't allow
    /// either
    Character,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "the target is neither a path nor an address of this service",
            Self::Encoding => "the path holds a malformed percent-encoding",
            Self::Character => "the path holds a character that no metadata path has",
        })
    }
}

/// Strips `http://authority` from an absolute-form target (RFC 9112, section 3.2.2).
fn origin_form(target: &str, is_own_authority: impl Fn(&str) -> bool) -> Result<&str, PathError> {
    if target.starts_with('/') {
        return Ok(target);
    }
    let scheme = target.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://")).ok_or(PathError::Form)?;
    let rest = &target[scheme.len()..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match path {
        _ if !is_own_authority(authority) => Err(PathError::Form),
        "" => Ok("/"),
        path if path.starts_with('/') => Ok(path),
        _ => Err(PathError::Form),
    }
}

/// Whether a path is already canonical, as nearly all are: [`resolve`] would return it unchanged.
fn is_canonical(raw: &str) -> bool {
    let mut rest = raw.as_bytes();
    while let [byte, after @ ..] = rest {
        let fits = if *byte == b'/' { !starts_with_dot_or_empty_segment(after) } else { is_plain(*byte) };
        if !fits {
            return false;
        }
        rest = after;
    }
    raw.starts_with('/')
}

/// Whether an empty or dot segment starts here. An empty rest is a trailing slash.
fn starts_with_dot_or_empty_segment(rest: &[u8]) -> bool {
    matches!(rest, [b'/', ..] | [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..])
}

/// Decodes a path once and removes empty and dot segments. Also returns [`CanonicalPath::odd_from`].
fn resolve(raw: &str) -> Result<(String, Option<usize>), PathError> {
    let mut segments: Vec<String> = Vec::new();
    let mut odd_from = None;
    for raw_segment in raw.split('/') {
        let decoded = decode(raw_segment)?;
        if !decoded.bytes().all(is_plain) {
            if segments.len() < ROLE_TAIL && !decoded.bytes().all(|byte| is_plain(byte) || byte == b'/') {
                return Err(PathError::Character);
            }
            odd_from = Some(odd_from.map_or(segments.len(), |at: usize| at.min(segments.len())));
        }
        match decoded.as_str() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(decoded),
        }
    }
    let closed =
        matches!(raw.rsplit('/').next().map(decode), Some(Ok(last)) if matches!(last.as_str(), "" | "." | ".."));
    let mut text = String::with_capacity(raw.len() + 1);
    for segment in &segments {
        text.push('/');
        text.push_str(segment);
    }
    if closed || segments.is_empty() {
        text.push('/');
    }
    Ok((text, odd_from))
}

fn decode(raw: &str) -> Result<String, PathError> {
    let mut decoded = String::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' { hex(bytes.next())? << 4 | hex(bytes.next())? } else { byte };
        if !byte.is_ascii_graphic() || matches!(byte, b'%' | b'\\') {
            return Err(PathError::Character);
        }
        decoded.push(char::from(byte));
    }
    Ok(decoded)
}

fn hex(digit: Option<u8>) -> Result<u8, PathError> {
    let value = digit.map(char::from).and_then(|digit| digit.to_digit(16)).ok_or(PathError::Encoding)?;
    u8::try_from(value).map_err(|_| PathError::Encoding)
}

/// The number of segments before a role, as in `/latest/meta-data/iam/security-credentials/ROLE`.
pub const ROLE_TAIL: usize = 4;

/// The alphabet of metadata paths and role names: letters, digits and the punctuation that occurs in them (`+=,.@-_`
/// in role names, `:` in ARNs and MAC addresses). It excludes `%`, `;`, `\`, blanks and control characters.
const fn is_plain(byte: u8) -> bool {
    PLAIN[byte as usize]
}

/// A table, since every byte of every request is looked up.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let marks = matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'@' | b'+' | b'=' | b',');
        plain[byte as usize] = byte.is_ascii_alphanumeric() || marks;
        byte += 1;
    }
    plain
};

#[cfg(test)]
mod tests {
    use super::*;

    fn check(target: &str) -> Result<String, PathError> {
        CanonicalPath::parse(target, |authority| authority == "169.254.169.254").map(|path| path.as_str().to_owned())
    }

    #[test]
    fn plain_paths_are_not_changed() {
        for path in [
            "/",
            "/latest",
            "/latest/meta-data/",
            "/latest/meta-data/network/interfaces/macs/02:29:96:8f:6a:2d/",
            "/a/b=c",
        ] {
            assert_eq!(check(path).as_deref(), Ok(path));
        }
    }

    /// A path that is accepted unchanged is one that `resolve` returns unchanged.
    #[test]
    fn a_path_is_canonical_exactly_if_resolving_does_not_change_it() {
        let pieces = ["", "/", "a", ".", "..", "%2F", "%61", "Z-9", "+", ";", "é"];
        let mut canonical = 0;
        for number in 0..pieces.len().pow(5) {
            let digits = (0..5).map(|place| number / pieces.len().pow(place) % pieces.len());
            let path = digits.fold("/".to_owned(), |path, digit| path + pieces[digit]);
            let is_unchanged = resolve(&path) == Ok((path.clone(), None));
            assert_eq!(is_canonical(&path), is_unchanged, "{path}");
            canonical += usize::from(is_unchanged);
        }
        assert!(canonical > 1_000, "{canonical}");
    }

    #[test]
    fn dot_segments_are_resolved_before_a_path_is_classified() {
        for (target, path) in [
            ("//latest///meta-data", "/latest/meta-data"),
            ("/latest/./meta-data/.", "/latest/meta-data/"),
            ("/latest/x/../meta-data/..", "/latest/"),
            ("/../../latest", "/latest"),
            ("/latest/%2e%2E/x", "/x"),
            ("/..", "/"),
            ("/latest%2Fmeta-data", "/latest/meta-data"),
            ("/%69am", "/iam"),
        ] {
            assert_eq!(check(target).as_deref(), Ok(path), "{target}");
        }
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        for target in [
            r"/latest\meta-data",
            "/latest%5cmeta-data",
            "/iam%00",
            "/iam%20",
            "/iam;x",
            "/iam%3bx",
            "/iam%2525",
            "/%2569am",
            "/iam%09",
            "/iam%0d%0a",
            "/iam%3fx",
            "/iam%23x",
            "/i%c4%b1am",
            "/iam*",
            "/iam%7f",
            "/iäm",
            "/iam x",
            "/iam\u{0}",
        ] {
            assert_eq!(check(target), Err(PathError::Character), "{target}");
        }
        for target in ["/%", "/%4", "/%zz", "/%%34", "/%+1", "/%u0069"] {
            assert_eq!(check(target), Err(PathError::Encoding), "{target}");
        }
        for target in [
            "",
            "*",
            "latest",
            "http://evil/latest",
            "https://169.254.169.254/",
            "169.254.169.254:80",
            "http://169.254.169.254?x",
            "é",
        ] {
            assert_eq!(check(target), Err(PathError::Form), "{target}");
        }
    }

    #[test]
    fn absolute_form_to_an_own_address_is_a_path() {
        assert_eq!(check("http://169.254.169.254/latest/").as_deref(), Ok("/latest/"));
        assert_eq!(check("HTTP://169.254.169.254").as_deref(), Ok("/"));
    }

    #[test]
    fn queries_pass_only_if_plain_and_fragments_never() {
        for (target, query) in
            [("/a?b=c&d", Some("b=c&d")), ("/a?", None), ("/a?%2e", None), ("/a?b/c", None), ("/a#b?c", None)]
        {
            let path = CanonicalPath::parse(target, |_| false).unwrap();
            assert_eq!((path.as_str(), path.query()), ("/a", query), "{target}");
        }
    }

    #[test]
    fn the_first_odd_segment_of_a_path_is_recorded() {
        let own = |_: &str| false;
        assert_eq!(CanonicalPath::parse("/x/a%2Fb", own).unwrap().odd_from(), Some(1));
        assert_eq!(CanonicalPath::parse("/x/a/b", own).unwrap().odd_from(), None);
        assert_eq!(CanonicalPath::parse("/x/a%2Fb/../../%2Fc", own).unwrap().odd_from(), Some(0));
        assert_eq!(CanonicalPath::parse("/x/a/b/c/d/$(e)'%3B%22", own).unwrap().odd_from(), Some(5));
    }

    /// IAM allows any printable character in a role's path.
    #[test]
    fn characters_of_role_paths_are_accepted_only_where_a_role_stands() {
        for odd in ["'", "$", "(", "%28", ";", "%3b", "%3F", "%23", "%22", "*", "&", "`"] {
            assert!(check(&format!("/1/2/3/4/{odd}")).is_ok(), "{odd}");
            assert_eq!(check(&format!("/1/2/3/{odd}/5")), Err(PathError::Character), "{odd}");
            assert_eq!(check(&format!("/1/2/3/4/../{odd}")), Err(PathError::Character), "{odd}");
        }
        for refused in ["%25", "%5C", "\\", "%20", " ", "%00", "%7f", "%C3%A9"] {
            assert_eq!(check(&format!("/1/2/3/4/{refused}")), Err(PathError::Character), "{refused}");
        }
    }

    #[test]
    fn each_path_error_has_its_own_message() {
        let words = [PathError::Form, PathError::Encoding, PathError::Character].map(|fault| fault.to_string());
        assert!(words[0].contains("target") && words[1].contains("encoding") && words[2].contains("character"));
    }
}
