//! Session tokens: which pod they belong to, and where they are required.

use super::*;
use crate::logic::cluster::kubernetes::{KubernetesFailure, KubernetesFailureKind, Namespace};

const V4: &str = "10.0.0.1";
const V6: &str = "fd00::1";

/// Decides a GET of `target` from `peer`; returns the decision as a word, and whether the token was valid.
fn check(world: &World, tokens: TokenRequirement, peer: &str, target: &str, token: Option<&[u8]>) -> (String, bool) {
    let request = Request { method: Method::Get, target, headers: Headers::default() };
    let route = route(&request, Facing::Metadata, &RouteRules::default());
    let ask = Ask { peer: peer.parse().unwrap(), token, tokens, ..ask(&route) };
    let decided = decide(world, Some(&rules()), &keys(), ask, NOON);
    let word = match decided.decision {
        Decision::Refuse(reason) => reason.word().to_owned(),
        Decision::NotYet(reason) => format!("not yet: {}", reason.word()),
        Decision::Name(_) | Decision::Forward(_) => "ok".to_owned(),
        other => format!("{other:?}"),
    };
    (word, decided.token_left.is_some())
}

fn optional(world: &World, peer: &str, token: &str) -> String {
    check(world, TokenRequirement::Optional, peer, LIST, Some(token.as_bytes())).0
}

fn of_pod(uid: &str) -> String {
    keys().issue(Bearer::Pod(uid), 60, NOON)
}

fn of_address(address: &str) -> String {
    keys().issue(Bearer::Address(address.parse().unwrap()), 60, NOON)
}

fn dual_stack() -> Pod {
    Pod { addresses: vec![V4.parse().unwrap(), V6.parse().unwrap()], ..annotated("app") }
}

const PROXIED: &str = "/latest/meta-data/placement/region";

#[test]
fn tokens_are_checked_on_every_route() {
    let world = listed(vec![annotated("app")], vec![]);
    for target in [LIST, PROXIED, "/latest/meta-data/iam/info", "/", "/latest/meta-data/iam/security-credentials/x"] {
        for token in [of_pod("b"), of_address("10.0.0.9"), String::new(), "x".repeat(39), of_pod("a")[1..].to_owned()] {
            let (word, good) = check(&world, TokenRequirement::Optional, V4, target, Some(token.as_bytes()));
            assert_eq!((word.as_str(), good), ("token_invalid", false), "{target}");
        }
        assert!(check(&world, TokenRequirement::Optional, V4, target, Some(of_pod("a").as_bytes())).1, "{target}");
    }
}

#[test]
fn tokens_are_required_by_flag_pod_or_namespace() {
    let lenient = listed(vec![annotated("app")], vec![namespace("shop", None)]);
    let by_pod = listed(vec![Pod { v2_required: true, ..annotated("app") }], vec![]);
    let by_namespace = listed(vec![annotated("app")], vec![Namespace { v2_required: true, ..namespace("shop", None) }]);
    let good = of_pod("a");
    for (world, tokens) in [
        (&lenient, TokenRequirement::Required),
        (&by_pod, TokenRequirement::Optional),
        (&by_namespace, TokenRequirement::Optional),
    ] {
        for target in [LIST, PROXIED] {
            assert_eq!(check(world, tokens, V4, target, None).0, "token_required", "{target}");
            assert_eq!(check(world, tokens, V4, target, Some(good.as_bytes())).0, "ok", "{target}");
        }
    }
    assert_eq!(check(&lenient, TokenRequirement::Optional, V4, LIST, None).0, "ok");
}

/// The agent-wide requirement doesn't wait for roles to be discovered.
#[test]
fn tokens_are_required_before_the_rules_are_known() {
    let request = Request { method: Method::Get, target: PROXIED, headers: Headers::default() };
    let route = route(&request, Facing::Metadata, &RouteRules::default());
    let word = |tokens| match decide(&World::default(), None, &keys(), Ask { tokens, ..ask(&route) }, NOON).decision {
        Decision::Refuse(reason) => reason.word(),
        _ => "ok",
    };
    assert_eq!((word(TokenRequirement::Required), word(TokenRequirement::Optional)), ("token_required", "ok"));
}

#[test]
fn a_token_from_before_the_pod_was_known_is_valid_at_all_its_addresses() {
    let before = listed(vec![], vec![]);
    let known = listed(vec![dual_stack()], vec![]);
    for address in [V4, V6] {
        let early = of_address(address);
        assert_eq!(optional(&before, address, &early), "not yet: unknown_pod");
        assert_eq!([optional(&known, V4, &early), optional(&known, V6, &early)], ["ok", "ok"], "{address}");
    }
    assert_eq!(optional(&known, V6, &of_pod("a")), "ok");
    assert_eq!(optional(&known, V6, &of_address("10.0.0.9")), "token_invalid");
}

