//! What the redirect should be and whether what the kernel holds is that, as values.
//!
//! A [`RedirectSpec`] (what was asked for) and the [`HostNetwork`](resolve::HostNetwork) (what the node has) give a
//! [`Wanted`]; [`ruleset`] spells it out as two chains of one nf_tables table; [`compare`] says how a table that was
//! found differs, and [`decide`](compare::decide) what to do about it.
//!
//! Invariants: the chains are a function of [`Wanted`] alone, so two agents that want the same write the same; no rule
//! ever looks at a packet that is not addressed to the metadata service.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use self::interfaces::InterfaceRule;
use self::scope::InterfaceScope;

pub mod address;
pub mod address_status;
pub mod command;
pub mod compare;
pub mod expression;
pub mod guard;
pub mod interfaces;
pub mod leftover;
pub mod readback;
pub mod resolve;
pub mod ruleset;
pub mod scope;
pub mod silence;
pub mod status;

pub use crate::logic::request::route::{METADATA_V4, METADATA_V6};

/// The name of our table; its family is `inet`, which holds IPv4 and IPv6 rules in one atomic unit.
pub const TABLE: &str = "kube2iam";
/// The only port it serves.
pub const METADATA_PORT: u16 = 80;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectSpec {
    /// Where the agent listens; without it, the address of the default route's interface.
    pub host_ip: Option<Ipv4Addr>,
    /// Without it, the first global address of the interface that holds the IPv4 address, else of the IPv6 default route's.
    pub host_ip6: Option<Ipv6Addr>,
    pub app_port: u16,
    pub interfaces: InterfaceRule,
    pub metadata: Metadata,
    pub requests: RequestAction,
    pub other_ports: OtherPorts,
}

impl RedirectSpec {
    /// Everything as it is without flags.
    pub fn new(app_port: u16) -> Self {
        Self {
            host_ip: None,
            host_ip6: None,
            app_port,
            interfaces: InterfaceRule::Automatic,
            metadata: Metadata::of([]),
            requests: RequestAction::Redirect,
            other_ports: OtherPorts::Drop,
        }
    }

    /// The addresses that the operator gave.
    fn given(&self) -> Vec<IpAddr> {
        [self.host_ip.map(IpAddr::V4), self.host_ip6.map(IpAddr::V6)].into_iter().flatten().collect()
    }
}

/// Where pods ask for metadata: AWS's two addresses, and those that were named besides. Never without either family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    v4: Vec<Ipv4Addr>,
    v6: Vec<Ipv6Addr>,
}

impl Metadata {
    /// AWS's and `further` ones.
    pub fn of(further: impl IntoIterator<Item = IpAddr>) -> Self {
        let (mut v4, mut v6) = (vec![METADATA_V4], vec![METADATA_V6]);
        for ip in further {
            match ip {
                IpAddr::V4(ip) if !v4.contains(&ip) => v4.push(ip),
                IpAddr::V6(ip) if !v6.contains(&ip) => v6.push(ip),
                IpAddr::V4(_) | IpAddr::V6(_) => {}
            }
        }
        Self { v4, v6 }
    }

    pub fn v4(&self) -> &[Ipv4Addr] {
        &self.v4
    }

    pub fn all(&self) -> Vec<IpAddr> {
        self.v4.iter().copied().map(IpAddr::V4).chain(self.v6.iter().copied().map(IpAddr::V6)).collect()
    }
}

/// What happens to pods' requests, TCP to the metadata port, on the interfaces that are redirected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestAction {
    Redirect,
    /// While the agent's port is held by a process that isn't known to be an agent, pods must reach neither it nor the
    /// real service.
    Drop,
}

/// What happens to all other packets for the metadata addresses on the interfaces that are redirected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherPorts {
    Drop,
    Pass,
}

/// The redirect in full: what [`ruleset::chains`] turns into rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub metadata: Metadata,
    /// Where IPv4 requests go; `None` drops them.
    pub agent_v4: Option<SocketAddrV4>,
    pub agent_v6: Option<SocketAddrV6>,
    pub scope: InterfaceScope,
    pub other_ports: OtherPorts,
}

impl Wanted {
    /// Where requests to a metadata address go.
    pub fn agent_for(&self, metadata: IpAddr) -> Option<SocketAddr> {
        if metadata.is_ipv4() { self.agent_v4.map(SocketAddr::V4) } else { self.agent_v6.map(SocketAddr::V6) }
    }

    /// Where requests go, in both families.
    pub fn agents(&self) -> Vec<SocketAddr> {
        [self.agent_v4.map(SocketAddr::V4), self.agent_v6.map(SocketAddr::V6)].into_iter().flatten().collect()
    }

    /// Each metadata address whose requests are redirected, and where to.
    pub fn redirected(&self) -> Vec<(IpAddr, SocketAddr)> {
        let to = |metadata: IpAddr| self.agent_for(metadata).map(|agent| (metadata, agent));
        self.metadata.all().into_iter().filter_map(to).collect()
    }
}
