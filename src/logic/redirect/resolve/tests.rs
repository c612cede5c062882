use super::*;
use crate::logic::redirect::OtherPorts;

/// eth0 (2) is the uplink, eth1 (3) a second one for IPv6, cni0 (4) the pods' bridge.
fn node() -> HostNetwork {
    let interface = |index, name: &str, kind| Interface { index, name: name.to_owned(), kind };
    HostNetwork {
        interfaces: vec![
            interface(1, "lo", InterfaceKind::Loopback),
            interface(2, "eth0", InterfaceKind::Other),
            interface(3, "eth1", InterfaceKind::Other),
            interface(4, "cni0", InterfaceKind::Other),
        ],
        addresses: vec![
            address(1, "127.0.0.1", AddressStanding::Other),
            address(2, "169.254.7.7", AddressStanding::Other),
            address(2, "10.0.0.5", AddressStanding::Global),
            address(2, "10.0.0.6", AddressStanding::Global),
            address(2, "fe80::1", AddressStanding::Other),
            address(3, "2001:db8::3", AddressStanding::Global),
            address(4, "10.1.0.1", AddressStanding::Global),
        ],
        default_routes: vec![route(Family::V4, 2, 100), route(Family::V6, 3, 1024)],
    }
}

fn address(interface: u32, ip: &str, standing: AddressStanding) -> Address {
    Address { interface, ip: ip.parse().unwrap(), standing }
}

fn route(family: Family, interface: u32, metric: u32) -> DefaultRoute {
    DefaultRoute { family, interface, source: None, metric, origin: RouteOrigin::Placed }
}

fn spec(values: &[&str]) -> RedirectSpec {
    RedirectSpec { interfaces: InterfaceRule::parse(values).unwrap(), ..RedirectSpec::new(8181) }
}

fn agents(spec: &RedirectSpec, host: &HostNetwork) -> (String, String) {
    let wanted = resolve(spec, host).unwrap().wanted;
    (
        wanted.agent_v4.map_or_else(String::new, |address| address.to_string()),
        wanted.agent_v6.map_or_else(String::new, |address| address.to_string()),
    )
}

fn check(host: &HostNetwork, spec: &RedirectSpec, v4: &str, v6: &str) {
    assert_eq!(agents(spec, host), (v4.to_owned(), v6.to_owned()), "{spec:?} on {host:?}");
}

#[test]
fn addresses_come_from_the_default_routes() {
    check(&node(), &spec(&[]), "10.0.0.5:8181", "[2001:db8::3]:8181");
}

#[test]
fn the_v6_address_on_the_interface_of_the_v4_one_is_preferred() {
    let mut host = node();
    host.addresses.push(address(2, "fd12::2", AddressStanding::Global));
    check(&host, &spec(&[]), "10.0.0.5:8181", "[fd12::2]:8181");
}

#[test]
fn configured_addresses_win() {
    let given =
        RedirectSpec { host_ip: Some([10, 1, 0, 1].into()), host_ip6: Some("fd99::9".parse().unwrap()), ..spec(&[]) };
    check(&node(), &given, "10.1.0.1:8181", "[fd99::9]:8181");
    let notes = resolve(&given, &node()).unwrap().notes;
    assert_eq!(notes, [RedirectNote::ForeignHostAddress("fd99::9".parse().unwrap())]);
}

#[test]
fn lowest_metric_wins_and_its_own_source_address_first() {
    let mut host = node();
    host.default_routes.push(DefaultRoute { source: Some("10.1.0.1".parse().unwrap()), ..route(Family::V4, 4, 50) });
    check(&host, &spec(&[]), "10.1.0.1:8181", "[2001:db8::3]:8181");
}

#[test]
fn a_route_without_an_address_is_skipped() {
    let mut host = node();
    host.interfaces.push(Interface { index: 9, name: "wg0".to_owned(), kind: InterfaceKind::Other });
    host.default_routes.push(route(Family::V4, 9, 1));
    check(&host, &spec(&[]), "10.0.0.5:8181", "[2001:db8::3]:8181");
}

