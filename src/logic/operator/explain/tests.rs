mod by_token;
mod details;

use super::*;
use crate::logic::base::secret::Secret;
use crate::logic::base::time::{Mono, Now, Wall};
use crate::logic::cluster::kubernetes::{AnnotationKeys, Namespace, Pod, SessionAnnotations};
use crate::logic::cluster::world::World;
use crate::logic::cluster::world::tests::{listed, namespace, pod};
use crate::logic::identity::metadata_token::TokenKeys;
use crate::logic::policy::pattern::Format;
use crate::logic::policy::tests::rules;
use crate::logic::policy::{
    AccountRoles, DefaultObeys, DefaultOrigin, DefaultRole, Enforcement, OwnRole, OwnRoles, Rules, TokenRequirement,
};
use crate::logic::sessions::credentials::Credentials;
use crate::logic::sessions::session::{NameAnnotation, Session};
use crate::logic::sts::{Assumed, StsFailure, StsFailureKind};
use std::time::Duration;

const NOON: Wall = Wall::from_unix_seconds(1_800_000_000);

fn story(world: &World, rules: &Rules, subject: &str) -> Story {
    let annotations = AnnotationKeys {
        role: "iam.amazonaws.com/role".into(),
        external_id: "iam.amazonaws.com/external-id".into(),
        allowed_roles: "iam.amazonaws.com/allowed-roles".into(),
    };
    let keys = TokenKeys::new(&[1; 32], NOON);
    let scene = Scene {
        world,
        rules: Some(rules),
        keys: &keys,
        tokens: TokenRequirement::Optional,
        annotations: &annotations,
        now: NOON,
        at: Mono::default(),
        silence: Some(Duration::from_secs(2)),
        node: Some("node-1"),
        chosen: None,
    };
    explain(&scene, &Subject::parse(subject).unwrap())
}

/// Explains, and returns the text without its constant parts.
fn check(pods: Vec<Pod>, namespaces: Vec<Namespace>, rules: &Rules, subject: &str) -> String {
    story(&listed(pods, namespaces), rules, subject).explanation.text(subject)
}

fn restricted() -> Rules {
    Rules { restrictions: Some(Format::Glob), ..rules() }
}

#[test]
fn subjects_are_pods_or_addresses() {
    for (text, subject) in [
        ("shop/web-1", Some(Subject::Pod { namespace: "shop".into(), name: "web-1".into() })),
        ("10.0.0.1", Some(Subject::Address("10.0.0.1".parse().unwrap()))),
        ("::ffff:10.0.0.1", Some(Subject::Address("10.0.0.1".parse().unwrap()))),
        ("web-1", None),
        ("shop/", None),
        ("a/b/c", None),
        ("a/b\n", None),
    ] {
        assert_eq!(Subject::parse(text), subject, "{text}");
    }
}

