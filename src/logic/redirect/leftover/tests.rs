use super::*;
use crate::logic::redirect::scope::{Exempt, ExemptReason, InterfaceScope};
use crate::logic::redirect::{METADATA_V4, Metadata};

fn compare(value: &[u8]) -> Expression {
    Expression::Compare { relation: Relation::Equal, value: value.to_vec() }
}

/// `struct nf_nat_range2` as iptables 1.8.9 fills it: flags, two addresses of 16 bytes, three ports.
fn range2(ip: [u8; 4], port: u16) -> Vec<u8> {
    let mut info = vec![3, 0, 0, 0];
    for _ in 0..2 {
        info.extend(ip);
        info.extend([0; 12]);
    }
    info.extend(port.to_be_bytes());
    info.extend(port.to_be_bytes());
    info.extend([0, 0]);
    info
}

fn rule(destination: [u8; 4], last: Expression) -> FoundRule {
    let expressions = vec![
        expression::LOAD_INTERFACE,
        compare(b"docker0\0"),
        LOAD_DESTINATION_V4,
        compare(&destination),
        LOAD_DESTINATION_PORT,
        compare(&[0, 80]),
        Expression::Counter,
        last,
    ];
    FoundRule { handle: 5, expressions, ..FoundRule::default() }
}

fn dnat() -> Expression {
    Expression::Target { name: "DNAT".to_owned(), revision: 2, info: range2([10, 0, 0, 1], 8181) }
}

#[test]
fn the_rule_of_kube2iam_is_found_and_printed() {
    let found = old_rules(&[rule(METADATA_V4.octets(), dnat())], &[METADATA_V4]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].handle, 5);
    assert_eq!(
        found[0].deletion(),
        "iptables-nft -t nat -D PREROUTING -p tcp -d 169.254.169.254 --dport 80 -i docker0 -j DNAT --to-destination 10.0.0.1:8181"
    );
    assert_eq!(
        found[0].to_string(),
        "old rule of kube2iam in iptables-nft: -t nat -A PREROUTING -p tcp -d 169.254.169.254 --dport 80 -i docker0 -j DNAT --to-destination 10.0.0.1:8181"
    );
}

#[test]
fn foreign_rules_are_ignored() {
    let masquerade = Expression::Target { name: "MASQUERADE".to_owned(), revision: 0, info: vec![] };
    let rules = [rule([10, 96, 0, 1], dnat()), rule(METADATA_V4.octets(), masquerade), FoundRule::default()];
    assert_eq!(old_rules(&rules, &[METADATA_V4]), []);
}

#[test]
fn an_unreadable_target_is_still_a_leftover() {
    let cut = Expression::Target { name: "DNAT".to_owned(), revision: 2, info: vec![0; 7] };
    let found = old_rules(&[rule(METADATA_V4.octets(), cut)], &[METADATA_V4]);
    assert_eq!(found.iter().map(|rule| rule.target).collect::<Vec<_>>(), [None]);
}

#[test]
fn older_struct_layouts_are_parsed() {
    let mut compat = vec![1, 0, 0, 0, 3, 0, 0, 0];
    compat.extend([10, 0, 0, 1, 10, 0, 0, 1, 0x1f, 0xf5, 0x1f, 0xf5]);
    assert_eq!(dnat_target(0, &compat), Some("10.0.0.1:8181".parse().unwrap()));
    let mut tcp = Vec::new();
    for port in [0u16, 65_535, 80, 80] {
        tcp.extend(port.to_ne_bytes());
    }
    assert_eq!(tcp_match_port(&tcp), Some(80));
    assert_eq!(tcp_match_port(&tcp[..6]), None);
}

#[test]
fn the_manual_rules_are_equivalent_iptables_commands() {
    let pattern = |name: &str| InterfacePattern::parse(name).unwrap();
    let wanted = |redirected: &[&str], other_ports| Wanted {
        metadata: Metadata::of([]),
        agent_v4: Some("10.0.0.1:8181".parse().unwrap()),
        agent_v6: None,
        scope: InterfaceScope {
            exempt: vec![Exempt { pattern: pattern("eth0"), reason: ExemptReason::Uplink }],
            redirected: redirected.iter().map(|name| pattern(name)).collect(),
        },
        other_ports,
    };
    assert_eq!(
        by_hand(&wanted(&["cali+"], OtherPorts::Drop)),
        [
            "iptables -t nat -A PREROUTING -p tcp -d 169.254.169.254 --dport 80 -i eth0 -j RETURN",
            "iptables -t nat -A PREROUTING -p tcp -d 169.254.169.254 --dport 80 -i cali+ -j DNAT --to-destination 10.0.0.1:8181",
            "iptables -I FORWARD -d 169.254.169.254 -j DROP",
            "iptables -I FORWARD -d 169.254.169.254 -i eth0 -j RETURN",
            "ip6tables -I FORWARD -d fd00:ec2::254 -j DROP",
            "ip6tables -I FORWARD -d fd00:ec2::254 -i eth0 -j RETURN",
        ]
    );
    assert_eq!(
        by_hand(&wanted(&[], OtherPorts::Pass))[1..4],
        [
            "iptables -t nat -A PREROUTING -p tcp -d 169.254.169.254 --dport 80 -j DNAT --to-destination 10.0.0.1:8181",
            "iptables -I FORWARD -d 169.254.169.254 -j DROP",
            "iptables -I FORWARD -d 169.254.169.254 -p tcp ! --dport 80 -j RETURN",
        ]
    );
}

#[test]
fn a_rule_of_nft_is_found_as_one_of_iptables_is() {
    let rewriting = |target: std::net::IpAddr| {
        let mut rule = rule(METADATA_V4.octets(), Expression::Counter);
        rule.expressions.pop();
        rule.expressions.extend(expression::destination_nat(target, 8181));
        rule
    };
    let found = |rule| old_rule(&rule, &[METADATA_V4]).map(|old| old.target);
    assert_eq!(found(rewriting("10.0.0.1".parse().unwrap())), Some(Some("10.0.0.1:8181".parse().unwrap())));
    assert_eq!(found(rewriting("fd00::1".parse().unwrap())), Some(None));
    assert_eq!(found(rule(METADATA_V4.octets(), Expression::Counter)), None);
}

/// `struct xt_tcp`: two source ports, then the first and the last destination port.
#[test]
fn the_port_of_an_older_iptables_is_read_from_its_tcp_match() {
    let matching = |name: &str, first: u16, last: u16| {
        let info = [0, 0xffff, first, last].map(u16::to_ne_bytes).concat();
        let mut rule = rule(METADATA_V4.octets(), dnat());
        rule.expressions.splice(4..6, [Expression::Match { name: name.to_owned(), info }]);
        old_rule(&rule, &[METADATA_V4]).unwrap().port
    };
    assert_eq!(matching("tcp", 80, 80), Some(80));
    assert_eq!(matching("tcp", 80, 90), None);
    assert_eq!(matching("udp", 80, 80), None);
}

#[test]
fn the_hint_for_legacy_tables_deletes_only_rules_of_the_metadata_addresses() {
    let hint = legacy_hint(&[METADATA_V4, "10.9.9.9".parse().unwrap()]);
    assert!(hint.contains(r"-d (169\.254\.169\.254|10\.9\.9\.9)\/32 .*-j DNAT"), "{hint}");
}
