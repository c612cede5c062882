mod agreement;
mod by_token;
mod decided;
mod further_up;
mod tokens;

use super::*;

use crate::logic::cluster::kubernetes::{Event, Object, Pod, Resource};
use crate::logic::cluster::world::ParsedEvent;
use crate::logic::cluster::world::tests::{listed, listed_below, namespace, pod};
use crate::logic::identity::metadata_token::Bearer;
use crate::logic::policy::pattern::Format;
use crate::logic::request::message::{Headers, Method, Request};
use crate::logic::request::route::{Facing, RouteRules, route};
use crate::logic::sessions::session::{CallsBear, NameAnnotation, NameTemplate, Tags};

const NOON: Wall = Wall::from_unix_seconds(1_800_000_000);

pub(crate) fn rules() -> Rules {
    Rules {
        base: BaseArn::parse("arn:aws:iam::123456789012:role/").unwrap(),
        default_role: None,
        account_roles: AccountRoles::Ignored,
        restrictions: None,
        enforcement: Enforcement::Enforce,
        session: SessionRules {
            duration_s: 3_600,
            name: NameTemplate::parse(NameTemplate::DEFAULT).unwrap(),
            name_annotation: NameAnnotation::Ignored,
            node: "n1".into(),
            tags: Tags::None,
            bearing: CallsBear::NodeSignature,
        },
        own_roles: OwnRoles::Found(vec![]),
        allowed_accounts: vec![],
        pod_tokens: PodTokens::Ignored,
    }
}

fn default_role(role: &str, origin: DefaultOrigin, obeys: DefaultObeys) -> Option<DefaultRole> {
    Some(DefaultRole { role: rules().base.role(role).unwrap(), origin, obeys })
}

fn keys() -> TokenKeys {
    TokenKeys::new(&[1; 32], NOON)
}

/// Decides a GET from 10.0.0.1 and formats the decision in a word or two.
fn check(world: &World, rules: &Rules, target: &str) -> String {
    check_with(world, rules, target, None, Patience::Left)
}

fn check_with(world: &World, rules: &Rules, target: &str, token: Option<&[u8]>, patience: Patience) -> String {
    let request = Request { method: Method::Get, target, headers: Headers::default() };
    let route = route(&request, Facing::Metadata, &RouteRules::default());
    let ask = Ask { token, patience, ..ask(&route) };
    match decide(world, Some(rules), &keys(), ask, NOON).decision {
        Decision::Name(role) => rules.base.shorten(&role).to_owned(),
        Decision::Assume(permitted, form) => format!("{form:?} {}", permitted.request().role),
        Decision::Refuse(reason) => reason.word().to_owned(),
        Decision::NotYet(reason) => format!("not yet: {}", reason.word()),
        other => format!("{other:?}"),
    }
}

/// A plain request from 10.0.0.1.
fn ask<'r>(route: &'r Route) -> Ask<'r, 'static> {
    Ask {
        peer: "10.0.0.1".parse().unwrap(),
        route,
        token: None,
        forwarded_for: false,
        tokens: TokenRequirement::Optional,
        patience: Patience::Left,
        at: Mono::default(),
        chosen: None,
    }
}

const LIST: &str = "/latest/meta-data/iam/security-credentials/";

fn annotated(role: &str) -> Pod {
    Pod { role: Some(role.into()), ..pod("a", "10.0.0.1") }
}

fn bare() -> Pod {
    Pod { role: None, ..pod("a", "10.0.0.1") }
}

#[test]
fn roles_come_from_the_annotation_or_the_default() {
    let with_default =
        Rules { default_role: default_role("fallback", DefaultOrigin::Given, DefaultObeys::Nothing), ..rules() };
    for (pod, rules, role) in [
        (annotated("app"), rules(), "app"),
        (annotated("team/app"), rules(), "team/app"),
        (annotated("arn:aws:iam::210987654321:role/b"), rules(), "arn:aws:iam::210987654321:role/b"),
        (annotated("app"), with_default.clone(), "app"),
        (bare(), rules(), "no_role"),
        (bare(), with_default.clone(), "fallback"),
        (annotated(""), rules(), "no_role"),
        (annotated(""), with_default, "no_role"),
        (annotated("not a role"), rules(), "role_malformed"),
        (annotated("app"), Rules { base: BaseArn::default(), ..rules() }, "role_malformed"),
    ] {
        let world = listed_below(&rules.base, vec![pod], vec![namespace("shop", None)]);
        assert_eq!(check(&world, &rules, LIST), role);
    }
}

