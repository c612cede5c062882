//! The URL of a service as an operator writes it: `http(s)://HOST[:PORT][/PATH]`, or HOST:PORT without the scheme.
//!
//! Invariant: the parsed URL can be prepended to a path and sent as it is: no user info, no fragment, no blanks, a
//! host that is a name or an address, and no port that the scheme implies (signatures cover the `Host` header).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// A name or an address, without brackets
    pub host: String,
    pub port: u16,
}

/// A well-formed URL of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceUrl {
    scheme: Scheme,
    place: Authority,
    /// The value of the `Host` header: without a port that the scheme implies
    authority: String,
    /// Path and query; empty, or with a leading `/`
    target: String,
}

/// The protocol of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

impl Authority {
    /// Parses `HOST`, `HOST:PORT`, `[V6]`, `[V6]:PORT` or a bare IPv6 address.
    pub fn parse(text: &str, default_port: u16) -> Option<Self> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self { host: address.to_string(), port: default_port });
        }
        if let Some((host, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
            let address: Ipv6Addr = host.parse().ok()?;
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
    /// `HOST:PORT`, with an IPv6 address in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
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
        let is_bare_v6 = authority.parse::<Ipv6Addr>().is_ok();
        let place = Authority::parse(authority, scheme.port()).filter(|_| !is_bare_v6);
        let place =
            place.ok_or_else(|| wrong("it needs a host, a name or an address, and a port of 1 to 65535 if any"))?;
        let target = if target.starts_with('?') { format!("/{target}") } else { target.to_owned() };
        let written = place.to_string();
        let implied = format!(":{}", scheme.port());
        let authority = written.strip_suffix(&implied).filter(|_| place.port == scheme.port()).unwrap_or(&written);
        Ok(Self { scheme, authority: authority.to_owned(), target, place })
    }

    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host with its port, unless the scheme implies the port.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The host; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.place.host
    }

    /// The port, explicit or implied by the scheme.
    pub const fn port(&self) -> u16 {
        self.place.port
    }

    /// Path and query as written; may be empty.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The base for paths that start with `/`: the URL without trailing slashes.
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

/// A text that is not a service's URL, and the cause.
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

/// Parses a port in digits; service names and signs are refused.
pub fn port_number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

/// A DNS name or an IPv4 address.
pub fn is_host(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    (1..=LONGEST_HOST).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with(['.', '-'])
}

/// Far longer than any real endpoint.
const LONGEST: usize = 2_048;
/// RFC 1035, section 2.3.4.
const LONGEST_HOST: usize = 253;
/// How many characters of an invalid text an error repeats.
const SHOWN: usize = 80;

#[cfg(test)]
mod tests;
