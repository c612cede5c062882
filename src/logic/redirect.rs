//! What the redirect should be and whether what the kernel holds is that, as values.
//!
//! A [`RedirectSpec`] (what was asked for) and the [`HostNetwork`](resolve::HostNetwork) (what the node has) give a
//! [`Wanted`]; [`ruleset`] spells it out as three chains of one nf_tables table; [`compare`] says how a table that was
//! found differs, and [`decide`](compare::decide) what to do about it.
//!
//! Invariants: the chains are a function of [`Wanted`] alone, so two agents that want the same write the same; no rule
//! ever looks at a packet that is not addressed to the metadata service.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use self::interfaces::{InterfaceRule, Scope};

pub mod command;
pub mod compare;
pub mod expression;
pub mod interfaces;
pub mod leftover;
pub mod legacy;
pub mod readback;
pub mod resolve;
pub mod ruleset;
pub mod status;

pub use super::route::{METADATA_V4, METADATA_V6};

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
            other_ports: OtherPorts::Drop,
        }
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

    pub fn v6(&self) -> &[Ipv6Addr] {
        &self.v6
    }

    pub fn all(&self) -> Vec<IpAddr> {
        self.v4.iter().copied().map(IpAddr::V4).chain(self.v6.iter().copied().map(IpAddr::V6)).collect()
    }
}

/// What happens to TCP and UDP packets of pods for the metadata address that are not redirected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherPorts {
    Drop,
    Pass,
}

/// The redirect in full: what [`ruleset::chains`] turns into rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub metadata: Metadata,
    /// Where IPv4 requests go; `None` leaves them out. At least one of the two is there.
    pub agent_v4: Option<SocketAddrV4>,
    pub agent_v6: Option<SocketAddrV6>,
    pub scope: Scope,
    pub other_ports: OtherPorts,
}

impl Wanted {
    /// Each metadata address whose requests are redirected, and where to.
    pub fn redirected(&self) -> Vec<(IpAddr, SocketAddr)> {
        let to = |metadata: IpAddr| {
            let agent =
                if metadata.is_ipv4() { self.agent_v4.map(SocketAddr::V4) } else { self.agent_v6.map(SocketAddr::V6) };
            agent.map(|agent| (metadata, agent))
        };
        self.metadata.all().into_iter().filter_map(to).collect()
    }
}
