//! Parsers for the values of several flags: ports, addresses, URLs, keys, words.

use std::net::{IpAddr, Ipv6Addr};

use crate::logic::base::url::{ServiceUrl, port_number};

pub(super) fn port(text: &str) -> Result<u16, String> {
    or_allowed(port_number(text), A_PORT)
}

pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    or_allowed(text.parse().ok(), "an IP address")
}

pub(super) fn address_v6(text: &str) -> Result<Ipv6Addr, String> {
    or_allowed(text.parse().ok(), "an IPv6 address")
}

pub(super) fn annotation_key(text: &str) -> Result<String, String> {
    or_allowed(is_key(text).then(|| text.to_owned()), "an annotation's key: [PREFIX/]NAME")
}

/// The parsed value, or what is allowed as the error.
pub(super) fn or_allowed<T>(read: Option<T>, allowed: &str) -> Result<T, String> {
    read.ok_or_else(|| allowed.to_owned())
}

/// One of several words, in any case.
pub(super) fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| text.eq_ignore_ascii_case(word));
    let allowed = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>();
    found.map(|(_, meaning)| *meaning).ok_or_else(|| listed(&allowed()))
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

/// A server's URL, with or without a path, without a trailing slash.
pub fn http_url(text: &str) -> Option<String> {
    let url = ServiceUrl::parse(text).ok().filter(|url| !url.target().contains('?'))?;
    Some(url.base())
}

pub(super) const A_PORT: &str = "a port from 1 to 65535";

#[cfg(test)]
mod tests;
