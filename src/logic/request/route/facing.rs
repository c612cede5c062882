//! How a request reached the agent, and the hosts by which that shows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::RouteRules;
use crate::logic::request::message::Request;

/// How a request reached the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Facing {
    /// As a call to the metadata address: it gets metadata and nothing else.
    Metadata,
    /// As a call to the node: it gets the agent's own pages, and metadata too.
    Node,
    /// As a call of the node to itself: the same, and container credentials.
    Loopback,
    /// As a call to the address of container credentials: it gets these and nothing else.
    Container,
}

/// How a request reached the agent: by its host, by the address that its connection was meant for and, where container
/// credentials are served, by the agent's own end of it. `redirected` is asked only if the host doesn't tell.
pub fn facing(
    request: &Request<'_>,
    redirected: impl FnOnce() -> bool,
    local: impl FnOnce() -> Option<IpAddr>,
    rules: &RouteRules,
) -> Facing {
    let local = if rules.container_credentials { local() } else { None };
    if local == Some(CONTAINER_ADDRESS) {
        return Facing::Container;
    }
    if request.headers.host == Some(METADATA_HOST.as_bytes()) && request.target.starts_with('/') {
        return Facing::Metadata;
    }
    let named = match absolute_authority(request.target) {
        Some(authority) => Some(authority),
        None => request.headers.host.map(|host| std::str::from_utf8(host).unwrap_or_default()),
    };
    let metadata = named.is_none_or(|host| host.is_empty() || is_metadata_name(without_port(host))) || redirected();
    match local {
        _ if metadata => Facing::Metadata,
        Some(local) if local.is_loopback() => Facing::Loopback,
        _ => Facing::Node,
    }
}

/// The authority of an absolute-form target.
fn absolute_authority(target: &str) -> Option<&str> {
    let rest = target
        .get(..7)
        .filter(|scheme| scheme.eq_ignore_ascii_case("http://"))
        .map(|scheme| &target[scheme.len()..])?;
    Some(&rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())])
}

/// Whether a host, with or without port 80, is a name of the metadata service.
pub fn is_metadata_host(authority: &str) -> bool {
    is_metadata_name(authority.strip_suffix(":80").unwrap_or(authority))
}

/// A host without the port behind it; a bare v6 address has none.
pub(super) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

fn is_metadata_name(host: &str) -> bool {
    let name = host.trim_end_matches('.');
    match name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(address) => is_metadata_address(address),
        Err(_) => METADATA_NAMES.iter().any(|own| name.eq_ignore_ascii_case(own)),
    }
}

/// Whether an address is the metadata service's, v4, v6, or v4 written as v6.
pub fn is_metadata_address(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address == METADATA_V4,
        IpAddr::V6(address) => address == METADATA_V6,
    }
}

/// Where the metadata service answers, the same on every instance (EC2 user guide, instance metadata).
pub const METADATA_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
pub const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
/// Where SDKs take container credentials over plain HTTP from, beside loopback.
pub const CONTAINER_ADDRESS: IpAddr = IpAddr::V4(CONTAINER_V4);
pub const CONTAINER_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);
/// What nearly every client says.
const METADATA_HOST: &str = "169.254.169.254";
const METADATA_NAMES: [&str; 2] = ["instance-data", "instance-data.ec2.internal"];
