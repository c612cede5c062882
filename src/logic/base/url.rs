//! The address of a service as an operator writes it: `http(s)://HOST[:PORT][/PATH]`.
//!
//! Invariant: what is inside can be put before a path and sent as it stands: no user, no fragment, no blanks,
//! a host that is a name or an address, and no port that the scheme implies (signatures cover the `Host` header).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// A well-formed address of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceUrl {
    scheme: Scheme,
    /// As the `Host` header says it
    authority: String,
    /// Empty, or with a leading `/`; the query belongs to it
    target: String,
}

/// How a service is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

impl ServiceUrl {
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let wrong = |cause| UrlError { found: text.chars().take(SHOWN).collect(), cause };
        let plain = text.len() <= LONGEST && text.bytes().all(|b| b.is_ascii_graphic()) && !text.contains('#');
        if !plain {
            return Err(wrong("blanks, controls, non-ASCII letters and fragments have no place in it"));
        }
        let (scheme, rest) = split_scheme(text).ok_or_else(|| wrong("it must begin with http:// or https://"))?;
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = split_port(authority).ok_or_else(|| wrong("its port is not a number of 1 to 65535"))?;
        if !is_host(host) {
            return Err(wrong("its host is neither a name nor an address"));
        }
        let target = if target.starts_with('?') { format!("/{target}") } else { target.to_owned() };
        let authority = match port {
            Some(port) if port != scheme.port() => format!("{host}:{port}"),
            _ => host.to_owned(),
        };
        Ok(Self { scheme, authority, target })
    }

    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host with its port, unless the scheme implies it.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The host alone; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        let host = split_port(&self.authority).map_or(self.authority.as_str(), |(host, _)| host);
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// Path and query as given; may be empty.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The base for paths that begin with `/`: this address without trailing slashes.
    pub fn base(&self) -> String {
        self.to_string().trim_end_matches('/').to_owned()
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.scheme.prefix(), self.authority, self.target)
    }
}

impl Scheme {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Http => "http://",
            Self::Https => "https://",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A text that is not the address of a service, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlError {
    found: String,
    cause: &'static str,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not the address of a service: {}", self.found.escape_debug(), self.cause)
    }
}

fn split_scheme(text: &str) -> Option<(Scheme, &str)> {
    [Scheme::Http, Scheme::Https].into_iter().find_map(|scheme| {
        let (start, rest) = text.split_at_checked(scheme.prefix().len())?;
        start.eq_ignore_ascii_case(scheme.prefix()).then_some((scheme, rest))
    })
}

/// Splits the port off; `None` if there is one that can't be.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let after_brackets = authority.rfind(']').map_or(0, |end| end + 1);
    let Some(colon) = authority[after_brackets..].find(':') else { return Some((authority, None)) };
    let (host, port) = authority.split_at(after_brackets + colon);
    let port =
        port[1..].parse().ok().filter(|port| *port != 0 && port_digits(&authority[after_brackets + colon + 1..]))?;
    Some((host, Some(port)))
}

fn port_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().is_ok();
    }
    !host.is_empty()
        && host.len() <= LONGEST_HOST
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        && (host.parse::<IpAddr>().is_ok() || !host.starts_with(['.', '-']))
}

/// Far above any real endpoint.
const LONGEST: usize = 2_048;
/// RFC 1035, section 2.3.4.
const LONGEST_HOST: usize = 253;
/// How much of a wrong text an error repeats.
const SHOWN: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (text, authority, host, target, base) in [
            ("http://127.0.0.1:5000", "127.0.0.1:5000", "127.0.0.1", "", "http://127.0.0.1:5000"),
            ("http://127.0.0.1:5000/", "127.0.0.1:5000", "127.0.0.1", "/", "http://127.0.0.1:5000"),
            (
                "HTTPS://sts.example.com:443/a/b",
                "sts.example.com",
                "sts.example.com",
                "/a/b",
                "https://sts.example.com/a/b",
            ),
            ("http://sts.example.com:80", "sts.example.com", "sts.example.com", "", "http://sts.example.com"),
            ("https://x:80", "x:80", "x", "", "https://x:80"),
            ("http://[fd00:ec2::254]", "[fd00:ec2::254]", "fd00:ec2::254", "", "http://[fd00:ec2::254]"),
            (
                "http://[fd00:ec2::23]:8080/v1",
                "[fd00:ec2::23]:8080",
                "fd00:ec2::23",
                "/v1",
                "http://[fd00:ec2::23]:8080/v1",
            ),
            ("http://localhost?id=1", "localhost", "localhost", "/?id=1", "http://localhost/?id=1"),
        ] {
            let url = ServiceUrl::parse(text).unwrap();
            assert_eq!(
                (url.authority(), url.host(), url.target(), url.base().as_str()),
                (authority, host, target, base)
            );
        }
    }

    #[test]
    fn texts_that_could_mislead_a_request_are_refused() {
        for text in [
            "",
            "127.0.0.1",
            "ftp://x",
            "http://",
            "http:///path",
            "http://user:secret@host",
            "http://host:0",
            "http://host:99999",
            "http://host:+80",
            "http://host:80:80",
            "http://fd00:ec2::254",
            "http://[nonsense]",
            "http://ho st",
            "http://host/\r\nX: y",
            "http://host/#part",
            "http://-host",
            "http://h\u{f6}st",
        ] {
            assert!(ServiceUrl::parse(text).is_err(), "{text}");
        }
    }
}
