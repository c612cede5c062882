//! From what was asked for and what the node has to what is wanted.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use super::interfaces::{InterfacePattern, InterfaceRule, Scope};
use super::{RedirectSpec, Wanted};

/// kube2iam's chart passes this name whether it exists or not, so by itself it says nothing about the node.
const CHART_DEFAULT: &str = "docker0";

/// The node's network, as far as the redirect asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostNetwork {
    pub interfaces: Vec<Interface>,
    pub addresses: Vec<Address>,
    /// Default routes of the main table, both families.
    pub default_routes: Vec<DefaultRoute>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub index: u32,
    pub name: String,
    pub kind: InterfaceKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterfaceKind {
    Loopback,
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub interface: u32,
    pub ip: IpAddr,
    pub standing: Standing,
}

/// Whether others may rely on an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Of global scope and there to stay.
    Global,
    /// Link-local, of the host, secondary, temporary, deprecated or not yet checked for duplicates.
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultRoute {
    pub family: Family,
    pub interface: u32,
    /// The source address the route itself prefers.
    pub source: Option<IpAddr>,
    pub metric: u32,
    pub origin: Origin,
}

/// Who put a route there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The node's owner, a DHCP server, a program.
    Placed,
    /// A router advertisement (RFC 4861), which a pod can send too where the node listens to it.
    Advertised,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// What is wanted, and what the operator should hear about how it came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub wanted: Wanted,
    pub notes: Vec<Note>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    V4LeftOut,
    V6LeftOut,
    /// The rule waits for an interface of this name.
    MissingInterface(String),
    /// Only kube2iam's chart default was named, and it does not exist.
    ChartDefaultMissing,
    /// The address is on none of the node's interfaces.
    ForeignHostAddress(IpAddr),
}

/// No IPv4 and no IPv6 address to send pods to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoHostAddress;

/// Finds the addresses and the interfaces.
pub fn resolve(spec: &RedirectSpec, host: &HostNetwork) -> Result<Resolved, NoHostAddress> {
    let v4 = spec.host_ip.or_else(|| host.default_v4());
    let v6 = spec.host_ip6.or_else(|| host.beside(v4)).or_else(|| host.default_v6());
    let mut notes = Vec::new();
    match (v4, v6) {
        (None, None) => return Err(NoHostAddress),
        (None, Some(_)) => notes.push(Note::V4LeftOut),
        (Some(_), None) => notes.push(Note::V6LeftOut),
        (Some(_), Some(_)) => {}
    }
    let named = [spec.host_ip.map(IpAddr::V4), spec.host_ip6.map(IpAddr::V6)];
    notes.extend(named.into_iter().flatten().filter(|ip| host.holder(*ip).is_none()).map(Note::ForeignHostAddress));
    let scope = scope(&spec.interfaces, host, &mut notes);
    let wanted = Wanted {
        metadata: spec.metadata.clone(),
        agent_v4: v4.map(|ip| SocketAddrV4::new(ip, spec.app_port)),
        agent_v6: v6.map(|ip| SocketAddrV6::new(ip, spec.app_port, 0, 0)),
        scope,
        other_ports: spec.other_ports,
    };
    Ok(Resolved { wanted, notes })
}

/// Loopback is always left alone unless it is named: what the node sends to itself is not a pod's.
fn scope(rule: &InterfaceRule, host: &HostNetwork, notes: &mut Vec<Note>) -> Scope {
    let (included, excluded) = match rule {
        InterfaceRule::Automatic => (Vec::new(), host.uplinks()),
        InterfaceRule::Named { included, excluded } => {
            let missing: Vec<&String> = included.iter().filter_map(|pattern| host.missing(pattern)).collect();
            if excluded.is_empty() && included.len() == 1 && missing.iter().any(|name| *name == CHART_DEFAULT) {
                notes.push(Note::ChartDefaultMissing);
                (Vec::new(), host.uplinks())
            } else {
                notes.extend(missing.into_iter().cloned().map(Note::MissingInterface));
                (included.clone(), excluded.clone())
            }
        }
    };
    let loopbacks = host.interfaces.iter().filter(|interface| interface.kind == InterfaceKind::Loopback);
    let loopbacks = loopbacks.map(|interface| InterfacePattern::Name(interface.name.clone()));
    let mut all = Vec::new();
    for pattern in loopbacks.filter(|pattern| !included.contains(pattern)).chain(excluded) {
        pattern.add_to(&mut all);
    }
    Scope { excluded: all, included }
}

