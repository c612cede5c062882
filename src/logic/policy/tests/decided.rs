//! The decision for each kind of route, and its additional fields.

use super::*;
use crate::logic::cluster::kubernetes::{KubernetesFailure, KubernetesFailureKind};

fn path() -> CanonicalPath {
    CanonicalPath::parse("/latest/user-data", |_| false).unwrap()
}

/// The decision's debug text, which contains its variant and fields.
fn decided(world: &World, ask: Ask<'_, '_>) -> String {
    format!("{:?}", decide(world, Some(&rules()), &keys(), ask, NOON).decision)
}

fn broken(world: &mut World, resource: Resource) {
    let kind = KubernetesFailureKind::Unavailable { retry_after_s: None };
    world.record_failure(resource, &KubernetesFailure { kind, cause: "down".into() }, Mono::default());
}

#[test]
fn a_refused_route_is_refused_with_its_own_reason() {
    let world = listed(vec![annotated("app")], vec![]);
    for route in [Route::Refuse(Reason::OtherRole), Route::RefuseContainer(Reason::OtherRole)] {
        assert_eq!(decided(&world, ask(&route)), "Refuse(OtherRole)");
    }
}

#[test]
fn a_forwarded_request_gets_nothing_but_the_agents_own_pages() {
    let world = listed(vec![annotated("app")], vec![]);
    let forwarded = |route: &Route| decided(&world, Ask { forwarded_for: true, ..ask(route) });
    for route in [
        Route::Token,
        Route::TokenOptions,
        Route::RoleList(DocumentForm::Plain),
        Route::IamInfo,
        Route::IamListing,
        Route::Forward(path()),
        Route::Listing(path()),
    ] {
        assert_eq!(forwarded(&route), "Refuse(ForwardedFor)", "{route:?}");
        assert_ne!(decided(&world, ask(&route)), "Refuse(ForwardedFor)", "{route:?}");
    }
    assert_eq!(forwarded(&Route::Page(OwnPage::Health)), "Page(Health)");
}

/// A token is issued for the pod if it is known, so a request that can still wait for the pod does.
#[test]
fn a_token_for_an_address_is_issued_only_after_waiting_for_the_pod() {
    let (known, empty) = (listed(vec![annotated("app")], vec![]), listed(vec![], vec![]));
    let token = |world, patience| decided(world, Ask { patience, ..ask(&Route::Token) });
    assert_eq!(token(&empty, Patience::Left), "NotYet(UnknownPod)");
    assert_eq!(token(&empty, Patience::Exhausted), "IssueToken");
    assert_eq!(token(&known, Patience::Left), "IssueToken");
    for route in [Route::TokenOptions, Route::TokenMethod] {
        assert_eq!(decided(&empty, ask(&route)), "TokenMethods");
    }
}

#[test]
fn iam_pages_are_for_pods_with_a_role() {
    let (with, without) = (listed(vec![annotated("app")], vec![]), listed(vec![bare()], vec![namespace("shop", None)]));
    for (route, decision) in
        [(Route::IamInfo, "Info(arn:aws:iam::123456789012:role/app)"), (Route::IamListing, "IamListing")]
    {
        assert_eq!(decided(&with, ask(&route)), decision);
        assert_eq!(decided(&without, ask(&route)), "Refuse(NoRole)");
    }
}

#[test]
fn audit_mode_records_what_it_allows_in_the_decision() {
    let audit = Rules { restrictions: Some(Format::Glob), enforcement: Enforcement::Audit, ..rules() };
    for (list, noted) in [(r#"["other"]"#, Some(Reason::RoleNotAllowed)), (r#"["app"]"#, None)] {
        let world = listed(vec![annotated("app")], vec![namespace("shop", Some(list))]);
        let route = Route::RoleDocument(DocumentForm::Plain, "app".into());
        let decided = decide(&world, Some(&audit), &keys(), ask(&route), NOON);
        assert_eq!(decided.audited, noted, "{list}");
        assert_eq!(decided.role().map(RoleArn::name), Some("app"), "{list}");
    }
    let refused = listed(vec![annotated("app")], vec![namespace("shop", None)]);
    let route = Route::RoleList(DocumentForm::Plain);
    assert_eq!(decide(&refused, Some(&rules()), &keys(), ask(&route), NOON).role(), None);
}

/// SDKs take a 404 as final, and a missing object may only not have been reported yet.
#[test]
fn an_unknown_object_is_no_final_refusal_while_its_watch_fails() {
    let restricted = Rules { restrictions: Some(Format::Glob), ..rules() };
    let reading = Rules { account_roles: AccountRoles::Read, ..rules() };
    for (pod, rules, resource, reason) in [
        (pod("b", "10.0.0.2"), &restricted, Resource::Pods, "unknown_pod"),
        (annotated("app"), &restricted, Resource::Namespaces, "unknown_namespace"),
        (bare(), &reading, Resource::ServiceAccounts, "unknown_service_account"),
    ] {
        let mut world = listed(vec![pod], vec![namespace("other", None)]);
        assert_eq!(check_with(&world, rules, LIST, None, Patience::Exhausted), reason);
        broken(&mut world, resource);
        assert_eq!(check_with(&world, rules, LIST, None, Patience::Exhausted), "watch_broken");
    }
}

/// The response to a token request reports only what is certain about a pod.
#[test]
fn a_token_is_known_to_be_required_everywhere_or_of_the_pod() {
    let lenient = listed(vec![annotated("app")], vec![namespace("shop", None)]);
    let strict = listed(vec![Pod { v2_required: true, ..annotated("app") }], vec![]);
    let held = |world: &World| match world.holder("10.0.0.1".parse().unwrap()) {
        AddressHolder::Pod(pod) => pod.clone(),
        other => panic!("{other:?}"),
    };
    let required = |world: &World, everywhere| is_token_required(world, everywhere, Some(&held(world)));
    assert!(!required(&lenient, TokenRequirement::Optional) && required(&strict, TokenRequirement::Optional));
    assert!(required(&lenient, TokenRequirement::Required));
    assert!(!is_token_required(&lenient, TokenRequirement::Optional, None));
    assert!(is_token_required(&lenient, TokenRequirement::Required, None));
}

/// A session is kept while the list that may allow it is being evaluated.
#[test]
fn a_pod_is_entitled_to_allowed_and_pending_roles() {
    let restricted = Rules { restrictions: Some(Format::Glob), ..rules() };
    let role = |world: &World| {
        let pod = world.pods().next().unwrap();
        entitled(world, &restricted, pod).map(|request| request.role.name().to_owned())
    };
    for (list, entitled) in [(r#"["app"]"#, Some("app")), (r#"["other"]"#, None)] {
        let mut world = listed(vec![annotated("app")], vec![namespace("shop", Some(list))]);
        assert_eq!(role(&world).as_deref(), entitled, "{list}");
        let late = Event::Apply(Object::Namespace(namespace("shop", Some(r#"["web"]"#))));
        world.apply(Resource::Namespaces, ParsedEvent::new(late, restricted.reading()));
        assert_eq!(role(&world).as_deref(), Some("app"), "{list}");
    }
}
