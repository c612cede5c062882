//! The worst that tenants can write within the bounds, each text another.

use serde_json::json;

use super::kubernetes::{Kubernetes, PodSpec};

pub const ALLOWED_ROLES: &str = "iam.amazonaws.com/allowed-roles";

/// A role of the longest path and name.
pub fn longest_role(number: usize) -> String {
    let name = format!("{number:05}{}", "n".repeat(59));
    format!("{}/{name}", "p".repeat(510))
}

/// As many expressions as a list may have, each of which takes long to say that it doesn't match.
pub fn slowest_list(round: usize) -> String {
    let entries: Vec<String> = (0..100).map(|entry| format!("((((.{{0,9}}){{0,9}})*)*)*z{round}x{entry}")).collect();
    json!(entries).to_string()
}

/// A list of as many globs as there may be, and as long.
fn longest_list(number: usize) -> String {
    let entries: Vec<String> = (0..1_000).map(|entry| format!("{number:03}-{entry:04}-{}", "x".repeat(20))).collect();
    json!(entries).to_string()
}

/// 5,000 pods in 200 namespaces, none of which may have what it asks for.
pub fn crowd(kubernetes: &Kubernetes) {
    for number in 0..NAMESPACES {
        let (list, default) = (longest_list(number), longest_role(90_000 + number));
        let annotations = [(ALLOWED_ROLES, &*list), ("iam.amazonaws.com/default-role", &*default)];
        kubernetes.add_namespace(&format!("hostile-{number}"), &annotations);
    }
    for index in 0..PODS {
        // Of two bytes each where it is written, and of one where it is kept.
        let policy = format!("{{\"{index:05}\":\"{}\"}}", "\u{ff}".repeat(2_036));
        let name = format!("{index:05}{}", "p".repeat(240));
        let pod = PodSpec::new(&format!("hostile-{}", index % NAMESPACES), &name)
            .ip(&format!("10.1.{}.{}", index / 250, index % 250))
            .role(&longest_role(index))
            .annotation("iam.amazonaws.com/external-id", &format!("{index:05}{}", "x".repeat(1_219)))
            .annotation("iam.amazonaws.com/policy", &policy);
        kubernetes.add_pod_unseen(pod);
    }
    kubernetes.compact();
}

const NAMESPACES: usize = 200;
const PODS: usize = 5_000;
