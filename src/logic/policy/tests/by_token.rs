//! The metadata routes for pods whose credentials need their ServiceAccount token.

use super::*;

fn by_token() -> Rules {
    let rules = rules();
    Rules { session: SessionRules { bearing: CallsBear::PodToken, ..rules.session.clone() }, ..rules }
}

#[test]
fn an_address_is_no_proof_and_other_metadata_is_still_served() {
    let named = Pod { role: Some("app".into()), ..pod("a", "10.0.0.1") };
    let world = listed(vec![named], vec![namespace("shop", None)]);
    for (target, expected) in [
        ("/latest/meta-data/iam/security-credentials/", "proof_required"),
        ("/latest/meta-data/iam/security-credentials", "proof_required"),
        ("/latest/meta-data/iam/security-credentials-extended/", "proof_required"),
        ("/latest/meta-data/iam/security-credentials/app", "proof_required"),
        ("/latest/meta-data/iam/security-credentials/other", "proof_required"),
        ("/latest/meta-data/iam/security-credentials-extended/app", "proof_required"),
    ] {
        assert_eq!(check(&world, &by_token(), target), expected, "{target}");
        assert_ne!(check(&world, &rules(), target), expected, "{target}");
    }
    for target in [
        "/latest/meta-data/iam/info",
        "/latest/meta-data/iam/",
        "/latest/meta-data/",
        "/latest/meta-data/placement/region",
        "/latest/dynamic/instance-identity/document",
        "/latest/user-data",
    ] {
        assert_eq!(check(&world, &by_token(), target), check(&world, &rules(), target), "{target}");
    }
}

/// The label would not help a pod that may have no role anyway.
#[test]
fn a_pod_without_a_role_is_refused_for_that_reason_first() {
    for (pod, reason) in [
        (Pod { role: None, ..pod("a", "10.0.0.1") }, "no_role"),
        (Pod { role: Some("a//b".into()), ..pod("a", "10.0.0.1") }, "role_malformed"),
        (
            Pod { role: Some("app".into()), external_id: Some("customer-1".into()), ..pod("a", "10.0.0.1") },
            "external_id_unsupported",
        ),
    ] {
        let world = listed(vec![pod], vec![namespace("shop", None)]);
        assert_eq!(check(&world, &by_token(), "/latest/meta-data/iam/security-credentials/"), reason);
    }
    let world = listed(vec![], vec![namespace("shop", None)]);
    let ask = |patience| check_with(&world, &by_token(), "/latest/meta-data/iam/security-credentials/", None, patience);
    assert_eq!([ask(Patience::Left), ask(Patience::Exhausted)], ["not yet: unknown_pod", "unknown_pod"]);
}
