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
            address(1, "127.0.0.1", Standing::Other),
            address(2, "169.254.7.7", Standing::Other),
            address(2, "10.0.0.5", Standing::Global),
            address(2, "10.0.0.6", Standing::Global),
            address(2, "fe80::1", Standing::Other),
            address(3, "2001:db8::3", Standing::Global),
            address(4, "10.1.0.1", Standing::Global),
        ],
        default_routes: vec![route(Family::V4, 2, 100), route(Family::V6, 3, 1024)],
    }
}

fn address(interface: u32, ip: &str, standing: Standing) -> Address {
    Address { interface, ip: ip.parse().unwrap(), standing }
}

fn route(family: Family, interface: u32, metric: u32) -> DefaultRoute {
    DefaultRoute { family, interface, source: None, metric, origin: Origin::Placed }
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
fn v6_address_beside_the_v4_one_comes_first() {
    let mut host = node();
    host.addresses.push(address(2, "fd12::2", Standing::Global));
    check(&host, &spec(&[]), "10.0.0.5:8181", "[fd12::2]:8181");
}

#[test]
fn given_addresses_win() {
    let given =
        RedirectSpec { host_ip: Some([10, 1, 0, 1].into()), host_ip6: Some("fd99::9".parse().unwrap()), ..spec(&[]) };
    check(&node(), &given, "10.1.0.1:8181", "[fd99::9]:8181");
    let notes = resolve(&given, &node()).unwrap().notes;
    assert_eq!(notes, [Note::ForeignHostAddress("fd99::9".parse().unwrap())]);
}

#[test]
fn lowest_metric_wins_and_its_own_source_address_first() {
    let mut host = node();
    host.default_routes.push(DefaultRoute { source: Some("10.1.0.1".parse().unwrap()), ..route(Family::V4, 4, 50) });
    check(&host, &spec(&[]), "10.1.0.1:8181", "[2001:db8::3]:8181");
}

#[test]
fn a_route_without_address_is_passed_over() {
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
    assert_eq!(resolve(&spec(&[]), &host).unwrap().notes, [Note::V6LeftOut]);
    let mut host = node();
    host.addresses.retain(|address| address.ip.is_ipv6());
    check(&host, &spec(&[]), "", "[2001:db8::3]:8181");
    assert_eq!(resolve(&spec(&[]), &host).unwrap().notes, [Note::V4LeftOut]);
    assert_eq!(resolve(&spec(&[]), &HostNetwork::default()), Err(NoHostAddress));
}

fn check_scope(values: &[&str], scope: &str, notes: &[Note]) {
    let resolved = resolve(&spec(values), &node()).unwrap();
    assert_eq!(resolved.wanted.scope.to_string(), scope, "{values:?}");
    assert_eq!(resolved.notes, notes, "{values:?}");
    assert_eq!(resolved.wanted.other_ports, OtherPorts::Drop);
}

#[test]
fn automatic_scope_is_all_but_loopback_and_uplinks_of_both_families() {
    check_scope(&[], "all but eth0, eth1, lo", &[]);
}

#[test]
fn an_advertised_route_makes_no_uplink_beside_others() {
    let advertised = |interface| DefaultRoute { origin: Origin::Advertised, ..route(Family::V6, interface, 1024) };
    let check = |routes: &[DefaultRoute], scope: &str| {
        let host = HostNetwork { default_routes: routes.to_vec(), ..node() };
        let given = RedirectSpec { host_ip: Some([10, 0, 0, 5].into()), ..spec(&[]) };
        assert_eq!(resolve(&given, &host).unwrap().wanted.scope.to_string(), scope, "{routes:?}");
    };
    check(&[route(Family::V4, 2, 100), advertised(4)], "all but eth0, lo");
    check(&[route(Family::V4, 2, 100), advertised(2)], "all but eth0, lo");
    check(&[advertised(3)], "all but eth1, lo");
}

#[test]
fn named_interfaces_keep_their_meaning() {
    check_scope(&["cni0"], "cni0 but not lo", &[]);
    check_scope(&["cali+,cni0"], "cni0, cali+ but not lo", &[]);
    check_scope(&["!eth0"], "all but eth0, lo", &[]);
    check_scope(&["+"], "all but lo", &[]);
    check_scope(&["lo"], "lo", &[]);
}

#[test]
fn a_missing_interface_is_a_note_not_an_error() {
    check_scope(&["cbr0"], "cbr0 but not lo", &[Note::MissingInterface("cbr0".to_owned())]);
    check_scope(&["docker0,cali+"], "docker0, cali+ but not lo", &[Note::MissingInterface("docker0".to_owned())]);
}

#[test]
fn chart_default_that_is_missing_leaves_no_pod_out() {
    check_scope(&["docker0"], "all but eth0, eth1, lo", &[Note::ChartDefaultMissing]);
    let mut host = node();
    host.interfaces.push(Interface { index: 5, name: "docker0".to_owned(), kind: InterfaceKind::Other });
    let resolved = resolve(&spec(&["docker0"]), &host).unwrap();
    assert_eq!((resolved.wanted.scope.to_string().as_str(), resolved.notes.len()), ("docker0 but not lo", 0));
}
