//! Resolves the configuration and the node's network into the wanted redirect.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use super::interfaces::{InterfacePattern, InterfaceRule};
use super::scope::{Exempt, ExemptReason, InterfaceScope};
use super::{RedirectSpec, RequestAction, Wanted};

/// kube2iam's chart passes this name whether or not the interface exists, so it says nothing about the node.
const CHART_DEFAULT: &str = "docker0";

/// The parts of the node's network that the redirect depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostNetwork {
    pub interfaces: Vec<Interface>,
    pub addresses: Vec<Address>,
    /// Default routes of the main table, both families
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
    pub standing: AddressStanding,
}

/// Whether an address is stable and reachable for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressStanding {
    /// Global scope and permanent
    Global,
    /// Link-local, host scope, secondary, temporary, deprecated or tentative
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultRoute {
    pub family: Family,
    pub interface: u32,
    /// The route's preferred source address
    pub source: Option<IpAddr>,
    pub metric: u32,
    pub origin: RouteOrigin,
}

/// The origin of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteOrigin {
    /// Configured by the node's owner, DHCP or a program
    Placed,
    /// A router advertisement (RFC 4861), which a pod can send too if the node accepts them
    Advertised,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// The wanted redirect, and notes for the operator about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub wanted: Wanted,
    pub notes: Vec<RedirectNote>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectNote {
    V4LeftOut,
    V6LeftOut,
    /// The rule applies once an interface with this name exists
    MissingInterface(String),
    /// Only kube2iam's chart default was named, and it doesn't exist
    ChartDefaultMissing,
    /// The address is on none of the node's interfaces
    ForeignHostAddress(IpAddr),
    /// The interface wasn't an uplink at this agent's previous check
    NewUplink(InterfacePattern),
}

/// The node has neither an IPv4 nor an IPv6 address to redirect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoHostAddress;

/// Determines the addresses and the interfaces.
pub fn resolve(spec: &RedirectSpec, host: &HostNetwork) -> Result<Resolved, NoHostAddress> {
    let mut notes = Vec::new();
    let (v4, v6) = match spec.requests {
        RequestAction::Redirect => agents(spec, host, &mut notes)?,
        RequestAction::Drop => (None, None),
    };
    let scope = scope(spec, host, &mut notes);
    let wanted = Wanted {
        metadata: spec.metadata.clone(),
        agent_v4: v4.map(|ip| SocketAddrV4::new(ip, spec.app_port)),
        agent_v6: v6.map(|ip| SocketAddrV6::new(ip, spec.app_port, 0, 0)),
        scope,
        other_ports: spec.other_ports,
    };
    Ok(Resolved { wanted, notes })
}

fn agents(
    spec: &RedirectSpec,
    host: &HostNetwork,
    notes: &mut Vec<RedirectNote>,
) -> Result<(Option<Ipv4Addr>, Option<Ipv6Addr>), NoHostAddress> {
    let v4 = spec.host_ip.or_else(|| host.default_v4());
    let v6 = spec.host_ip6.or_else(|| host.beside(v4)).or_else(|| host.default_v6());
    match (v4, v6) {
        (None, None) => return Err(NoHostAddress),
        (None, Some(_)) => notes.push(RedirectNote::V4LeftOut),
        (Some(_), None) => notes.push(RedirectNote::V6LeftOut),
        (Some(_), Some(_)) => {}
    }
    notes
        .extend(spec.given().into_iter().filter(|ip| host.holder(*ip).is_none()).map(RedirectNote::ForeignHostAddress));
    Ok((v4, v6))
}