impl HostNetwork {
    /// The default route's address, IPv4 where there is one.
    pub fn default_ip(&self) -> Option<IpAddr> {
        self.default_v4().map(IpAddr::V4).or_else(|| self.default_v6().map(IpAddr::V6))
    }

    /// The interfaces default routes leave by. A pod must not make an uplink of its interface by advertising itself, so
    /// advertised routes count only where there is no other. A node with IPv6 alone forwards for its pods, and for that
    /// the kernel stops to listen to them.
    fn uplinks(&self) -> Vec<InterfacePattern> {
        let placed = self.default_routes.iter().any(|route| route.origin == Origin::Placed);
        let counts = |route: &&DefaultRoute| !placed || route.origin == Origin::Placed;
        let leaves = |interface: &&Interface| {
            self.default_routes.iter().filter(counts).any(|route| route.interface == interface.index)
        };
        self.interfaces.iter().filter(leaves).map(|interface| InterfacePattern::Name(interface.name.clone())).collect()
    }

    fn missing<'a>(&self, pattern: &'a InterfacePattern) -> Option<&'a String> {
        match pattern {
            InterfacePattern::Name(name) if !self.interfaces.iter().any(|interface| interface.name == *name) => {
                Some(name)
            }
            InterfacePattern::Name(_) | InterfacePattern::Prefix(_) => None,
        }
    }

    fn holder(&self, ip: IpAddr) -> Option<u32> {
        self.addresses.iter().find(|address| address.ip == ip).map(|address| address.interface)
    }

    fn default_v4(&self) -> Option<Ipv4Addr> {
        match self.default_address(Family::V4)? {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        }
    }

    fn default_v6(&self) -> Option<Ipv6Addr> {
        match self.default_address(Family::V6)? {
            IpAddr::V6(ip) => Some(ip),
            IpAddr::V4(_) => None,
        }
    }

    /// The first global IPv6 address of the interface that holds `v4`.
    fn beside(&self, v4: Option<Ipv4Addr>) -> Option<Ipv6Addr> {
        match self.first_global(self.holder(v4?.into())?, Family::V6)? {
            IpAddr::V6(ip) => Some(ip),
            IpAddr::V4(_) => None,
        }
    }

    /// The address of the best default route that has one.
    fn default_address(&self, family: Family) -> Option<IpAddr> {
        let routes = self.default_routes.iter().filter(|route| route.family == family);
        let addressed = routes.filter_map(|route| {
            let address = route.source.or_else(|| self.first_global(route.interface, family))?;
            Some(((route.metric, route.interface), address))
        });
        addressed.min_by_key(|(rank, _)| *rank).map(|(_, address)| address)
    }

    fn first_global(&self, interface: u32, family: Family) -> Option<IpAddr> {
        let of_family = |ip: IpAddr| (family == Family::V4) == ip.is_ipv4();
        self.addresses
            .iter()
            .find(|a| a.interface == interface && of_family(a.ip) && a.standing == Standing::Global)
            .map(|address| address.ip)
    }
}

impl Note {
    /// Whether somebody should look, or it is just so.
    pub fn is_warning(&self) -> bool {
        !matches!(self, Self::V4LeftOut | Self::V6LeftOut)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4LeftOut => f.write_str("the node has no IPv4 address: IPv4 is not redirected"),
            Self::V6LeftOut => f.write_str("the node has no global IPv6 address: IPv6 is not redirected"),
            Self::MissingInterface(name) => {
                write!(f, "the interface `{name}` does not exist: its pods are redirected once it does")
            }
            Self::ChartDefaultMissing => {
                write!(
                    f,
                    "the interface `{CHART_DEFAULT}` does not exist: every interface but the uplinks is redirected"
                )
            }
            Self::ForeignHostAddress(ip) => write!(f, "the address `{ip}` is on no interface of this node"),
        }
    }
}

impl fmt::Display for NoHostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed to find the node's address: no default route has one, give --host-ip or --host-ip6")
    }
}

#[cfg(test)]
mod tests;
