//! `/v1/credentials`, in exactly this spelling, under the hosts that SDKs accept for container credentials.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Route;
use super::facing::{CONTAINER_ADDRESS, without_port};
use crate::logic::policy::reason::Reason;
use crate::logic::request::message::{Method, Request};

/// Whether a target is the path of container credentials, with or without a query.
pub(super) fn is_asked_for(target: &str) -> bool {
    target.split('?').next() == Some(PATH)
}

pub(super) fn route(request: &Request<'_>) -> Route {
    match request.method {
        _ if !request.headers.host.is_some_and(is_allowed) => Route::RefuseContainer(Reason::HostNotAllowed),
        Method::Get => Route::ContainerCredentials,
        _ => Route::RefuseContainer(Reason::MethodNotAllowed),
    }
}

/// DNS rebinding: a web page can point its own name at this address, but not one of these.
fn is_allowed(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let name = without_port(host);
    let bracketed = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match (bracketed, name.parse::<Ipv4Addr>()) {
        (Some(inside), _) => inside.parse() == Ok(Ipv6Addr::LOCALHOST),
        (None, Ok(address)) => address == Ipv4Addr::LOCALHOST || IpAddr::V4(address) == CONTAINER_ADDRESS,
        (None, Err(_)) => name.eq_ignore_ascii_case("localhost"),
    }
}

/// The target and host of a request head that is malformed or incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnreadHead<'a> {
    pub target: &'a str,
    pub host: Option<&'a [u8]>,
}

impl<'a> UnreadHead<'a> {
    /// `None`: the request isn't for container credentials.
    pub fn of(start: &'a [u8]) -> Option<Self> {
        let mut lines = start.split(|byte| *byte == b'\n');
        let first = std::str::from_utf8(lines.next()?).ok()?;
        let target = first.strip_prefix("GET ")?.split(' ').next().filter(|target| is_asked_for(target))?;
        let host = lines.find_map(|line| value_of(line, b"host:")).map(<[u8]>::trim_ascii);
        Some(Self { target, host })
    }
}

/// Whether the token makes a head malformed: an `Authorization` line that ends early or contains a control character.
pub fn has_broken_authorization(start: &[u8]) -> bool {
    let lines = start.split_inclusive(|byte| *byte == b'\n');
    lines.filter_map(|line| value_of(line, b"authorization:")).any(|value| {
        let (value, ends_well) = match value.strip_suffix(b"\n") {
            Some(line) => (line.strip_suffix(b"\r").unwrap_or(line), line.ends_with(b"\r")),
            None => (value.strip_suffix(b"\r").unwrap_or(value), true),
        };
        !ends_well || value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t')
    })
}

fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

const PATH: &str = "/v1/credentials";