#[test]
fn one_family_may_be_missing_but_not_both() {
    let mut host = node();
    host.addresses.retain(|address| address.ip.is_ipv4());
    check(&host, &spec(&[]), "10.0.0.5:8181", "");
    assert_eq!(resolve(&spec(&[]), &host).unwrap().notes, [RedirectNote::V6LeftOut]);
    let mut host = node();
    host.addresses.retain(|address| address.ip.is_ipv6());
    check(&host, &spec(&[]), "", "[2001:db8::3]:8181");
    assert_eq!(resolve(&spec(&[]), &host).unwrap().notes, [RedirectNote::V4LeftOut]);
    assert_eq!(resolve(&spec(&[]), &HostNetwork::default()), Err(NoHostAddress));
}

fn check_scope(values: &[&str], scope: &str, notes: &[RedirectNote]) {
    let resolved = resolve(&spec(values), &node()).unwrap();
    assert_eq!(resolved.wanted.scope.to_string(), scope, "{values:?}");
    assert_eq!(resolved.notes, notes, "{values:?}");
    assert_eq!(resolved.wanted.other_ports, OtherPorts::Drop);
}

#[test]
fn automatic_scope_is_all_but_loopback_and_uplinks_of_both_families() {
    check_scope(&[], "all but eth0 (uplink), eth1 (uplink), lo (loopback)", &[]);
}

fn uplinks(spec: &RedirectSpec, host: &HostNetwork) -> Vec<String> {
    resolve(spec, host).unwrap().wanted.scope.uplinks().into_iter().map(InterfacePattern::to_string).collect()
}

fn advertised(interface: u32, metric: u32) -> DefaultRoute {
    DefaultRoute { origin: RouteOrigin::Advertised, ..route(Family::V6, interface, metric) }
}

#[test]
fn uplinks_come_from_configured_routes_then_a_given_address_then_one_advertised_route() {
    let unset = RedirectSpec { host_ip: None, ..spec(&[]) };
    let given = |ip: &str| RedirectSpec { host_ip: Some(ip.parse().unwrap()), ..spec(&[]) };
    let v6 = RedirectSpec { host_ip6: Some("2001:db8::3".parse().unwrap()), ..spec(&[]) };
    let (v4, placed_v6) = (route(Family::V4, 2, 100), route(Family::V6, 3, 1024));
    for (spec, routes, expected) in [
        (&unset, vec![v4.clone(), placed_v6.clone(), advertised(4, 1)], &["eth0", "eth1"][..]),
        (&given("10.1.0.1"), vec![v4, advertised(4, 1)], &["eth0"]),
        (&given("10.0.0.5"), vec![advertised(3, 1024), advertised(4, 1)], &["eth0"]),
        (&v6, vec![advertised(4, 1)], &["eth1"]),
        (&v6, vec![], &["eth1"]),
        (&given("10.9.9.9"), vec![advertised(4, 1024), advertised(3, 1024)], &["eth1"]),
        (&given("127.0.0.1"), vec![advertised(4, 1024), advertised(3, 1024)], &["eth1"]),
        (&given("10.9.9.9"), vec![], &[]),
    ] {
        let host = HostNetwork { default_routes: routes.clone(), ..node() };
        assert_eq!(uplinks(spec, &host), expected, "{spec:?} with {routes:?}");
    }
}

#[test]
fn an_advertised_route_gives_no_address_if_a_configured_one_exists() {
    let mut host = node();
    host.default_routes.push(advertised(4, 1));
    host.addresses.push(address(4, "2001:db8:bad::1", AddressStanding::Global));
    check(&host, &spec(&[]), "10.0.0.5:8181", "[2001:db8::3]:8181");
}

#[test]
fn named_interfaces_are_redirected_and_others_dropped_except_uplinks() {
    let exempt = "eth0 (uplink), eth1 (uplink), lo (loopback)";
    check_scope(&["cni0"], &format!("cni0; dropped on all others but {exempt}"), &[]);
    check_scope(&["cali+,cni0"], &format!("cni0, cali+; dropped on all others but {exempt}"), &[]);
    check_scope(&["cni0,eth+"], "cni0, eth+; dropped on all others but lo (loopback)", &[]);
    check_scope(&["cni0,eth+,!eth1"], "cni0, eth+; dropped on all others but eth1 (excepted), lo (loopback)", &[]);
    check_scope(&["lo"], "lo; dropped on all others but eth0 (uplink), eth1 (uplink)", &[]);
}

