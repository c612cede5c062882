//! The wanted redirect, and its comparison with the tables in the kernel.
//!
//! A [`RedirectSpec`] (the configuration) and the [`HostNetwork`](resolve::HostNetwork) (the node's network)
//! determine a [`Wanted`]; [`ruleset`] builds its two chains of one nf_tables table; [`compare`] lists how a table in
//! the kernel differs, and [`decide`](compare::decide) chooses what to do about it.
//!
//! Invariants: the chains depend on [`Wanted`] only, so two agents that want the same write the same; no rule affects
//! a packet that is not addressed to the metadata service.

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

/// The name of the table; its family is `inet`, which holds IPv4 and IPv6 rules in one atomic unit.
pub const TABLE: &str = "kube2iam";
/// The metadata service's port.
pub const METADATA_PORT: u16 = 80;

/// The configuration of the redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectSpec {
    /// The agent's address; `None`: the address of the default route's interface
    pub host_ip: Option<Ipv4Addr>,
    /// `None`: the first global address of the interface with the IPv4 address, else of the IPv6 default route's
    /// interface
    pub host_ip6: Option<Ipv6Addr>,
    pub app_port: u16,
    pub interfaces: InterfaceRule,
    pub metadata: Metadata,
    pub requests: RequestAction,
    pub other_ports: OtherPorts,
}

impl RedirectSpec {
    /// The defaults of all flags.
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

    /// The addresses that the operator configured.
    fn given(&self) -> Vec<IpAddr> {
        [self.host_ip.map(IpAddr::V4), self.host_ip6.map(IpAddr::V6)].into_iter().flatten().collect()
    }
}

/// The addresses to redirect: the two of AWS and additionally configured ones. Both families are always present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    v4: Vec<Ipv4Addr>,
    v6: Vec<Ipv6Addr>,
}

impl Metadata {
    /// AWS's addresses and `further` ones.
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

/// What happens to pods' requests (TCP to the metadata port) on redirected interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestAction {
    Redirect,
    /// While an unrelated process holds the agent's port, pods must reach neither that process nor the real metadata
    /// service
    Drop,
}

/// What happens to all other packets to the metadata addresses on redirected interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherPorts {
    Drop,
    Pass,
}

/// The complete redirect, from which [`ruleset::chains`] builds rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub metadata: Metadata,
    /// The destination of IPv4 requests; `None` drops them
    pub agent_v4: Option<SocketAddrV4>,
    pub agent_v6: Option<SocketAddrV6>,
    pub scope: InterfaceScope,
    pub other_ports: OtherPorts,
}

impl Wanted {
    /// The destination of requests to a metadata address.
    pub fn agent_for(&self, metadata: IpAddr) -> Option<SocketAddr> {
        if metadata.is_ipv4() { self.agent_v4.map(SocketAddr::V4) } else { self.agent_v6.map(SocketAddr::V6) }
    }

    /// The destinations of requests in both families.
    pub fn agents(&self) -> Vec<SocketAddr> {
        [self.agent_v4.map(SocketAddr::V4), self.agent_v6.map(SocketAddr::V6)].into_iter().flatten().collect()
    }

    /// Each redirected metadata address with its destination.
    pub fn redirected(&self) -> Vec<(IpAddr, SocketAddr)> {
        let to = |metadata: IpAddr| self.agent_for(metadata).map(|agent| (metadata, agent));
        self.metadata.all().into_iter().filter_map(to).collect()
    }
}

#[cfg(test)]
mod tests;
