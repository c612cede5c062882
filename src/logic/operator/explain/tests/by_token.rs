//! Pods with tokens.

use super::*;
use crate::logic::cluster::world::tests::listed_with_tokens;
use crate::logic::sessions::session::CallsBear;
use crate::logic::sts::TokenRefusal;

#[test]
fn pods_without_an_address_of_their_own_are_explained_by_token() {
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

/// If calls carry tokens, requests by address get nothing and a pod is explained by its token alone.
#[test]
fn a_pod_is_explained_by_token_if_calls_carry_tokens() {
    let pods = vec![
        pod("a", "10.0.0.1"),
        Pod { host_network: true, ..pod("h", "10.0.1.1") },
        Pod { external_id: Some("customer-7".into()), ..pod("x", "10.0.0.2") },
        Pod { finished: true, ..pod("f", "10.0.0.3") },
    ];
    let world = listed_with_tokens(pods, vec![]);
    let mut rules = rules();
    rules.session.bearing = CallsBear::PodToken;
    for (subject, parts) in [
        ("shop/pod-a", ["allowed\n", "the metadata address refuses them: proof_required"]),
        ("10.0.0.1", ["(shop/pod-a): allowed\n", "by a token of ServiceAccount `app`"]),
        ("shop/pod-h", ["allowed\n", "by a token of ServiceAccount `app`"]),
        (
            "shop/pod-x",
            ["refused (external_id_unsupported)", "fix: remove `iam.amazonaws.com/external-id` from the pod"],
        ),
        ("shop/pod-f", ["refused (unknown_pod)", "runs no program that could use credentials"]),
    ] {
        let text = story(&world, &rules, subject).explanation.text(subject);
        assert!(parts.iter().all(|part| text.contains(part)), "{parts:?} in\n{text}");
    }
    let untrusted = StsFailure {
        kind: StsFailureKind::Token(TokenRefusal::Untrusted),
        code: "AccessDenied".into(),
        message: "no".into(),
        request_id: None,
    };
    let told = story(&world, &rules, "shop/pod-a").with_credentials(None, StsCall::None, Some((&untrusted, NOON)));
    let text = told.text("shop/pod-a");
    for part in ["refused (sts_token_untrusted)", "STS said AccessDenied", "`sub` system:serviceaccount:shop:app and"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}
