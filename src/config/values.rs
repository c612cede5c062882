//! Values that several flags share: ports, addresses, services, keys, words.

use std::fmt;
use std::net::IpAddr;

use super::given::Given;
use super::usage::UsageError;

/// A service's host and port, as `--metadata-addr` and the metadata endpoint's variable name one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// A name or an address, without brackets
    pub host: String,
    pub port: u16,
}

impl Authority {
    /// Reads `HOST`, `HOST:PORT`, `[V6]`, `[V6]:PORT` or a bare IPv6 address.
    pub fn parse(text: &str, default_port: u16) -> Option<Self> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self { host: address.to_string(), port: default_port });
        }
        if let Some((host, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
            let address: std::net::Ipv6Addr = host.parse().ok()?;
            let port = if rest.is_empty() { default_port } else { port_number(rest.strip_prefix(':')?)? };
            return Some(Self { host: address.to_string(), port });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, port_number(port)?),
            None => (text, default_port),
        };
        is_host(host).then(|| Self { host: host.to_owned(), port })
    }

    /// The host, if it is an address.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for Authority {
    /// `HOST:PORT`, an IPv6 address in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

pub(super) fn port(given: &Given) -> Result<u16, UsageError> {
    given.read("a port from 1 to 65535", port_number)
}

/// A port in digits; names such as `http` and signs are refused.
pub(super) fn port_number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
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

/// A DNS name or an IPv4 address.
pub(super) fn is_host(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    (1..=253).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with(['.', '-'])
}

/// A URL of a server, with or without a path, less a slash at its end.
pub(super) fn http_url(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let plain = path.bytes().all(|b| b.is_ascii_graphic() && !b"?#".contains(&b));
    // which port is assumed doesn't matter: only the form is judged
    let fits = matches!(scheme, "http" | "https") && plain && Authority::parse(authority, 1).is_some();
    fits.then(|| text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_named_in_five_forms() {
        for (text, read) in [
            ("169.254.169.254", Some("169.254.169.254:80")),
            ("127.0.0.1:8080", Some("127.0.0.1:8080")),
            ("imds.local", Some("imds.local:80")),
            ("imds:1", Some("imds:1")),
            ("fd00:ec2::254", Some("[fd00:ec2::254]:80")),
            ("[fd00:ec2::254]", Some("[fd00:ec2::254]:80")),
            ("[FD00:EC2:0::254]:8080", Some("[fd00:ec2::254]:8080")),
            ("", None),
            (":80", None),
            ("host:", None),
            ("host:0", None),
            ("host:65536", None),
            ("host:+80", None),
            ("http://host", None),
            ("host/path", None),
            ("a host", None),
            ("[1.2.3.4]", None),
            ("[::1", None),
            ("[::1]80", None),
        ] {
            assert_eq!(Authority::parse(text, 80).map(|read| read.to_string()).as_deref(), read, "{text}");
        }
    }

    #[test]
    fn ports_are_digits() {
        for (text, number) in [
            ("8181", Some(8181)),
            ("1", Some(1)),
            ("65535", Some(65_535)),
            ("08181", Some(8181)),
            ("0", None),
            ("65536", None),
            ("+80", None),
            ("-1", None),
            ("http", None),
            (" 80", None),
            ("", None),
        ] {
            assert_eq!(port_number(text), number, "{text}");
        }
    }

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
