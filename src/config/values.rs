//! Values that several flags share: ports, addresses, services, keys, words.

use std::net::IpAddr;

use super::given::Given;
use super::usage::UsageError;
use crate::logic::base::url::{ServiceUrl, port_number};

pub(super) fn port(given: &Given) -> Result<u16, UsageError> {
    given.read("a port from 1 to 65535", port_number)
}

pub(super) fn address(given: &Given) -> Result<IpAddr, UsageError> {
    given.read("an IP address", |text| text.parse().ok())
}

/// One of a few words, in any case.
pub(super) fn one_of<T: Copy>(given: &Given, words: &[(&str, T)]) -> Result<T, UsageError> {
    let found = words.iter().find(|(word, _)| given.as_str().eq_ignore_ascii_case(word));
    let allowed = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>();
    found.map(|(_, meaning)| *meaning).ok_or_else(|| given.refuse(&listed(&allowed())))
}

/// `a, b or c`
pub(super) fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [head @ .., last] => format!("{} or {last}", head.join(", ")),
    }
}

/// An annotation's or a taint's key: `[PREFIX/]NAME` (Kubernetes API concepts, labels and annotations).
pub(super) fn is_key(text: &str) -> bool {
    let (prefix, name) = text.rsplit_once('/').unwrap_or(("x", text));
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    (1..=253).contains(&prefix.len()) && (1..=63).contains(&name.len()) && plain(prefix) && plain(name)
}

/// A URL of a server, with or without a path, less a slash at its end.
pub fn http_url(text: &str) -> Option<String> {
    let url = ServiceUrl::parse(text).ok().filter(|url| !url.target().contains('?'))?;
    Some(url.base())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_from_other_texts() {
        let longest = "n".repeat(63);
        for (text, fits) in [
            ("iam.amazonaws.com/role", true),
            ("role", true),
            (longest.as_str(), true),
            ("", false),
            ("/role", false),
            ("iam.amazonaws.com/", false),
            ("a/b/c", false),
            ("key=value", false),
            ("key:NoSchedule", false),
            ("two words", false),
        ] {
            assert_eq!(is_key(text), fits, "{text}");
        }
        assert!(!is_key(&format!("{longest}n")));
    }
}
