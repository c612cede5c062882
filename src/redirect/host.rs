//! Reads the node's interfaces, addresses and default routes (rtnetlink(7)). Needs no capability.

use std::net::IpAddr;

use rustix::io::Errno;

use crate::logic::redirect::resolve::{
    Address, AddressStanding, DefaultRoute, Family, HostNetwork, Interface, InterfaceKind, RouteOrigin,
};

use super::message::{attribute, native_u16, native_u32, text};
use super::rtnetlink::{
    ADDRESS_ADDRESS, ADDRESS_BYTES, ADDRESS_LOCAL, GET_ADDRESS, GET_LINK, LINK_BYTES, LINK_NAME, ROUTE, V4, V6, dump,
};
use super::socket::{Netlink, read_consistently};

/// `RTM_GETROUTE`, and the size of its fixed header.
const GET_ROUTE: u16 = 26;
const ROUTE_BYTES: usize = 12;

/// `IFF_LOOPBACK`.
const LOOPBACK: u32 = 0x8;

/// `IFA_FLAGS`, `RT_SCOPE_UNIVERSE`.
const ADDRESS_FLAGS: u16 = 8;
const SCOPE_UNIVERSE: u8 = 0;
/// `IFA_F_SECONDARY` (for IPv6: temporary), `_DADFAILED`, `_DEPRECATED`, `_TENTATIVE`.
const UNRELIABLE_FLAGS: u32 = 0x01 | 0x08 | 0x20 | 0x40;

/// `RTA_OIF`, `RTA_PRIORITY`, `RTA_PREFSRC`, `RTA_MULTIPATH`, `RTA_TABLE`.
const ROUTE_INTERFACE: u16 = 4;
const ROUTE_METRIC: u16 = 6;
const ROUTE_SOURCE: u16 = 7;
const ROUTE_HOPS: u16 = 9;
const ROUTE_TABLE: u16 = 15;
/// `RT_TABLE_MAIN`: other tables serve specific sources or marks, not the node's uplinks.
const TABLE_MAIN: u32 = 254;
/// `RTPROT_RA`, `RTN_UNICAST`, `RTM_F_CLONED`.
const ADVERTISED: u8 = 9;
const UNICAST: u8 = 1;
const CLONED: u32 = 0x200;

const FAMILIES: [(u8, Family); 2] = [(V4, Family::V4), (V6, Family::V6)];

/// Reads interfaces, addresses and default routes.
pub(super) fn network() -> Result<HostNetwork, Errno> {
    let mut netlink = Netlink::open(ROUTE)?;
    read_consistently(|| read(&mut netlink))
}

fn read(netlink: &mut Netlink) -> Result<HostNetwork, Errno> {
    let mut host = HostNetwork::default();
    netlink.ask(dump(GET_LINK, &[0; LINK_BYTES]), &mut |reply| host.interfaces.extend(interface(reply.body)))?;
    netlink.ask(dump(GET_ADDRESS, &[0; ADDRESS_BYTES]), &mut |reply| host.addresses.extend(address(reply.body)))?;
    for (number, family) in FAMILIES {
        let mut fixed = [0; ROUTE_BYTES];
        fixed[0] = number;
        let asked = netlink.ask(dump(GET_ROUTE, &fixed), &mut |reply| {
            host.default_routes.extend(default_routes(reply.body, number, family));
        });
        match asked {
            // A kernel without IPv6 has no IPv6 routes.
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(host)
}

fn interface(body: &[u8]) -> Option<Interface> {
    let kind = if native_u32(body, 8)? & LOOPBACK == 0 { InterfaceKind::Other } else { InterfaceKind::Loopback };
    Some(Interface { index: native_u32(body, 4)?, name: text(body.get(LINK_BYTES..)?, LINK_NAME)?.to_owned(), kind })
}

/// On a point-to-point link `IFA_ADDRESS` is the remote end; `IFA_LOCAL` is present whenever they differ.
fn address(body: &[u8]) -> Option<Address> {
    let list = body.get(ADDRESS_BYTES..)?;
    let ip = ip(attribute(list, ADDRESS_LOCAL).or_else(|| attribute(list, ADDRESS_ADDRESS))?)?;
    let flags = attribute(list, ADDRESS_FLAGS).and_then(|bytes| native_u32(bytes, 0));
    let flags = flags.unwrap_or_else(|| body.get(2).copied().map_or(0, u32::from));
    let global = body.get(3) == Some(&SCOPE_UNIVERSE) && flags & UNRELIABLE_FLAGS == 0;
    let standing = if global { AddressStanding::Global } else { AddressStanding::Other };
    Some(Address { interface: native_u32(body, 4)?, ip, standing })
}

/// One per outgoing interface; none if it isn't a default route. A dump of one family may contain others.
fn default_routes(body: &[u8], number: u8, family: Family) -> Vec<DefaultRoute> {
    let list = body.get(ROUTE_BYTES..).unwrap_or_default();
    let field = |kind| attribute(list, kind).and_then(|bytes| native_u32(bytes, 0));
    let table = field(ROUTE_TABLE).or_else(|| body.get(4).copied().map(u32::from));
    let fixed = |at: usize| body.get(at).copied();
    let default = fixed(0) == Some(number) && fixed(1) == Some(0) && fixed(7) == Some(UNICAST);
    let kept = native_u32(body, 8).is_some_and(|flags| flags & CLONED == 0);
    if !default || !kept || table != Some(TABLE_MAIN) {
        return Vec::new();
    }
    let source = attribute(list, ROUTE_SOURCE).and_then(ip);
    let metric = field(ROUTE_METRIC).unwrap_or_default();
    let hops = attribute(list, ROUTE_HOPS).map(hops).unwrap_or_default();
    let origin = if fixed(5) == Some(ADVERTISED) { RouteOrigin::Advertised } else { RouteOrigin::Placed };
    let interfaces = field(ROUTE_INTERFACE).into_iter().chain(hops);
    interfaces.map(|interface| DefaultRoute { family, interface, source, metric, origin }).collect()
}

/// Parses the interfaces of a list of `struct rtnexthop`: length, flags, hops, interface, attributes.
fn hops(mut bytes: &[u8]) -> Vec<u32> {
    let mut interfaces = Vec::new();
    while let (Some(length), Some(interface)) = (native_u16(bytes, 0), native_u32(bytes, 4)) {
        interfaces.push(interface);
        let length = usize::from(length).next_multiple_of(4).max(8);
        bytes = bytes.get(length..).unwrap_or_default();
    }
    interfaces
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}

#[cfg(test)]
mod tests;
