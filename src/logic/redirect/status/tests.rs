use super::*;
use crate::logic::redirect::compare::Count;
use crate::logic::redirect::expression::Expression;
use crate::logic::redirect::interfaces::InterfacePattern;
use crate::logic::redirect::resolve::InterfaceKind;
use crate::logic::redirect::scope::{Exempt, ExemptReason, InterfaceScope};
use crate::logic::redirect::{METADATA_V4, Metadata};

fn wanted(redirected: &[&str]) -> Wanted {
    let pattern = |name: &str| InterfacePattern::parse(name).unwrap();
    Wanted {
        metadata: Metadata::of([]),
        agent_v4: Some("10.0.0.1:8181".parse().unwrap()),
        agent_v6: Some("[fd00::1]:8181".parse().unwrap()),
        scope: InterfaceScope {
            exempt: vec![Exempt { pattern: pattern("eth0"), reason: ExemptReason::Uplink }],
            redirected: redirected.iter().map(|name| pattern(name)).collect(),
        },
        other_ports: OtherPorts::Drop,
    }
}

/// An intact table in which the n-th counted rule has counted n packets.
fn table(wanted: &Wanted) -> FoundTable {
    let mut table = FoundTable::as_written(&chains(wanted), 3);
    let rules = table.chains.iter_mut().flat_map(|chain| &mut chain.rules);
    let counted = rules.filter(|rule| rule.expressions.contains(&Expression::Counter));
    for (rule, packets) in counted.zip(1..) {
        rule.count = Count { packets, bytes: 60 * packets };
    }
    table
}

fn status(table: Option<FoundTable>) -> RedirectStatus {
    let interface = |name: &str| Interface { index: 1, name: name.to_owned(), kind: InterfaceKind::Other };
    RedirectStatus {
        table,
        interfaces: ["eth0", "cali1", "veth9"].map(interface).to_vec(),
        ..RedirectStatus::default()
    }
}

#[test]
fn an_intact_table_shows_addresses_counters_and_interface_classes() {
    assert_eq!(
        status(Some(table(&wanted(&["cali+"])))).text(),
        "table inet kube2iam: whole, generation 3\n\
         \u{20} 169.254.169.254:80 -> 10.0.0.1:8181: 1 connections\n\
         \u{20} [fd00:ec2::254]:80 -> [fd00::1]:8181: 2 connections\n\
         \u{20} requests not redirected and dropped: 4 packets\n\
         \u{20} all but requests: dropped, 5 packets\n\
         \u{20} from interfaces that are not named: dropped, 3 packets\n\
         \u{20} interfaces: cali+; dropped on all others but eth0 (uplink)\n\
         \u{20}   redirected: cali1\n\
         \u{20}   dropped: veth9\n\
         \u{20}   uplink: eth0\n"
    );
    let table = table(&wanted(&[]));
    assert_eq!((status(Some(table)).connections(), status(None).connections()), (3, 0));
}

#[test]
fn passed_ports_and_dropped_requests_are_shown() {
    let wanted = Wanted { agent_v4: None, agent_v6: None, other_ports: OtherPorts::Pass, ..wanted(&[]) };
    let text = status(Some(table(&wanted))).text();
    assert!(text.contains("  169.254.169.254:80: dropped, no agent to send it to\n"), "{text}");
    assert!(text.contains("  requests not redirected and dropped: 1 packets\n"), "{text}");
    assert!(text.contains("  all but requests: passed, 2 packets\n"), "{text}");
    assert!(text.contains("  interfaces: all but eth0 (uplink)\n    redirected: cali1, veth9\n"), "{text}");
}

#[test]
fn json_has_the_same_facts() {
    let whole = status(Some(table(&wanted(&["cali+"])))).json();
    assert_eq!((&whole["table"], &whole["whole"], &whole["connections"]), (&json!("whole"), &json!(true), &json!(3)));
    let missing = status(None).json();
    assert_eq!(
        (&missing["table"], &missing["whole"], &missing["generation"]),
        (&json!("missing"), &json!(false), &Value::Null)
    );
    assert_eq!(missing["credentials_address"], Value::Null);
    let mut altered = table(&wanted(&[]));
    altered.chains[0].rules.pop();
    let altered = status(Some(altered)).json();
    assert_eq!(altered["differences"][0], json!("the chain `to_agent` has 4 rules instead of 5"));
}

#[test]
fn a_missing_table_is_explained() {
    let text = status(None).text();
    assert_eq!(text, "table inet kube2iam: missing, pods reach the node's own metadata service\n");
}

#[test]
fn an_altered_table_shows_each_difference() {
    let mut altered = table(&wanted(&[]));
    altered.chains[0].rules.pop();
    let text = status(Some(altered)).text();
    assert_eq!(text, "table inet kube2iam: altered\n  the chain `to_agent` has 4 rules instead of 5\n");
    assert!(status(Some(FoundTable::default())).text().contains("one of its chains is missing"));
}

#[test]
fn old_rules_are_shown_with_the_command_that_deletes_them() {
    let rule = OldRule { handle: 5, metadata: METADATA_V4, port: Some(80), target: None, interface: None };
    let text = RedirectStatus { old_rules: vec![rule], ..status(None) }.text();
    assert!(
        text.ends_with("  delete it: iptables-nft -t nat -D PREROUTING -p tcp -d 169.254.169.254 --dport 80 -j DNAT\n"),
        "{text}"
    );
}
