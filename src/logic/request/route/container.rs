//! `/v1/credentials`, in exactly this spelling, under the hosts that SDKs take for container credentials.

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

/// A page in a browser can make a name of its own lead here, but not one of these (DNS rebinding).
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

const PATH: &str = "/v1/credentials";
