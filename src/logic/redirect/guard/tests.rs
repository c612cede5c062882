use super::*;
use crate::logic::redirect::resolve::{DefaultRoute, Family, Interface, InterfaceKind, RouteOrigin};
use crate::logic::redirect::ruleset::table_text;

fn guard(uplinks: &[&str], requests: RequestAction, at_loopback: RequestAction) -> Guard {
    let uplinks = uplinks.iter().map(|name| InterfacePattern::parse(name).unwrap()).collect();
    Guard { port: 8181, uplinks, requests, at_loopback }
}

fn cases() -> Vec<Guard> {
    use RequestAction::{Drop, Redirect};
    let actions = [(Redirect, Redirect), (Drop, Redirect), (Drop, Drop)];
    let uplinks: [&[&str]; 3] = [&[], &["eth0"], &["eth0", "eth1"]];
    actions.into_iter().flat_map(|(requests, local)| uplinks.map(|names| guard(names, requests, local))).collect()
}

#[test]
fn the_table_is_printed_like_by_nft() {
    let text = |action| table_text(GUARD_TABLE, &chains(&guard(&["eth0"], action, action)), 7);
    assert_eq!(text(RequestAction::Redirect), include_str!("credentials.nft"));
    assert_eq!(text(RequestAction::Drop), include_str!("dropped.nft"));
}

#[test]
fn health_checks_use_an_address_without_drop_rules() {
    assert!(HEALTH_V4.is_loopback() && !LOCAL.contains(&IpAddr::V4(HEALTH_V4)));
}

#[test]
fn every_rule_matches_only_the_agents_destinations() {
    for rule in cases().iter().flat_map(chains).flat_map(|chain| chain.rules) {
        let first = rule.statements.first();
        assert!(LOCAL.iter().any(|ip| first == Some(&Statement::To(*ip))), "{rule}");
    }
}

#[test]
fn a_written_table_is_read_back_and_any_missing_rule_detected() {
    for guard in cases() {
        let table = FoundTable::as_written(&chains(&guard), 1);
        assert_eq!(read_back(&table), Some(guard));
        assert!(is_intact(&table));
        for (chain, rules) in table.chains.iter().map(|chain| chain.rules.len()).enumerate() {
            // Without its rule, an uplink looks like one that was never known.
            let uplinks = if chain == 2 { rules - 4 } else { 0 };
            for rule in uplinks..rules {
                let mut broken = table.clone();
                broken.chains[chain].rules.remove(rule);
                assert!(!is_intact(&broken), "chain {chain} without rule {rule}");
            }
        }
    }
    assert_eq!(read_back(&FoundTable::default()), None);
}

#[test]
fn uplinks_are_closed_unless_named() {
    let interface = |index, name: &str| Interface { index, name: name.to_owned(), kind: InterfaceKind::Other };
    let origin = RouteOrigin::Placed;
    let route = |interface| DefaultRoute { family: Family::V4, interface, source: None, metric: 0, origin };
    let host = HostNetwork {
        interfaces: vec![interface(2, "eth1"), interface(3, "eth0"), interface(4, "cni0")],
        addresses: Vec::new(),
        default_routes: vec![route(2), route(3)],
    };
    for (typed, closed) in [
        (&[][..], &["eth0", "eth1"][..]),
        (&["cni0"], &["eth0", "eth1"]),
        (&["!cni0"], &["eth0", "eth1"]),
        (&["eth0,cni0"], &["eth1"]),
        (&["eth+"], &[]),
    ] {
        let spec = RedirectSpec { interfaces: InterfaceRule::parse(typed).unwrap(), ..RedirectSpec::new(8181) };
        let passing = guard(closed, RequestAction::Redirect, RequestAction::Redirect);
        assert_eq!(Guard::resolve(&spec, &host), passing, "{typed:?}");
    }
}