#[test]
fn a_token_of_any_claimant_is_valid_while_the_address_is_ambiguous() {
    let shared = listed(vec![annotated("app"), pod("b", V4)], vec![]);
    for token in [of_pod("a"), of_pod("b"), of_address(V4)] {
        assert_eq!(optional(&shared, V4, &token), "not yet: ambiguous_address");
    }
    assert_eq!(optional(&shared, V4, &of_pod("c")), "token_invalid");
}

/// Where some namespaces require tokens, an unknown namespace may be one of them: nothing specific to the pod is
/// served without a token.
#[test]
fn an_unknown_namespace_is_waited_for_unless_the_token_is_valid() {
    let lenient = listed(vec![annotated("app")], vec![namespace("other", None)]);
    assert_eq!(check(&lenient, TokenRequirement::Optional, V4, LIST, None).0, "ok");
    let strict = Namespace { v2_required: true, ..namespace("other", None) };
    let elsewhere = listed(vec![annotated("app")], vec![strict]);
    let (good, foreign) = (of_pod("a"), TokenKeys::new(&[9; 32], NOON).issue(Bearer::Pod("a"), 60, NOON));
    let word = |target, token: Option<&str>| {
        check(&elsewhere, TokenRequirement::Optional, V4, target, token.map(str::as_bytes)).0
    };
    for token in [None, Some(&*foreign)] {
        assert_eq!(word(LIST, token), "not yet: unknown_namespace");
        assert_eq!(word(PROXIED, token), "ok");
    }
    assert_eq!([word(LIST, Some(&good)), word(PROXIED, Some(&good))], ["ok", "ok"]);
    let exhausted = super::check_with(&elsewhere, &rules(), LIST, None, Patience::Exhausted);
    assert_eq!(exhausted, "unknown_namespace");
}

/// The token can't be checked before its pod is known.
#[test]
fn a_pods_token_from_an_unknown_address_waits_for_the_pod() {
    let empty = listed(vec![], vec![]);
    let good = of_pod("a");
    let word = |tokens, target, token: &str| check(&empty, tokens, V4, target, Some(token.as_bytes())).0;
    assert_eq!(word(TokenRequirement::Optional, LIST, &good), "not yet: unknown_pod");
    assert_eq!(word(TokenRequirement::Optional, PROXIED, &good), "not yet: unknown_pod");
    for target in [LIST, PROXIED] {
        assert_eq!(word(TokenRequirement::Required, target, &good), "not yet: unknown_pod", "{target}");
        for bad in [of_address("10.0.0.9"), keys().issue(Bearer::Pod("a"), 0, NOON), "x".repeat(39)] {
            assert_eq!(word(TokenRequirement::Optional, target, &bad), "token_invalid", "{target}");
        }
    }
    let last = |world: &World| super::check_with(world, &rules(), LIST, Some(good.as_bytes()), Patience::Exhausted);
    assert_eq!(last(&empty), "token_invalid");
    assert_eq!(last(&World::default()), "not_ready");
    let mut broken = listed(vec![], vec![]);
    let kind = KubernetesFailureKind::Unavailable { retry_after_s: None };
    broken.record_failure(Resource::Pods, &KubernetesFailure { kind, cause: "down".into() }, Mono::default());
    assert_eq!(last(&broken), "watch_broken");
}

#[test]
fn the_strictest_claimant_decides_whether_a_token_is_required() {
    let strict = Namespace { v2_required: true, ..namespace("shop", None) };
    let lenient = Pod { namespace: "other".into(), ..pod("b", V4) };
    for (pods, namespaces) in [
        (vec![annotated("app"), Pod { v2_required: true, ..lenient.clone() }], vec![namespace("shop", None)]),
        (vec![annotated("app"), lenient], vec![strict, namespace("other", None)]),
    ] {
        let world = listed(pods, namespaces);
        assert_eq!(check(&world, TokenRequirement::Optional, V4, PROXIED, None).0, "token_required");
        assert_eq!(check(&world, TokenRequirement::Optional, V4, LIST, None).0, "token_required");
    }
}

/// The AWS SDK for Rust keeps such a token for hours: from the real service, or from an agent whose keys were lost.
#[test]
fn a_token_signed_with_a_foreign_key_counts_as_none_where_none_is_required() {
    let open = listed(vec![annotated("app")], vec![namespace("shop", None)]);
    let strict = listed(vec![Pod { v2_required: true, ..annotated("app") }], vec![]);
    let lost = TokenKeys::new(&[9; 32], NOON).issue(Bearer::Pod("a"), 60, NOON);
    for token in ["kjcXUFMxlL5pelCmeaP+kdIGaA/yVwFQ+0q+nvhEvTw=", &lost] {
        let check = |world, tokens, target| check(world, tokens, V4, target, Some(token.as_bytes()));
        for target in [LIST, PROXIED] {
            assert_eq!(check(&open, TokenRequirement::Optional, target), ("ok".to_owned(), false), "{target}");
            for (world, tokens) in [(&open, TokenRequirement::Required), (&strict, TokenRequirement::Optional)] {
                assert_eq!(check(world, tokens, target).0, "token_invalid", "{target}");
            }
        }
    }
}
