use std::time::Duration;

use super::*;
use crate::logic::base::time::Wall;
use crate::logic::cluster::kubernetes::{Event, KubernetesFailure, KubernetesFailureKind, Object, Pod, Resource};
use crate::logic::cluster::world::tests::{apply_all, listed, listed_with_tokens, namespace, pod};
use crate::logic::policy::pattern::Format;
use crate::logic::policy::tests::rules;
use crate::logic::policy::{Enforcement, OwnRole, OwnRoles};

const ELSEWHERE: &str = "192.0.2.1";

fn proven(uid: &str) -> ProvenPod {
    ProvenPod {
        namespace: "shop".into(),
        name: format!("pod-{uid}"),
        uid: uid.into(),
        service_account: "app".into(),
        node: Some("n1".into()),
        expires: Wall::from_unix_seconds(1_800_000_000),
    }
}

fn ask<'a>(proven: &'a ProvenPod, peer: &str) -> ProvenAsk<'a> {
    let at = Mono::from_millis(0);
    ProvenAsk { proven, peer: peer.parse().unwrap(), node: Some("n1"), patience: Patience::Left, at }
}

fn words(decided: &Decided<'_>) -> String {
    match &decided.decision {
        Decision::Assume(permitted, DocumentForm::Container) => permitted.request().role.name().to_owned(),
        Decision::Refuse(reason) => reason.word().to_owned(),
        Decision::NotYet(reason) => format!("not yet: {}", reason.word()),
        other => format!("{other:?}"),
    }
}

fn check(world: &World, rules: &Rules, ask: ProvenAsk<'_>) -> String {
    words(&decide_proven(world, Some(rules), ask))
}

#[test]
fn a_token_is_accepted_from_any_address_that_no_other_pod_holds() {
    let host = Pod { host_network: true, ..pod("host", "10.0.1.1") };
    let pending = Pod { addresses: vec![], ..pod("pending", "10.0.0.9") };
    let leaving = Pod { deleting: true, ..pod("leaving", "10.0.0.3") };
    let finished = Pod { finished: true, ..pod("finished", "10.0.0.4") };
    let shared = [pod("one", "10.0.0.5"), pod("two", "10.0.0.5")];
    let mut pods = vec![pod("a", "10.0.0.1"), pod("b", "10.0.0.2"), host, pending, leaving, finished];
    pods.extend(shared);
    let world = listed_with_tokens(pods, vec![]);
    for (uid, peer, expected) in [
        ("a", "10.0.0.1", "app"),
        ("a", ELSEWHERE, "app"),
        ("a", "127.0.0.1", "app"),
        ("a", "10.0.0.2", "token_other_pod"),
        ("a", "10.0.0.3", "token_other_pod"),
        // A finished pod holds no address, and the node's address belongs to no pod.
        ("a", "10.0.0.4", "app"),
        // Of several claimants of an address it must be one.
        ("one", "10.0.0.5", "app"),
        ("two", "10.0.0.5", "app"),
        ("a", "10.0.0.5", "token_other_pod"),
        ("host", "10.0.0.5", "token_other_pod"),
        ("pending", "10.0.0.5", "not yet: token_other_pod"),
        ("a", "10.0.1.1", "app"),
        ("host", "127.0.0.1", "app"),
        ("host", "10.0.1.1", "app"),
        ("host", "10.0.0.1", "token_other_pod"),
        ("pending", "127.0.0.1", "app"),
        // It may have the address of a pod that was deleted, and the watch not have reported that.
        ("pending", "10.0.0.1", "not yet: token_other_pod"),
        ("leaving", "10.0.0.3", "app"),
        ("finished", "10.0.0.4", "token_pod_mismatch"),
        ("unknown", ELSEWHERE, "not yet: unknown_pod"),
    ] {
        let token = proven(uid);
        assert_eq!(check(&world, &rules(), ask(&token, peer)), expected, "{uid} {peer}");
    }
}

#[test]
fn unknown_pods_and_addresses_are_refused_once_patience_is_exhausted() {
    let world =
        listed_with_tokens(vec![pod("a", "10.0.0.1"), Pod { addresses: vec![], ..pod("b", "10.0.0.2") }], vec![]);
    for (uid, peer, expected) in
        [("unknown", ELSEWHERE, "token_pod_mismatch"), ("b", "10.0.0.1", "token_other_pod"), ("b", ELSEWHERE, "app")]
    {
        let token = proven(uid);
        let late = ProvenAsk { patience: Patience::Exhausted, ..ask(&token, peer) };
        assert_eq!(check(&world, &rules(), late), expected, "{uid}");
    }
}

