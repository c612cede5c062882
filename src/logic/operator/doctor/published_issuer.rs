//! Whether AWS can read the documents of the cluster's issuer, judged by its name: with `--sts=web-identity` STS
//! verifies pods' tokens with documents that it fetches from the issuer's address over the internet.
//!
//! Only certain failures are reported. Whether an issuer with a public name is reachable can't be determined inside
//! the cluster.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Finding;
use crate::logic::base::url::{Scheme, ServiceUrl};

/// The finding about an issuer with this name.
pub fn of_published_issuer(issuer: &str) -> Finding {
    match fault(issuer) {
        None => Finding::ok(format!("`{issuer}` may be one that AWS reads")),
        Some(fault) => Finding::warn(format!(
            "AWS can't read `{issuer}`: {fault}; STS will refuse every token: publish the issuer's documents at a public \
             https address and give the API servers that as --service-account-issuer"
        )),
    }
}

/// Why IAM refuses an issuer's URL (IAM API reference, CreateOpenIDConnectProvider), or why AWS can't reach its host.
fn fault(issuer: &str) -> Option<&'static str> {
    let Ok(url) = ServiceUrl::parse(issuer) else { return Some("it is no URL") };
    if url.scheme() != Scheme::Https {
        return Some("it isn't https");
    }
    if url.authority() != bracketed(url.host()) {
        return Some("an IAM OIDC provider takes no port");
    }
    match url.host().parse::<IpAddr>() {
        Ok(address) => is_private(address).then_some("its address is private"),
        Err(_) => {
            is_private_name(url.host()).then_some("its name means something inside the cluster or its network only")
        }
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let is_shared = first == 100 && (64..128).contains(&second); // RFC 6598
            is_shared || is_private_v4(v4)
        }
        IpAddr::V6(v6) => is_private_v6(v6),
    }
}

const fn is_private_v4(v4: Ipv4Addr) -> bool {
    v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified()
}

fn is_private_v6(v6: Ipv6Addr) -> bool {
    let mapped = v6.to_ipv4_mapped().is_some_and(is_private_v4);
    mapped || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback() || v6.is_unspecified()
}

/// Names that public DNS doesn't have: single labels, Kubernetes' own, and those reserved for private use (RFC 6761,
/// RFC 6762, ICANN's `internal`).
fn is_private_name(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let ends = |suffix: &str| name.ends_with(suffix);
    let is_kops = name.starts_with(KOPS_API);
    is_kops
        || !name.contains('.')
        || PRIVATE_ENDS.iter().any(|suffix| ends(suffix))
        || KUBERNETES.contains(&name.as_str())
}

const PRIVATE_ENDS: [&str; 8] =
    [".svc", ".cluster.local", ".local", ".localhost", ".internal", ".lan", ".home.arpa", ".test"];
const KUBERNETES: [&str; 1] = ["kubernetes.default"];
/// kops' own issuer, unless discovery is configured: a public name of the API server's private address.
const KOPS_API: &str = "api.internal.";

#[cfg(test)]
mod tests;