/// Loopback is exempt unless it is named: packets that the node sends to itself are not from pods. Uplinks are exempt
/// unless a name or `+` includes them.
fn scope(spec: &RedirectSpec, host: &HostNetwork, notes: &mut Vec<RedirectNote>) -> InterfaceScope {
    let (redirected, excepted, uplinks) = match &spec.interfaces {
        InterfaceRule::Automatic => (&[][..], &[][..], host.uplinks(&spec.given())),
        InterfaceRule::Named { included, excluded } => {
            let missing: Vec<&String> = included.iter().filter_map(|pattern| host.missing(pattern)).collect();
            if excluded.is_empty() && included.len() == 1 && missing.iter().any(|name| *name == CHART_DEFAULT) {
                notes.push(RedirectNote::ChartDefaultMissing);
                (&[][..], &[][..], host.uplinks(&spec.given()))
            } else {
                notes.extend(missing.into_iter().cloned().map(RedirectNote::MissingInterface));
                let uplinks = if included.is_empty() { Vec::new() } else { host.uplinks(&spec.given()) };
                (&included[..], &excluded[..], uplinks)
            }
        }
    };
    let loopbacks = host.interfaces.iter().filter(|interface| interface.kind == InterfaceKind::Loopback);
    let loopbacks = loopbacks.map(|interface| interface.name.clone());
    let named = |name: &String| redirected.iter().any(|pattern| pattern.matches(name));
    let by_name = |reason| move |name: String| Exempt { pattern: InterfacePattern::Name(name), reason };
    let excepted = excepted.iter().cloned().map(|pattern| Exempt { pattern, reason: ExemptReason::Excepted });
    let uplinks = uplinks.into_iter().filter(|name| !named(name)).map(by_name(ExemptReason::Uplink));
    let loopbacks = loopbacks.filter(|name| !named(name)).map(by_name(ExemptReason::Loopback));
    let mut exempt: Vec<Exempt> = excepted.chain(uplinks).chain(loopbacks).collect();
    exempt.sort_unstable_by(|one, next| one.pattern.cmp(&next.pattern).then(next.reason.cmp(&one.reason)));
    exempt.dedup_by(|later, first| later.pattern == first.pattern);
    InterfaceScope { exempt, redirected: redirected.to_vec() }
}

impl HostNetwork {
    /// The default route's address, IPv4 if available.
    pub fn default_ip(&self) -> Option<IpAddr> {
        self.default_v4().map(IpAddr::V4).or_else(|| self.default_v6().map(IpAddr::V6))
    }

    /// The uplinks: interfaces that lead out of the node. A pod must not be able to turn its interface into an uplink
    /// by router advertisements. So configured routes decide; without any, the interface with an address that the
    /// operator gave; without both, a single advertised route: among those with the lowest metric the one with the
    /// oldest interface, because pods' interfaces are created later than the node's own.
    pub(super) fn uplinks(&self, given: &[IpAddr]) -> Vec<String> {
        let with = |origin| self.default_routes.iter().filter(move |route| route.origin == origin);
        let mut indexes: Vec<u32> = with(RouteOrigin::Placed).map(|route| route.interface).collect();
        if indexes.is_empty() {
            indexes = given.iter().filter(|ip| !ip.is_loopback()).filter_map(|ip| self.holder(*ip)).collect();
        }
        if indexes.is_empty() {
            let first = with(RouteOrigin::Advertised).min_by_key(|route| (route.metric, route.interface));
            indexes.extend(first.map(|route| route.interface));
        }
        let leads_out = self.interfaces.iter().filter(|interface| indexes.contains(&interface.index));
        leads_out.map(|interface| interface.name.clone()).collect()
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

    /// The address of the best default route that has one. Advertised routes rank below all configured ones.
    fn default_address(&self, family: Family) -> Option<IpAddr> {
        let routes = self.default_routes.iter().filter(|route| route.family == family);
        let addressed = routes.filter_map(|route| {
            let address = route.source.or_else(|| self.first_global(route.interface, family))?;
            Some(((route.origin, route.metric, route.interface), address))
        });
        addressed.min_by_key(|(rank, _)| *rank).map(|(_, address)| address)
    }

    fn first_global(&self, interface: u32, family: Family) -> Option<IpAddr> {
        let of_family = |ip: IpAddr| (family == Family::V4) == ip.is_ipv4();
        self.addresses
            .iter()
            .find(|a| a.interface == interface && of_family(a.ip) && a.standing == AddressStanding::Global)
            .map(|address| address.ip)
    }
}

/// The uplinks that are new since `before`.
pub fn new_uplinks(before: &InterfaceScope, now: &InterfaceScope) -> Vec<RedirectNote> {
    let before = before.uplinks();
    now.uplinks().into_iter().filter(|uplink| !before.contains(uplink)).cloned().map(RedirectNote::NewUplink).collect()
}

impl RedirectNote {
    /// Whether the note needs the operator's attention.
    pub fn is_warning(&self) -> bool {
        !matches!(self, Self::V4LeftOut | Self::V6LeftOut)
    }
}

impl fmt::Display for RedirectNote {
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
                    "the interface `{CHART_DEFAULT}` does not exist: every interface but the uplinks is redirected, \
                     it too if it appears while this agent runs"
                )
            }
            Self::NewUplink(interface) => write!(
                f,
                "the interface `{interface}` has become an uplink: what comes in by it is no longer redirected; name \
                 pods' interfaces with --host-interface if pods are behind it"
            ),
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
