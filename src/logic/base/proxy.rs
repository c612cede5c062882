//! The proxy for a host, by the rules of Go programs (golang.org/x/net/http/httpproxy): `HTTPS_PROXY` or `HTTP_PROXY`
//! by the scheme of the target, exceptions by `NO_PROXY`, and never for the local machine.

use std::net::IpAddr;

use crate::logic::base::secret::Secret;
use crate::logic::base::url::Scheme;

/// The values of the three variables. A proxy's URL may contain a password, hence the secrets.
#[derive(Clone, Debug, Default)]
pub struct ProxyEnvironment {
    pub https_proxy: Option<Secret<String>>,
    pub http_proxy: Option<Secret<String>>,
    pub no_proxy: Option<String>,
}

impl ProxyEnvironment {
    /// The proxy for `host` (a name or an address, without brackets); `None`: no proxy.
    pub fn proxy_for(&self, scheme: Scheme, host: &str, port: u16) -> Option<&Secret<String>> {
        let proxy = match scheme {
            Scheme::Https => self.https_proxy.as_ref(),
            Scheme::Http => self.http_proxy.as_ref(),
        };
        let proxy = proxy.filter(|proxy| !proxy.expose().trim().is_empty())?;
        (!self.is_direct(&host.trim_end_matches('.').to_ascii_lowercase(), port)).then_some(proxy)
    }

    fn is_direct(&self, host: &str, port: u16) -> bool {
        let address: Option<IpAddr> = host.parse().ok();
        if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return true;
        }
        let exceptions = self.no_proxy.as_deref().unwrap_or_default();
        exceptions.split(',').any(|exception| matches(&exception.trim().to_ascii_lowercase(), host, address, port))
    }
}

/// Whether one entry of `NO_PROXY` matches a host: `*`, an address, a CIDR, or a domain, each except the CIDR with an
/// optional port. `example.com` matches itself and its subdomains; `.example.com` and `*.example.com` match only
/// subdomains.
fn matches(exception: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if exception == "*" {
        return true;
    }
    if let Some((network, bits)) = exception.split_once('/') {
        let network: Option<IpAddr> = network.parse().ok();
        return bits.parse().is_ok_and(|bits| network.zip(address).is_some_and(|(n, a)| within(a, n, bits)));
    }
    let (name, only_port) = split_port(exception);
    if name.is_empty() || only_port.is_some_and(|only| only.parse() != Ok(port)) {
        return false;
    }
    if let Ok(excepted) = name.parse::<IpAddr>() {
        return address == Some(excepted);
    }
    match name.strip_prefix("*.").or_else(|| name.strip_prefix('.')) {
        Some(domain) => is_below(host, domain),
        None => host == name || is_below(host, name),
    }
}

fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

/// Splits `name:port` and `[v6]:port`; a bare IPv6 address has no port.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    if let Some(rest) = entry.strip_prefix('[') {
        let (name, rest) = rest.split_once(']').unwrap_or((rest, ""));
        return (name, rest.strip_prefix(':'));
    }
    match entry.split_once(':') {
        Some((name, port)) if !port.contains(':') => (name, Some(port)),
        _ => (entry, None),
    }
}

/// Whether `address` is in `network/bits`.
fn within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) if bits <= 32 => {
            let differing = address.to_bits() ^ network.to_bits();
            differing.checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(address), IpAddr::V6(network)) if bits <= 128 => {
            let differing = address.to_bits() ^ network.to_bits();
            differing.checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
