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
mod tests {
    use super::*;

    fn environment(no_proxy: &str) -> ProxyEnvironment {
        ProxyEnvironment {
            https_proxy: Some(Secret::new("http://tls-proxy:3128".to_owned())),
            http_proxy: Some(Secret::new("http://plain-proxy:3128".to_owned())),
            no_proxy: Some(no_proxy.to_owned()),
        }
    }

    #[test]
    fn the_scheme_determines_the_proxy() {
        let environment = environment("");
        let chosen =
            |scheme| environment.proxy_for(scheme, "sts.eu-west-1.amazonaws.com", 443).unwrap().expose().clone();
        assert_eq!(chosen(Scheme::Https), "http://tls-proxy:3128");
        assert_eq!(chosen(Scheme::Http), "http://plain-proxy:3128");
        let only_http = ProxyEnvironment { https_proxy: None, ..environment.clone() };
        assert!(only_http.proxy_for(Scheme::Https, "sts.amazonaws.com", 443).is_none());
        let blank = ProxyEnvironment { https_proxy: Some(Secret::new(" ".to_owned())), ..environment };
        assert!(blank.proxy_for(Scheme::Https, "sts.amazonaws.com", 443).is_none());
    }

    #[test]
    fn no_proxy_has_the_meaning_of_go() {
        for (no_proxy, host, direct) in [
            ("", "example.com", false),
            ("", "localhost", true),
            ("", "127.0.0.9", true),
            ("", "::1", true),
            ("*", "example.com", true),
            ("example.com", "example.com", true),
            ("example.com", "EXAMPLE.com", true),
            ("example.com", "example.com.", true),
            ("example.com", "sts.example.com", true),
            ("example.com", "notexample.com", false),
            (".example.com", "example.com", false),
            ("example.com", ".example.com", false),
            (".example.com", "sts.example.com", true),
            ("*.example.com", "sts.example.com", true),
            ("*.example.com", "example.com", false),
            ("a.b, Example.com ,c.d", "example.com", true),
            ("example.com:443", "example.com", true),
            ("example.com:8443", "example.com", false),
            ("10.0.0.0/8", "10.200.3.4", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "11.0.0.1", true),
            ("10.1.2.3/32", "10.1.2.3", true),
            ("10.1.2.3/32", "10.1.2.2", false),
            ("10.0.0.0/33", "10.0.0.1", false),
            ("10.0.0.0/x", "10.0.0.1", false),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe12::1", false),
            ("::/0", "fe12::1", true),
            ("fd00::1/128", "fd00::1", true),
            ("fd00::1/128", "fd00::2", false),
            ("fd00::/129", "fd00::1", false),
            ("10.0.0.0/8", "fd12::1", false),
            ("10.96.0.1", "10.96.0.1", true),
            ("10.96.0.1:443", "10.96.0.1", true),
            ("fd00::1", "fd00::1", true),
            ("[fd00::1]:443", "fd00::1", true),
            ("[fd00::1]:6443", "fd00::1", false),
            (",,", "example.com", false),
            (":443", "example.com", false),
        ] {
            let environment = environment(no_proxy);
            let through = environment.proxy_for(Scheme::Https, host, 443);
            assert_eq!(through.is_none(), direct, "NO_PROXY={no_proxy} host={host}");
        }
    }
}