#[test]
fn only_the_pods_own_role_is_served_by_short_name_or_arn() {
    let world = listed(vec![annotated("team/app")], vec![]);
    for (tail, decision) in [
        ("team/app", "Plain arn:aws:iam::123456789012:role/team/app"),
        ("team%2Fapp", "Plain arn:aws:iam::123456789012:role/team/app"),
        ("arn:aws:iam::123456789012:role%2Fteam%2Fapp", "Plain arn:aws:iam::123456789012:role/team/app"),
        ("app", "other_role"),
        ("Team/app", "other_role"),
        ("team/app/", "Plain arn:aws:iam::123456789012:role/team/app"),
        ("team/app/x/", "other_role"),
        ("arn:aws:iam::123456789012:role/other", "other_role"),
    ] {
        assert_eq!(check(&world, &rules(), &format!("{LIST}{tail}")), decision, "{tail}");
    }
    assert_eq!(
        check(&world, &rules(), "/latest/meta-data/iam/security-credentials-extended/team/app"),
        "Extended arn:aws:iam::123456789012:role/team/app"
    );
}

#[test]
fn namespaces_restrict() {
    let restricted = Rules { restrictions: Some(Format::Glob), ..rules() };
    for (list, role, decision) in [
        (Some(r#"["app"]"#), "app", "app"),
        (Some(r#"["other"]"#), "app", "role_not_allowed"),
        (Some("app"), "app", "role_not_allowed"),
        (None, "app", "role_not_allowed"),
    ] {
        let world = listed(vec![annotated(role)], vec![namespace("shop", list)]);
        assert_eq!(check(&world, &restricted, LIST), decision, "{list:?}");
        assert_eq!(check(&world, &rules(), LIST), "app");
    }
    let elsewhere = listed(vec![annotated("app")], vec![namespace("other", None)]);
    assert_eq!(check(&elsewhere, &restricted, LIST), "not yet: unknown_namespace");
}

/// A pending evaluation is no violation until all patience is used up.
#[test]
fn audit_mode_waits_for_a_pending_evaluation() {
    let audit = Rules { restrictions: Some(Format::Glob), enforcement: Enforcement::Audit, ..rules() };
    let mut world = listed(vec![annotated("app")], vec![]);
    let late = Event::Apply(Object::Namespace(namespace("shop", Some(r#"["app"]"#))));
    let reading = Reading { base: &audit.base, format: Format::Glob, pod_tokens: PodTokens::Ignored };
    world.apply(Resource::Namespaces, ParsedEvent::new(late, reading));
    assert_eq!(check(&world, &audit, LIST), "not yet: policy_pending");
    assert_eq!(check_with(&world, &audit, LIST, None, Patience::Exhausted), "app");
    let refused = listed(vec![annotated("app")], vec![namespace("shop", Some(r#"["other"]"#))]);
    assert_eq!(check(&refused, &audit, LIST), "app");
}

#[test]
fn the_default_role_is_exempt_unless_it_is_restricted() {
    for (obeys, decision) in [(DefaultObeys::Nothing, "fallback"), (DefaultObeys::Namespaces, "role_not_allowed")] {
        let rules = Rules {
            restrictions: Some(Format::Glob),
            default_role: default_role("fallback", DefaultOrigin::Given, obeys),
            ..rules()
        };
        for pod in [bare(), annotated("fallback")] {
            assert_eq!(check(&listed(vec![pod], vec![namespace("shop", None)]), &rules, LIST), decision);
        }
    }
}

#[test]
fn an_unknown_address_waits_and_never_gets_the_default() {
    let rules =
        Rules { default_role: default_role("fallback", DefaultOrigin::Given, DefaultObeys::Nothing), ..rules() };
    let world = listed(vec![pod("b", "10.0.0.2")], vec![]);
    assert_eq!(check(&world, &rules, LIST), "not yet: unknown_pod");
    assert_eq!(check_with(&world, &rules, LIST, None, Patience::Exhausted), "unknown_pod");
    assert_eq!(check(&World::default(), &rules, LIST), "not yet: not_ready");
    let shared = listed(vec![pod("a", "10.0.0.1"), pod("b", "10.0.0.1")], vec![]);
    assert_eq!(check(&shared, &rules, LIST), "not yet: ambiguous_address");
}

#[test]
fn the_agents_own_role_is_served_only_as_discovered_default() {
    let own = vec![own("hop"), own("node")];
    let refused = Rules { own_roles: OwnRoles::Found(own.clone()), ..rules() };
    assert_eq!(check(&listed(vec![annotated("hop")], vec![]), &refused, LIST), "own_role");
    assert_eq!(check(&listed(vec![annotated("node")], vec![]), &refused, LIST), "own_role");
    assert_eq!(check(&listed(vec![annotated("path/node")], vec![]), &refused, LIST), "own_role");
    assert_eq!(
        check(&listed(vec![annotated("arn:aws:iam::210987654321:role/node")], vec![]), &refused, LIST),
        "arn:aws:iam::210987654321:role/node"
    );
    for (origin, decision) in [(DefaultOrigin::Discovered, "node"), (DefaultOrigin::Given, "own_role")] {
        let rules = Rules {
            own_roles: OwnRoles::Found(own.clone()),
            default_role: default_role("node", origin, DefaultObeys::Nothing),
            ..rules()
        };
        assert_eq!(check(&listed(vec![bare()], vec![namespace("shop", None)]), &rules, LIST), decision);
    }
}

fn own(name: &str) -> OwnRole {
    OwnRole { account: "123456789012".into(), name: name.into() }
}

/// A role's name is shown at once; its credentials only when it is certain that it isn't the agent's own.
#[test]
fn no_credentials_are_served_before_the_agents_own_roles_are_known() {
    let known = Rules { own_roles: OwnRoles::Found(vec![]), ..rules() };
    let sought = Rules { own_roles: OwnRoles::Sought(vec![own("hop")]), ..rules() };
    let discovered = Rules {
        default_role: default_role("node", DefaultOrigin::Discovered, DefaultObeys::Nothing),
        ..sought.clone()
    };
    for (pod, rules, list, document) in [
        (annotated("app"), &known, "app", "Plain arn:aws:iam::123456789012:role/app"),
        (annotated("app"), &sought, "app", "not yet: not_ready"),
        (annotated("hop"), &sought, "own_role", "own_role"),
        (bare(), &discovered, "node", "Plain arn:aws:iam::123456789012:role/node"),
    ] {
        let role = pod.role.clone().unwrap_or("node".into());
        let world = listed(vec![pod], vec![]);
        assert_eq!(check(&world, rules, LIST), list);
        assert_eq!(check(&world, rules, &format!("{LIST}{role}")), document);
    }
    let world = listed(vec![annotated("app")], vec![]);
    assert_eq!(check_with(&world, &sought, &format!("{LIST}app"), None, Patience::Exhausted), "not_ready");
}

#[test]
fn own_roles_are_parsed_from_the_caller() {
    let own = |account: &str, name: &str| Some(OwnRole { account: account.into(), name: name.into() });
    for (arn, expected) in [
        ("arn:aws:sts::123456789012:assumed-role/node/i-0abc", own("123456789012", "node")),
        ("arn:aws:iam::123456789012:user/node", None),
        ("arn:aws:iam::123456789012:role/node", None),
        ("", None),
    ] {
        assert_eq!(OwnRole::of_caller(arn), expected, "{arn}");
    }
}

#[test]
fn roles_of_other_than_allowed_accounts_are_refused() {
    let rules = Rules { allowed_accounts: vec!["123456789012".into()], ..rules() };
    assert_eq!(check(&listed(vec![annotated("app")], vec![]), &rules, LIST), "app");
    assert_eq!(
        check(&listed(vec![annotated("arn:aws:iam::210987654321:role/b")], vec![]), &rules, LIST),
        "account_not_allowed"
    );
}

#[test]
fn iam_is_listed_exactly_for_pods_with_a_role() {
    for (pod, known) in [(annotated("app"), "Shown"), (bare(), "Hidden")] {
        let world = listed(vec![pod], vec![namespace("shop", None)]);
        let decision = check(&world, &rules(), "/latest/meta-data/");
        assert!(decision.starts_with("Listing") && decision.ends_with(&format!("{known})")), "{decision}");
    }
    let empty = listed(vec![], vec![]);
    assert_eq!(check(&empty, &rules(), "/latest/meta-data/"), "not yet: unknown_pod");
    assert!(check_with(&empty, &rules(), "/latest/meta-data/", None, Patience::Exhausted).ends_with("Hidden)"));
}