#[test]
fn all_interfaces_or_all_except_one_can_be_named() {
    check_scope(&["!eth0"], "all but eth0 (excepted), lo (loopback)", &[]);
    check_scope(&["+"], "all but lo (loopback)", &[]);
}

#[test]
fn a_missing_interface_is_a_note_not_an_error() {
    for (value, missing) in [("cbr0", "cbr0"), ("docker0,cali+", "docker0")] {
        let resolved = resolve(&spec(&[value]), &node()).unwrap();
        assert_eq!(resolved.notes, [RedirectNote::MissingInterface(missing.to_owned())], "{value}");
    }
}

#[test]
fn dropped_requests_need_no_address() {
    let spec = RedirectSpec { requests: RequestAction::Drop, ..spec(&["cni0"]) };
    let resolved = resolve(&spec, &HostNetwork::default()).unwrap();
    assert_eq!(resolved.wanted.redirected(), []);
    assert_eq!(
        resolve(&spec, &node()).unwrap().wanted.scope,
        resolve(&self::spec(&["cni0"]), &node()).unwrap().wanted.scope
    );
}

#[test]
fn a_missing_chart_default_redirects_all_interfaces() {
    check_scope(
        &["docker0"],
        "all but eth0 (uplink), eth1 (uplink), lo (loopback)",
        &[RedirectNote::ChartDefaultMissing],
    );
    let mut host = node();
    host.interfaces.push(Interface { index: 5, name: "docker0".to_owned(), kind: InterfaceKind::Other });
    let resolved = resolve(&spec(&["docker0"]), &host).unwrap();
    assert_eq!((resolved.wanted.scope.redirected.len(), resolved.notes.len()), (1, 0));
}

#[test]
fn notes_about_faults_are_warnings() {
    let pattern = InterfacePattern::parse("eth9").unwrap();
    for (note, warns, told) in [
        (RedirectNote::V4LeftOut, false, "IPv4 is not redirected"),
        (RedirectNote::V6LeftOut, false, "IPv6 is not redirected"),
        (RedirectNote::MissingInterface("cni9".into()), true, "`cni9` does not exist"),
        (RedirectNote::ChartDefaultMissing, true, "`docker0` does not exist"),
        (RedirectNote::ForeignHostAddress("10.0.0.9".parse().unwrap()), true, "`10.0.0.9` is on no interface"),
        (RedirectNote::NewUplink(pattern), true, "`eth9` has become an uplink"),
    ] {
        assert!(note.is_warning() == warns && note.to_string().contains(told), "{note}");
    }
    assert!(NoHostAddress.to_string().contains("--host-ip"));
}

#[test]
fn an_uplink_is_new_if_it_was_none_before() {
    let scope = |uplinks: &[&str]| InterfaceScope {
        exempt: uplinks
            .iter()
            .map(|name| Exempt { pattern: InterfacePattern::parse(name).unwrap(), reason: ExemptReason::Uplink })
            .collect(),
        redirected: vec![],
    };
    let new = new_uplinks(&scope(&["eth0"]), &scope(&["eth0", "eth1"]));
    assert_eq!(new, [RedirectNote::NewUplink(InterfacePattern::parse("eth1").unwrap())]);
    assert_eq!(new_uplinks(&scope(&["eth0", "eth1"]), &scope(&["eth0"])), []);
}

#[test]
fn the_default_address_is_of_ipv4_where_there_is_one() {
    assert_eq!(node().default_ip(), Some("10.0.0.5".parse().unwrap()));
    let only_v6 = HostNetwork { default_routes: vec![route(Family::V6, 3, 1)], ..node() };
    assert_eq!(only_v6.default_ip(), Some("2001:db8::3".parse().unwrap()));
    assert_eq!(HostNetwork { default_routes: vec![], ..node() }.default_ip(), None);
}
