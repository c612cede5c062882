use super::*;
use crate::logic::redirect::resolve::InterfaceKind;

fn scope(exempt: &[(&str, ExemptReason)], redirected: &[&str]) -> InterfaceScope {
    let pattern = |name: &str| InterfacePattern::parse(name).unwrap();
    let exempt = exempt.iter().map(|(name, reason)| Exempt { pattern: pattern(name), reason: *reason });
    InterfaceScope { exempt: exempt.collect(), redirected: redirected.iter().map(|name| pattern(name)).collect() }
}

fn check(scope: &InterfaceScope, name: &str, class: &str) {
    assert_eq!(scope.class(name).to_string(), class, "{name} in {scope}");
}

#[test]
fn unnamed_interfaces_are_dropped_and_exempt_wins_over_named() {
    let exempt = [("eth0", ExemptReason::Uplink), ("lo", ExemptReason::Loopback), ("cali9", ExemptReason::Excepted)];
    let scope = scope(&exempt, &["cali+", "cni0"]);
    for (name, class) in [
        ("cali1", "redirected"),
        ("cni0", "redirected"),
        ("cni01", "dropped"),
        ("veth1a2b", "dropped"),
        ("flannel.1", "dropped"),
        ("cali9", "excepted"),
        ("eth0", "uplink"),
        ("lo", "loopback"),
    ] {
        check(&scope, name, class);
    }
}

#[test]
fn without_names_every_non_exempt_interface_is_redirected() {
    check(&InterfaceScope::default(), "anything", "redirected");
    check(&scope(&[("eth0", ExemptReason::Uplink)], &[]), "eth1", "redirected");
}

#[test]
fn each_interface_is_listed_under_its_class() {
    let interface = |name: &str| Interface { index: 1, name: name.to_owned(), kind: InterfaceKind::Other };
    let interfaces = ["lo", "eth0", "flannel.1", "cni0", "veth2", "cali2", "cali1"].map(interface);
    let scope = scope(&[("lo", ExemptReason::Loopback), ("eth0", ExemptReason::Uplink)], &["cali+"]);
    assert_eq!(
        scope.by_class(&interfaces),
        ["redirected: cali1, cali2", "dropped: cni0, flannel.1, veth2", "loopback: lo", "uplink: eth0"]
    );
    assert!(scope.by_class(&[]).is_empty());
}

#[test]
fn exempt_reasons_round_trip_through_comments() {
    for reason in [ExemptReason::Loopback, ExemptReason::Uplink, ExemptReason::Excepted] {
        assert_eq!(ExemptReason::from_word(reason.word()), Some(reason));
    }
    assert_eq!(ExemptReason::from_word("generation 1"), None);
}