#[test]
fn an_allowed_pod_shows_role_pattern_and_session() {
    let pods = vec![Pod { external_id: Some("x-1".into()), ..pod("a", "10.0.0.1") }];
    let text = check(pods, vec![namespace("shop", Some(r#"["other", "a*"]"#))], &restricted(), "shop/pod-a");
    for line in [
        "shop/pod-a: allowed\n",
        "role: arn:aws:iam::123456789012:role/app\n",
        "`shop/pod-a`, uid a, service account `app`; the API server was last heard of 2 s ago",
        "`iam.amazonaws.com/role: app`",
        "`other` in `iam.amazonaws.com/allowed-roles` of `shop` doesn't match",
        "`a*` in `iam.amazonaws.com/allowed-roles` of `shop` allows it",
        "`n1-app` for 3600 s, external id `x-1`",
        "10.0.0.1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("fix:") && !text.contains("NO "), "{text}");
}

/// One row per refusal: the pod, its namespace's list, the rules, and the expected parts of the text.
#[test]
fn a_refused_pod_shows_the_cause_and_the_fix() {
    let base = || pod("a", "10.0.0.1");
    let own = OwnRoles::Found(vec![OwnRole { account: "123456789012".into(), name: "app".into() }]);
    for (pod, list, rules, parts) in [
        (
            base(),
            Some(r#"["other"]"#),
            restricted(),
            ["refused (role_not_allowed)", "no entry of `iam.amazonaws.com/allowed-roles`", r#"=["other","app"]'"#],
        ),
        (
            base(),
            None,
            restricted(),
            ["role_not_allowed", "no annotation `iam.amazonaws.com/allowed-roles`", "fix: list"],
        ),
        (base(), Some("app"), restricted(), ["role_not_allowed", "is not a JSON array of strings", r#"=["app"]'"#]),
        (
            Pod { role: None, ..base() },
            None,
            rules(),
            ["no_role", "no annotation `iam.amazonaws.com/role`", "fix: name a role in the annotation"],
        ),
        (Pod { role: Some(String::new()), ..base() }, None, rules(), ["no_role", "but empty", "role: none"]),
        (
            Pod { role: Some("a b".into()), ..base() },
            None,
            rules(),
            ["role_malformed", "`a b` is not a role", "fix: write"],
        ),
        (
            Pod { host_network: true, ..base() },
            None,
            rules(),
            [
                "unknown_pod",
                "NO  network      `hostNetwork: true`",
                "`iam.amazonaws.com/role` and similar annotations aren't kept",
            ],
        ),
        (
            Pod { finished: true, ..base() },
            None,
            rules(),
            ["unknown_pod", "its phase is Succeeded or Failed", "fix: nothing: a pod in phase Succeeded"],
        ),
        (Pod { addresses: vec![], ..base() }, None, rules(), ["unknown_pod", "it has no address yet", "fix: wait"]),
        (base(), None, Rules { own_roles: own, ..rules() }, ["own_role", "the agent itself runs", "fix: give the pod"]),
        (
            base(),
            None,
            Rules { allowed_accounts: vec!["210987654321".into()], ..rules() },
            ["account_not_allowed", "leaves its account out", "fix: add the account"],
        ),
    ] {
        let text = check(vec![pod], vec![namespace("shop", list)], &rules, "shop/pod-a");
        for part in parts {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(text.starts_with("shop/pod-a: refused"), "{text}");
    }
}

#[test]
fn unknown_subjects_are_not_found() {
    let pods = vec![pod("a", "10.0.0.1"), Pod { host_network: true, ..pod("h", "10.0.1.1") }];
    for (subject, part) in [
        ("shop/pod-x", "not found: no pod `shop/pod-x` is known on node `node-1`; the API server was last heard of"),
        ("other/pod-a", "not found: no pod `other/pod-a`"),
        ("10.9.9.9", "not found: no pod is known at 10.9.9.9 on node `node-1`"),
    ] {
        let text = check(pods.clone(), vec![], &rules(), subject);
        assert!(text.contains(part) && text.contains("refused (unknown_pod)"), "{text}");
    }
    let world = World::default();
    let text = story(&world, &rules(), "shop/pod-a").explanation.text("shop/pod-a");
    assert!(text.contains("not found: pods aren't listed yet") && text.contains("refused (not_ready)"), "{text}");
}

#[test]
fn an_address_is_explained_by_its_pod() {
    let text = check(vec![pod("a", "10.0.0.1")], vec![], &rules(), "10.0.0.1");
    assert!(text.starts_with("10.0.0.1 (shop/pod-a): allowed"), "{text}");
    let host = vec![Pod { host_network: true, ..pod("h", "10.0.1.1") }];
    let text = check(host, vec![], &rules(), "10.0.1.1");
    assert!(text.contains("(shop/pod-h): refused (unknown_pod)") && text.contains("hostNetwork"), "{text}");
}

#[test]
fn shared_addresses_name_their_claimants() {
    let two = || vec![pod("a", "10.0.0.1"), pod("b", "10.0.0.1")];
    let text = check(two(), vec![], &rules(), "10.0.0.1");
    assert!(text.contains("ambiguous_address") && text.contains("`shop/pod-a`, `shop/pod-b`"), "{text}");
    let text = check(two(), vec![], &rules(), "shop/pod-a");
    assert!(text.contains("ambiguous_address") && text.contains("2 running pods claim the address"), "{text}");
    assert!(text.contains("role: arn:aws:iam::123456789012:role/app\n"), "the role that it would have: {text}");
    let leaving = vec![Pod { deleting: true, ..pod("a", "10.0.0.1") }, pod("b", "10.0.0.1")];
    let text = check(leaving, vec![], &rules(), "shop/pod-a");
    assert!(text.contains("owner_changed") && text.contains("10.0.0.1 belongs to `shop/pod-b` now"), "{text}");
    assert!(text.contains("role: arn:aws:iam::123456789012:role/app\n"), "{text}");
    let reused = vec![Pod { finished: true, ..pod("a", "10.0.0.1") }, pod("b", "10.0.0.1")];
    let text = check(reused, vec![], &rules(), "shop/pod-a");
    assert!(text.contains("unknown_pod") && text.contains("belongs to `shop/pod-b` now"), "{text}");
}

#[test]
fn the_default_role_is_shown_as_such() {
    let default = DefaultRole {
        role: rules().base.role("fallback").unwrap(),
        origin: DefaultOrigin::Given,
        obeys: DefaultObeys::Nothing,
    };
    let rules = Rules { default_role: Some(default), ..restricted() };
    let bare = vec![Pod { role: None, ..pod("a", "10.0.0.1") }];
    let text = check(bare, vec![namespace("shop", None)], &rules, "shop/pod-a");
    assert!(text.contains("the default role is `arn:aws:iam::123456789012:role/fallback`"), "{text}");
    assert!(text.contains("exempt from namespaces' lists") && text.contains(": allowed\n"), "{text}");
}

#[test]
fn roles_of_service_accounts_are_shown_with_their_origin() {
    let bare = || vec![Pod { role: None, ..pod("a", "10.0.0.1") }];
    let with_default = Namespace { default_role: Some("web".into()), ..namespace("shop", None) };
    let text = check(bare(), vec![with_default], &rules(), "shop/pod-a");
    for part in [": allowed\n", "`web`", "the pod has no annotation `iam.amazonaws.com/role`"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let reading = Rules { account_roles: AccountRoles::Read, ..rules() };
    let text = check(bare(), vec![namespace("shop", None)], &reading, "shop/pod-a");
    assert!(text.contains("refused (unknown_service_account)") && text.contains("`app` is not known"), "{text}");
}

#[test]
fn invalid_session_annotations_are_explained() {
    let pods = vec![Pod { external_id: Some("a b".into()), ..pod("a", "10.0.0.1") }];
    let text = check(pods, vec![], &rules(), "shop/pod-a");
    assert!(text.contains("refused (external_id_malformed)") && text.contains("NO  session"), "{text}");
}

#[test]
fn audit_mode_allows_and_shows_what_it_would_refuse() {
    let rules = Rules { enforcement: Enforcement::Audit, ..restricted() };
    let told = story(&listed(vec![pod("a", "10.0.0.1")], vec![namespace("shop", None)]), &rules, "shop/pod-a");
    assert!(told.permitted.is_some());
    let Explanation { decision, reason, policy, .. } = &told.explanation;
    assert_eq!(
        (*decision, reason.as_deref(), policy.as_deref()),
        (Judgement::Allowed, Some("role_not_allowed"), Some("audit"))
    );
    assert!(told.explanation.text("shop/pod-a").contains("allowed, policy=audit (would be refused: role_not_allowed)"));
}

#[test]
fn required_tokens_are_noted_and_change_nothing() {
    let pods = vec![Pod { v2_required: true, ..pod("a", "10.0.0.1") }];
    let text = check(pods, vec![], &rules(), "shop/pod-a");
    assert!(text.contains("must bear a session token") && text.contains(": allowed\n"), "{text}");
}

#[test]
fn a_refusal_of_sts_is_a_refusal_of_the_pod() {
    let failure = |kind| StsFailure { kind, code: "AccessDenied".into(), message: "no".into(), request_id: None };
    let world = listed(vec![pod("a", "10.0.0.1")], vec![]);
    let told = || story(&world, &rules(), "shop/pod-a");
    let (said, tried) = ("STS said AccessDenied at", "the last call failed with AccessDenied at");
    for (call, failure, state, words, decision) in [
        (StsCall::None, None, "none", None, Judgement::Allowed),
        (StsCall::Pending, None, "fetching", None, Judgement::Allowed),
        (StsCall::Pending, Some(failure(StsFailureKind::Refused)), "fetching", Some(tried), Judgement::Allowed),
        (StsCall::None, Some(failure(StsFailureKind::Refused)), "refused", Some(said), Judgement::Refused),
        (StsCall::None, Some(failure(StsFailureKind::Unavailable)), "failed", Some(tried), Judgement::Refused),
    ] {
        let explained = told().with_credentials(None, call, failure.as_ref().map(|failure| (failure, NOON)));
        assert_eq!((explained.credentials.clone().unwrap().state.as_str(), explained.decision), (state, decision));
        let text = explained.text("shop/pod-a");
        let told = words.map(|words| format!("{words} 2027-01-15T08:00:00Z: no"));
        assert!(told.is_none_or(|told| text.contains(&told)) && words.is_some() == text.contains("08:00"), "{text}");
        assert_eq!(text.contains("fix:"), decision == Judgement::Refused, "{text}");
    }
}

/// Whatever STS responds meanwhile, a cached session is valid until it expires.
#[test]
fn a_held_session_is_fresh_or_being_renewed() {
    let credentials = Credentials {
        access_key_id: "ASIA".into(),
        secret_access_key: Secret::new("secret".into()),
        session_token: None,
        expiration: Some(NOON.after(Duration::from_secs(3_600))),
    };
    let assumed = Assumed { credentials, life: Duration::from_secs(3_600) };
    let now = Now { mono: Mono::from_millis(0), wall: NOON };
    let world = listed(vec![pod("a", "10.0.0.1")], vec![]);
    let refused = StsFailure {
        kind: StsFailureKind::Refused,
        code: "AccessDenied".into(),
        message: "no".into(),
        request_id: None,
    };
    for (call, failure, line) in [
        (StsCall::None, None, "credentials: fresh, valid until 2027-01-15T09:00:00Z\n"),
        (StsCall::Pending, None, "credentials: renewing, valid until 2027-01-15T09:00:00Z\n"),
        (
            StsCall::None,
            Some(&refused),
            "credentials: fresh, valid until 2027-01-15T09:00:00Z, the last call failed with AccessDenied at \
             2027-01-15T08:00:00Z: no\n",
        ),
    ] {
        let told = story(&world, &rules(), "shop/pod-a");
        let session = Session::render(told.permitted.as_ref().unwrap().request(), &assumed, now);
        let explained = told.with_credentials(Some(&session), call, failure.map(|failure| (failure, NOON)));
        let text = explained.text("shop/pod-a");
        assert!(text.contains(line) && text.contains(": allowed\n") && !text.contains("fix:"), "{text}");
    }
}

#[test]
fn the_json_has_the_documented_keys_in_order() {
    let told = story(&listed(vec![pod("a", "10.0.0.1")], vec![]), &rules(), "shop/pod-a");
    let json = serde_json::to_string(&told.with_credentials(None, StsCall::None, None)).unwrap();
    let keys = ["pod", "namespace", "role", "decision", "reason", "policy", "steps", "credentials", "fix"];
    let places: Vec<usize> = keys.iter().map(|key| json.find(&format!("\"{key}\":")).unwrap()).collect();
    assert!(places.is_sorted(), "{json}");
    assert!(json.contains(r#""decision":"allowed","reason":null"#), "{json}");
}

#[test]
fn an_ignored_session_name_is_shown() {
    let session = SessionAnnotations { name: Some("admin".into()), ..Default::default() };
    let pods = vec![Pod { session: Some(Box::new(session)), ..pod("a", "10.0.0.1") }];
    let mut rules = rules();
    let ignored = "`iam.amazonaws.com/session-name` is ignored: the agent runs without --session-name-annotation";
    for (annotation, told) in [(NameAnnotation::Ignored, true), (NameAnnotation::Read, false)] {
        rules.session.name_annotation = annotation;
        let text = check(pods.clone(), vec![], &rules, "shop/pod-a");
        assert_eq!((text.contains(ignored), text.contains("`admin` for 3600 s")), (told, !told), "{text}");
    }
}
