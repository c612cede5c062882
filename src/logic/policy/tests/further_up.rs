//! Roles from ServiceAccounts, namespaces and defaults, and annotations that are invalid for STS.

use super::*;
use crate::logic::cluster::kubernetes::{Event, Namespace, Object, Resource, ServiceAccount, SessionAnnotations};
use crate::logic::cluster::world::Needed;
use crate::logic::cluster::world::tests::apply_event;

fn account(role: Option<&str>) -> ServiceAccount {
    let (uid, namespace, name) = ("uid-of-app".into(), "shop".into(), "app".into());
    ServiceAccount { uid, namespace, name, role: role.map(str::to_owned) }
}

fn with_default(list: Option<&str>, default_role: Option<&str>) -> Namespace {
    Namespace { default_role: default_role.map(str::to_owned), ..namespace("shop", list) }
}

/// A world with one pod, its namespace and perhaps its ServiceAccount, with the ServiceAccounts listed.
fn scene(pod: Pod, namespaces: Vec<Namespace>, accounts: Vec<ServiceAccount>) -> World {
    let mut world = listed(vec![pod], namespaces);
    world.require_accounts();
    let accounts = accounts.into_iter().map(|account| Event::InitApply(Object::ServiceAccount(account)));
    for event in std::iter::once(Event::Init).chain(accounts).chain([Event::InitDone]) {
        apply_event(&mut world, Resource::ServiceAccounts, event, Format::Glob);
    }
    world
}

fn reading() -> Rules {
    Rules {
        account_roles: AccountRoles::Read,
        default_role: default_role("fallback", DefaultOrigin::Given, DefaultObeys::Nothing),
        ..rules()
    }
}

#[test]
fn the_nearest_role_wins() {
    let arn = "arn:aws:iam::210987654321:role/b";
    for (pod, account_role, namespace_role, role) in [
        (annotated("own"), Some("account"), Some("space"), "own"),
        (annotated(""), Some("account"), Some("space"), "no_role"),
        (bare(), Some("account"), Some("space"), "account"),
        (bare(), Some(arn), Some("space"), arn),
        (bare(), Some("not a role"), Some("space"), "role_malformed"),
        (bare(), None, Some("space"), "space"),
        (bare(), None, Some("team/space"), "team/space"),
        (bare(), None, Some("not a role"), "role_malformed"),
        (bare(), None, Some(""), "fallback"),
        (bare(), None, None, "fallback"),
        (Pod { service_account: String::new(), ..bare() }, Some("account"), None, "fallback"),
    ] {
        let world = scene(pod, vec![with_default(None, namespace_role)], vec![account(account_role)]);
        assert_eq!(check(&world, &reading(), LIST), role);
    }
}

#[test]
fn service_accounts_are_ignored_unless_configured() {
    let world = scene(bare(), vec![namespace("shop", None)], vec![account(Some("account"))]);
    assert_eq!(check(&world, &rules(), LIST), "no_role");
}

#[test]
fn unknown_service_accounts_and_namespaces_are_waited_for() {
    let unknown_account = scene(bare(), vec![namespace("shop", None)], vec![]);
    assert_eq!(check(&unknown_account, &reading(), LIST), "not yet: unknown_service_account");
    assert_eq!(check(&unknown_account, &Rules { account_roles: AccountRoles::Ignored, ..reading() }, LIST), "fallback");
    let roleless = scene(bare(), vec![namespace("another", None)], vec![account(None)]);
    assert_eq!(check(&roleless, &reading(), LIST), "fallback");
    let giving = Namespace { name: "another".into(), ..with_default(None, Some("space")) };
    let unknown_namespace = scene(bare(), vec![giving], vec![account(None)]);
    assert_eq!(check(&unknown_namespace, &reading(), LIST), "not yet: unknown_namespace");
    assert_eq!(check_with(&unknown_namespace, &reading(), LIST, None, Patience::Exhausted), "unknown_namespace");
    let mut unlisted = listed(vec![annotated("app")], vec![namespace("shop", None)]);
    assert_eq!(check(&unlisted, &rules(), LIST), "app");
    unlisted.require_accounts();
    assert_eq!(check(&unlisted, &reading(), LIST), "not yet: not_ready");
}

/// While the API server refuses to list namespaces that have default roles, the World becomes too old for
/// credentials.
#[test]
fn namespaces_are_needed_where_one_gives_a_role() {
    for (namespaces, needed) in [
        (vec![namespace("shop", None)], Needed::No),
        (vec![namespace("another", None)], Needed::No),
        (vec![with_default(None, Some("space"))], Needed::Yes),
    ] {
        assert_eq!(needs_namespaces(&listed(vec![bare()], namespaces), &rules()), needed);
    }
}

/// Only the operator's default is exempt: other defaults are written by the tenants whom the list restricts.
#[test]
fn roles_of_accounts_and_namespaces_obey_the_list() {
    let restricted = Rules { restrictions: Some(Format::Glob), ..reading() };
    for (account_role, namespace_role, list, decision) in [
        (Some("account"), None, Some(r#"["account"]"#), "account"),
        (Some("account"), None, Some(r#"["other"]"#), "role_not_allowed"),
        (None, Some("space"), Some(r#"["space"]"#), "space"),
        (None, Some("space"), None, "role_not_allowed"),
        (None, None, None, "fallback"),
    ] {
        let world = scene(bare(), vec![with_default(list, namespace_role)], vec![account(account_role)]);
        assert_eq!(check(&world, &restricted, LIST), decision, "{account_role:?} {namespace_role:?} {list:?}");
    }
}

#[test]
fn own_roles_and_other_accounts_are_refused_as_defaults_too() {
    let own = OwnRoles::Found(vec![OwnRole { account: "123456789012".into(), name: "node".into() }]);
    let node = scene(bare(), vec![with_default(None, Some("node"))], vec![account(None)]);
    assert_eq!(check(&node, &Rules { own_roles: own, ..reading() }, LIST), "own_role");
    let foreign = scene(bare(), vec![namespace("shop", None)], vec![account(Some("arn:aws:iam::210987654321:role/b"))]);
    let closed = Rules { allowed_accounts: vec!["123456789012".into()], ..reading() };
    assert_eq!(check(&foreign, &closed, LIST), "account_not_allowed");
}

#[test]
fn annotations_invalid_for_sts_refuse_with_their_reason() {
    let asks = |policy: Option<&str>, policy_arns: Option<&str>| {
        let session =
            SessionAnnotations { name: None, policy: policy.map(Into::into), policy_arns: policy_arns.map(Into::into) };
        Pod { session: Some(Box::new(session)), ..annotated("app") }
    };
    for (pod, decision) in [
        (Pod { external_id: Some("x".into()), ..annotated("app") }, "external_id_malformed"),
        (Pod { external_id: Some("x y".into()), ..annotated("app") }, "external_id_malformed"),
        (asks(Some("{}"), None), "app"),
        (asks(Some(""), None), "policy_malformed"),
        (asks(Some("s3:*"), None), "policy_malformed"),
        (asks(None, Some("arn:aws:iam::aws:policy/ReadOnlyAccess")), "app"),
        (asks(None, Some("ReadOnlyAccess")), "policy_arns_malformed"),
    ] {
        assert_eq!(check(&listed(vec![pod], vec![]), &rules(), LIST), decision);
    }
}
