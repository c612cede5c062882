//! Pods that show a token.

use super::*;
use crate::logic::cluster::world::tests::listed_with_tokens;

#[test]
fn with_tokens_pods_without_an_address_of_their_own_are_explained_by_theirs() {
    let pods = vec![
        pod("a", "10.0.0.1"),
        Pod { host_network: true, ..pod("h", "10.0.1.1") },
        Pod { addresses: vec![], ..pod("p", "10.0.0.2") },
        Pod { host_network: true, role: None, ..pod("n", "10.0.1.1") },
    ];
    let world = listed_with_tokens(pods, vec![]);
    for (subject, parts) in [
        ("shop/pod-a", ["allowed\n", "it can also use container credentials"]),
        ("shop/pod-h", ["allowed\n", "it can only use container credentials"]),
        ("shop/pod-h", ["hostNetwork: true", "`iam.amazonaws.com/role: app`"]),
        ("shop/pod-p", ["allowed\n", "it can only use container credentials"]),
        ("shop/pod-n", ["refused (no_role)", "fix: name a role"]),
        ("10.0.1.1", ["refused (unknown_pod)", "not found"]),
    ] {
        let text = story(&world, &rules(), subject).explanation.text(subject);
        assert!(parts.iter().all(|part| text.contains(part)), "{parts:?} in\n{text}");
        assert!(!subject.ends_with("-h") || !text.contains("NO "), "{text}");
    }
}