#[test]
fn every_claim_must_match_the_pod_with_the_uid() {
    let world = listed_with_tokens(vec![pod("a", "10.0.0.1")], vec![]);
    for other in [
        ProvenPod { namespace: "bank".into(), ..proven("a") },
        ProvenPod { name: "pod-b".into(), ..proven("a") },
        ProvenPod { service_account: "other".into(), ..proven("a") },
    ] {
        let decided = decide_proven(&world, Some(&rules()), ask(&other, "10.0.0.1"));
        assert_eq!((&*words(&decided), decided.pod.is_none()), ("token_pod_mismatch", true), "{other:?}");
    }
}

#[test]
fn a_recreated_pod_cannot_use_the_old_pods_token() {
    let mut world = listed_with_tokens(vec![pod("old", "10.0.0.1")], vec![]);
    let anew = Pod { name: "pod-old".into(), ..pod("new", "10.0.0.1") };
    apply_all(&mut world, [Event::Apply(Object::Pod(anew))]);
    let token = proven("old");
    let late = ProvenAsk { patience: Patience::Exhausted, ..ask(&token, "10.0.0.1") };
    assert_eq!(check(&world, &rules(), late), "token_pod_mismatch");
}

#[test]
fn the_node_must_match_if_token_and_agent_name_one() {
    let world = listed_with_tokens(vec![pod("a", "10.0.0.1")], vec![]);
    for (claimed, own, expected) in [
        (Some("n1"), Some("n1"), "app"),
        (Some("n2"), Some("n1"), "token_other_node"),
        (None, Some("n1"), "app"),
        (Some("n2"), None, "app"),
    ] {
        let token = ProvenPod { node: claimed.map(str::to_owned), ..proven("a") };
        let ask = ProvenAsk { node: own, ..ask(&token, ELSEWHERE) };
        assert_eq!(check(&world, &rules(), ask), expected, "{claimed:?} {own:?}");
    }
}

#[test]
fn decisions_by_token_follow_the_same_policy() {
    let pods = || {
        let plain = pod("a", "10.0.0.1");
        vec![
            plain.clone(),
            Pod { role: None, ..pod("none", "10.0.0.2") },
            Pod { role: Some("?".into()), ..pod("bad", "10.0.0.3") },
        ]
    };
    let world = listed_with_tokens(pods(), vec![namespace("shop", Some(r#"["other"]"#))]);
    let restricted = Rules { restrictions: Some(Format::Glob), ..rules() };
    let audit = Rules { enforcement: Enforcement::Audit, ..restricted.clone() };
    let own = OwnRole { account: "123456789012".into(), name: "app".into() };
    let sought = Rules { own_roles: OwnRoles::Sought(vec![]), ..rules() };
    let found = Rules { own_roles: OwnRoles::Found(vec![own]), ..rules() };
    for (rules, uid, expected) in [
        (&rules(), "none", "no_role"),
        (&rules(), "bad", "role_malformed"),
        (&restricted, "a", "role_not_allowed"),
        (&audit, "a", "app"),
        (&sought, "a", "not yet: not_ready"),
        (&found, "a", "own_role"),
    ] {
        let token = proven(uid);
        assert_eq!(check(&world, rules, ask(&token, ELSEWHERE)), expected, "{uid}");
    }
    let token = proven("a");
    let audited = decide_proven(&world, Some(&audit), ask(&token, ELSEWHERE)).audited;
    assert_eq!(audited, Some(Reason::RoleNotAllowed));
}

#[test]
fn an_incomplete_or_stale_world_refuses_tokens() {
    let token = proven("a");
    let empty = World::default();
    let late = ProvenAsk { patience: Patience::Exhausted, ..ask(&token, ELSEWHERE) };
    assert_eq!(check(&empty, &rules(), late), "not_ready");
    let world = listed(vec![pod("a", "10.0.0.1")], vec![]);
    assert_eq!(words(&decide_proven(&world, None, late)), "not_ready");
    let mut broken = listed_with_tokens(vec![pod("b", "10.0.0.2")], vec![]);
    broken.limit_age(Some(Duration::from_secs(300)));
    let refuse = |world: &mut World, second: u64| {
        let failure = KubernetesFailure { kind: KubernetesFailureKind::Forbidden, cause: "no".into() };
        world.record_failure(Resource::Pods, &failure, Mono::from_millis(second * 1_000));
    };
    refuse(&mut broken, 0);
    assert_eq!(check(&broken, &rules(), late), "watch_broken");
    (1..=11).for_each(|step| refuse(&mut broken, step * 30));
    let stale = ProvenAsk { at: Mono::from_millis(331_000), ..late };
    let known = proven("b");
    assert_eq!(check(&broken, &rules(), ProvenAsk { proven: &known, ..stale }), "world_stale");
}
