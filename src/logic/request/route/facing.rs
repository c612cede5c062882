//! The address that a request was sent to, and the host names that identify it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::RouteRules;
use crate::logic::request::message::Request;

/// The address that a request was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Facing {
    /// The metadata address: serves metadata only.
    Metadata,
    /// The node's address: serves the agent's own pages, and metadata too.
    Node,
    /// A loopback address of the node: serves the same, and container credentials.
    Loopback,
    /// The address of container credentials: serves those only.
    Container,
}

/// Determines the address that a request was sent to, from its `Host`, from the original destination of its
/// connection and, where container credentials are served, from the connection's local address. `redirected` is
/// called only if the host doesn't decide.
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

/// A host without its port; a bare IPv6 address has none.
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

/// Whether an address is the metadata service's: IPv4, IPv6, or IPv4-mapped.
pub fn is_metadata_address(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address == METADATA_V4,
        IpAddr::V6(address) => address == METADATA_V6,
    }
}

/// The addresses of the metadata service, the same on every instance (EC2 user guide, instance metadata).
pub const METADATA_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
pub const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
/// The address from which SDKs fetch container credentials over plain HTTP, besides loopback.
pub const CONTAINER_ADDRESS: IpAddr = IpAddr::V4(CONTAINER_V4);
pub const CONTAINER_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);
/// The `Host` that nearly every client sends.
const METADATA_HOST: &str = "169.254.169.254";
const METADATA_NAMES: [&str; 2] = ["instance-data", "instance-data.ec2.internal"];
