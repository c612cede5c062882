//! The redirect of pods' metadata requests to the agent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::flags::RedirectFlags;
use super::given::{entries, unless_empty};
use super::metadata::{HTTP_PORT, METADATA_V6, MetadataConfig};
use super::usage::UsageError;
use super::values::{address, one_of};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectConfig {
    /// The metadata addresses whose port 80 is redirected: AWS's two, and `--metadata-addr` if it is a third
    pub metadata: Vec<IpAddr>,
    pub interfaces: Interfaces,
    /// The targets as given; `None`: to be found on the node
    pub target_v4: Option<Ipv4Addr>,
    pub target_v6: Option<Ipv6Addr>,
    /// Drop what pods send to other ports of the metadata addresses.
    pub drop_other_ports: bool,
    pub on_exit: OnExit,
}

/// The interfaces that pods' requests come in by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interfaces {
    /// All but loopback and the uplinks
    Automatic,
    /// At least one rule, in the order given. Exceptions alone stand for everything else but loopback.
    Listed(Vec<InterfaceRule>),
}

/// An entry of `--host-interface`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceRule {
    Match(InterfaceName),
    /// `!` stood before it
    Except(InterfaceName),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceName {
    Exact(String),
    /// `+` stood at its end; empty: every interface
    Prefix(String),
}

/// What becomes of the redirect when the agent ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExit {
    Keep,
    Remove,
}

/// Reads the redirect's flags. The node's address counts without `--iptables` too: `/healthz` shows it.
pub(super) fn read(
    flags: &RedirectFlags,
    metadata: &MetadataConfig,
    warnings: &mut Vec<String>,
) -> Result<(Option<IpAddr>, Option<RedirectConfig>), UsageError> {
    let host = unless_empty(flags.host_ip.as_ref()).map(address).transpose()?;
    let host_v6 = unless_empty(flags.host_ip6.as_ref())
        .map(|given| given.read("an IPv6 address", |text| text.parse::<Ipv6Addr>().ok()))
        .transpose()?;
    let rules = entries(&flags.host_interface).map(|given| given.read(AN_INTERFACE, InterfaceRule::parse));
    let rules: Vec<InterfaceRule> = rules.collect::<Result<_, _>>()?;
    let on_exit = one_of(&flags.redirect_on_exit, &[("keep", OnExit::Keep), ("remove", OnExit::Remove)])?;
    if !flags.iptables {
        return Ok((host, None));
    }
    let (target_v4, v6_as_host) = match host {
        Some(IpAddr::V4(host)) => (Some(host), None),
        Some(IpAddr::V6(host)) => (None, Some(host)),
        None => (None, None),
    };
    let redirect = RedirectConfig {
        metadata: metadata_addresses(metadata, warnings),
        interfaces: if rules.is_empty() { Interfaces::Automatic } else { Interfaces::Listed(rules) },
        target_v4,
        target_v6: host_v6.or(v6_as_host),
        drop_other_ports: flags.metadata_drop.is_on(),
        on_exit,
    };
    Ok((host, Some(redirect)))
}

/// Pods dial AWS's addresses, whatever stands behind `--metadata-addr`; that too if pods could reach it there.
fn metadata_addresses(metadata: &MetadataConfig, warnings: &mut Vec<String>) -> Vec<IpAddr> {
    let mut addresses = vec![IpAddr::V4(METADATA_V4), IpAddr::V6(METADATA_V6)];
    match metadata.proxied.address() {
        Some(address) if addresses.contains(&address) || address.is_loopback() => {}
        Some(address) if metadata.proxied.port == HTTP_PORT => addresses.push(address),
        _ => warnings.push(format!(
            "pods that dial --metadata-addr={} themselves are not redirected: only addresses and port 80 are",
            metadata.proxied
        )),
    }
    addresses
}

impl InterfaceRule {
    fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix('!') {
            Some(name) => InterfaceName::parse(name.trim_start()).map(Self::Except),
            None => InterfaceName::parse(text).map(Self::Match),
        }
    }
}

impl InterfaceName {
    fn parse(text: &str) -> Option<Self> {
        let (name, wildcard) = match text.strip_suffix('+') {
            Some(name) => (name, true),
            None => (text, false),
        };
        let plain = name.bytes().all(|b| b.is_ascii_graphic() && !b"/:!+*\"".contains(&b));
        let fits = plain && name.len() <= LONGEST_NAME && (wildcard || !name.is_empty());
        fits.then(|| if wildcard { Self::Prefix(name.to_owned()) } else { Self::Exact(name.to_owned()) })
    }
}

const METADATA_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// `IFNAMSIZ` of Linux less its closing zero.
const LONGEST_NAME: usize = 15;
const AN_INTERFACE: &str =
    "interface names of at most 15 letters, `+` at the end as a wildcard, `!` before an exception";
