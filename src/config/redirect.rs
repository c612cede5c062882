//! The redirect of pods' metadata requests, and the address for container credentials.

use std::net::IpAddr;

use super::flags::RedirectFlags;
use super::listen::ListenConfig;
use super::metadata::MetadataConfig;
use super::usage::UsageError;
use super::values::{one_of, or_allowed};
use crate::logic::redirect::interfaces::InterfaceRule;
use crate::logic::redirect::{Metadata, OtherPorts, RedirectSpec};

/// What the agent changes in the node's network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NodeNetwork {
    /// The node's address as configured; needed without a redirect too, since `/healthz` shows it
    pub(super) host: Option<IpAddr>,
    pub(super) redirect: Option<RedirectConfig>,
    pub(super) credentials_address: Option<RedirectConfig>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectConfig {
    pub spec: RedirectSpec,
    pub on_exit: OnExit,
}

/// What happens to the redirect when the agent stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExit {
    Keep,
    Remove,
}

pub(super) fn read(
    flags: &RedirectFlags,
    metadata: &MetadataConfig,
    listen: &ListenConfig,
    warnings: &mut Vec<String>,
) -> Result<NodeNetwork, UsageError> {
    let (host, on_exit) = (flags.host_ip, flags.redirect_on_exit);
    let mut spec = spec(flags, listen.app.port, metadata.redirected())?;
    let credentials_address = listen.container_credentials.then(|| RedirectConfig { spec: spec.clone(), on_exit });
    if !flags.iptables {
        return Ok(NodeNetwork { host, redirect: None, credentials_address });
    }
    if let Some(bound) = listen.app.address {
        follow(bound, &mut spec)?;
    }
    if !metadata.is_redirected_where_proxied() {
        warnings.push(format!(
            "pods' own connections to --metadata-addr={} are not redirected: only those to IP addresses at port 80 are",
            metadata.proxied
        ));
    }
    Ok(NodeNetwork { host, redirect: Some(RedirectConfig { spec, on_exit }), credentials_address })
}

/// The common part of `--iptables` and `kube2iam redirect add`.
pub(super) fn spec(flags: &RedirectFlags, app_port: u16, metadata: Metadata) -> Result<RedirectSpec, UsageError> {
    let (host_ip, v6_as_host) = match flags.host_ip {
        Some(IpAddr::V4(host)) => (Some(host), None),
        Some(IpAddr::V6(host)) => (None, Some(host)),
        None => (None, None),
    };
    let (host_ip6, other_ports) = (flags.host_ip6.or(v6_as_host), flags.metadata_drop);
    let interfaces = InterfaceRule::parse(&flags.host_interface)
        .map_err(|cause| UsageError::contradiction("--host-interface", cause))?;
    Ok(RedirectSpec { host_ip, host_ip6, interfaces, metadata, other_ports, ..RedirectSpec::new(app_port) })
}

/// Checks one entry, so that an error names it; [`spec`] builds the rule from all of them.
pub(super) fn interface(text: &str) -> Result<String, String> {
    or_allowed(InterfaceRule::parse(&[text]).is_ok().then(|| text.to_owned()), AN_INTERFACE)
}

pub(super) fn other_ports(text: &str) -> Result<OtherPorts, String> {
    one_of(text, &[("true", OtherPorts::Drop), ("false", OtherPorts::Pass)])
}

pub(super) fn on_exit(text: &str) -> Result<OnExit, String> {
    one_of(text, &[("keep", OnExit::Keep), ("remove", OnExit::Remove)])
}

/// Makes the redirect's target the address that the agent listens on. Loopback must be configured explicitly, since it
/// needs the kernel setting `route_localnet`.
fn follow(bound: IpAddr, spec: &mut RedirectSpec) -> Result<(), UsageError> {
    let target = match bound {
        IpAddr::V4(_) => spec.host_ip.map(IpAddr::V4),
        IpAddr::V6(_) => spec.host_ip6.map(IpAddr::V6),
    };
    let refuse = |cause: String| Err(UsageError::contradiction(format!("--bind-address={bound}"), cause));
    match (target, bound) {
        _ if bound.is_unspecified() => {}
        (Some(target), _) if target == bound => {}
        (Some(target), _) => return refuse(format!("--iptables would send pods to {target}, where nobody listens")),
        (None, _) if bound.is_loopback() => {
            return refuse("--iptables would send pods to the node's address, where nobody listens".to_owned());
        }
        (None, IpAddr::V4(bound)) => spec.host_ip = Some(bound),
        (None, IpAddr::V6(bound)) => spec.host_ip6 = Some(bound),
    }
    Ok(())
}

const AN_INTERFACE: &str =
    "interface names of at most 15 letters, `+` at the end as a wildcard, `!` before an exception";
