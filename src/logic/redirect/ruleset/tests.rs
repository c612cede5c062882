use super::*;
use crate::logic::redirect::interfaces::INCLUDED_MAX;
use crate::logic::redirect::scope::InterfaceScope;
use crate::logic::redirect::{METADATA_V4, Metadata};

fn wanted(v4: Option<&str>, v6: Option<&str>, scope: InterfaceScope, other_ports: OtherPorts) -> Wanted {
    Wanted {
        metadata: Metadata::of([]),
        agent_v4: v4.map(|text| text.parse().unwrap()),
        agent_v6: v6.map(|text| text.parse().unwrap()),
        scope,
        other_ports,
    }
}

fn names(names: &[&str]) -> Vec<InterfacePattern> {
    names.iter().map(|name| InterfacePattern::parse(name).unwrap()).collect()
}

fn exempt(name: &str, reason: ExemptReason) -> Exempt {
    Exempt { pattern: InterfacePattern::parse(name).unwrap(), reason }
}

#[test]
fn both_families_and_everything_but_the_uplink() {
    let exempt = vec![exempt("eth0", ExemptReason::Uplink), exempt("lo", ExemptReason::Loopback)];
    let scope = InterfaceScope { exempt, redirected: vec![] };
    let wanted = wanted(Some("10.0.0.1:8181"), Some("[2001:db8::1]:8181"), scope, OtherPorts::Drop);
    assert_eq!(nft_text(&wanted, 7), include_str!("everything_but_the_uplink.nft"));
}

#[test]
fn v4_only_named_interfaces_and_other_ports_passed() {
    let exempt = vec![exempt("docker0", ExemptReason::Excepted), exempt("lo", ExemptReason::Loopback)];
    let scope = InterfaceScope { exempt, redirected: names(&["cni0", "cali+"]) };
    let wanted = wanted(Some("10.0.0.1:8181"), None, scope, OtherPorts::Pass);
    assert_eq!(nft_text(&wanted, 1), include_str!("named_interfaces.nft"));
}

#[test]
fn without_an_agent_requests_of_both_families_are_dropped() {
    let wanted = wanted(None, None, InterfaceScope::default(), OtherPorts::Drop);
    let texts: Vec<Vec<String>> =
        chains(&wanted).iter().map(|chain| chain.rules[2..].iter().map(Rule::to_string).collect()).collect();
    assert_eq!(
        texts,
        [
            ["ip daddr 169.254.169.254 tcp dport 80 return", "ip6 daddr fd00:ec2::254 tcp dport 80 return"],
            ["tcp dport 80 counter packets 0 bytes 0 drop", "counter packets 0 bytes 0 drop"],
        ]
    );
}

#[test]
fn a_rule_has_the_same_expressions_as_in_nft() {
    let scope = InterfaceScope { exempt: vec![exempt("lo", ExemptReason::Loopback)], redirected: vec![] };
    let wanted = wanted(Some("10.0.0.1:8181"), None, scope, OtherPorts::Pass);
    let to_agent = chains(&wanted).remove(0);
    let compare = |relation, value: &[u8]| Expression::Compare { relation, value: value.to_vec() };
    assert_eq!(
        to_agent.rules[2].expressions(),
        [
            Expression::LoadMeta(expression::Meta::InterfaceName),
            compare(Relation::Equal, b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
            Expression::Verdict(NftVerdict::Return),
        ]
    );
    assert_eq!(
        to_agent.rules[3].expressions(),
        [
            Expression::LoadMeta(expression::Meta::NetworkProtocol),
            compare(Relation::Equal, &[2]),
            expression::LOAD_DESTINATION_V4,
            compare(Relation::Equal, &[169, 254, 169, 254]),
            Expression::LoadMeta(expression::Meta::TransportProtocol),
            compare(Relation::Equal, &[6]),
            expression::LOAD_DESTINATION_PORT,
            compare(Relation::Equal, &[0, 80]),
            Expression::Counter,
            Expression::Immediate { register: 1, value: vec![10, 0, 0, 1] },
            Expression::Immediate { register: 2, value: vec![0x1f, 0xf5] },
            Expression::DestinationNat(crate::logic::redirect::resolve::Family::V4),
        ]
    );
}

#[test]
fn generations_round_trip_through_comments() {
    assert_eq!(generation(&comment(u64::MAX)), Some(u64::MAX));
    for other in ["", "generation", "generation -1", "generation x", "Generation 1"] {
        assert_eq!(generation(other), None, "{other}");
    }
}

#[test]
fn a_third_metadata_address_is_redirected_too() {
    let third = "10.9.9.9".parse().unwrap();
    let wanted = Wanted {
        metadata: Metadata::of([third, METADATA_V4.into(), third]),
        ..wanted(Some("10.0.0.1:8181"), None, InterfaceScope::default(), OtherPorts::Pass)
    };
    let to_agent: Vec<String> = chains(&wanted).remove(0).rules.iter().map(Rule::to_string).collect();
    assert_eq!(
        to_agent,
        [
            "ip daddr != 169.254.169.254 ip daddr != 10.9.9.9 return",
            "ip6 daddr != fd00:ec2::254 return",
            "ip daddr 169.254.169.254 tcp dport 80 counter packets 0 bytes 0 dnat ip to 10.0.0.1:8181",
            "ip daddr 10.9.9.9 tcp dport 80 counter packets 0 bytes 0 dnat ip to 10.0.0.1:8181",
            "ip6 daddr fd00:ec2::254 tcp dport 80 return",
        ]
    );
}

#[test]
fn hooks_have_the_numbers_of_the_kernel() {
    assert_eq!([Hook::Prerouting, Hook::Output, Hook::Postrouting].map(Hook::number), [0, 3, 4]);
}

#[test]
fn priorities_are_written_as_nft_writes_them() {
    for (hook, priority, text) in [
        (Hook::Prerouting, -101, "prerouting priority dstnat - 1"),
        (Hook::Prerouting, -100, "prerouting priority dstnat + 0"),
        (Hook::Prerouting, -99, "prerouting priority dstnat + 1"),
        (Hook::Output, -100, "output priority -100"),
        (Hook::Postrouting, 0, "postrouting priority filter"),
        (Hook::Postrouting, 100, "postrouting priority 100"),
    ] {
        assert_eq!(hook.text(priority), text);
    }
}

/// The kernel refuses a rule of more than 128 expressions (`NFT_RULE_MAXEXPRS`).
#[test]
fn the_longest_list_of_interfaces_fits_into_a_rule() {
    let all: Vec<String> = (0..INCLUDED_MAX).map(|number| format!("veth{number}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let scope = InterfaceScope { exempt: vec![], redirected: names(&all) };
    for other_ports in [OtherPorts::Drop, OtherPorts::Pass] {
        let chains = chains(&wanted(Some("10.0.0.1:8181"), None, scope.clone(), other_ports));
        let longest = chains.iter().flat_map(|chain| &chain.rules).map(|rule| rule.expressions().len()).max();
        assert!(longest.is_some_and(|longest| (2 * INCLUDED_MAX..=128).contains(&longest)), "{longest:?}");
    }
}
