//! The output of `kube2iam redirect status`.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::address_status::AddressStatus;
use super::compare::{FoundTable, differences};
use super::expression::NftVerdict;
use super::leftover::OldRule;
use super::resolve::Interface;
use super::ruleset::{CHAIN_DROPPED, CHAIN_TO_AGENT, Rule, Statement, chains};
use super::{METADATA_PORT, OtherPorts, TABLE, Wanted, readback};

/// The state of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedirectStatus {
    pub table: Option<FoundTable>,
    /// The node's interfaces, to print the class of each
    pub interfaces: Vec<Interface>,
    /// Rules of the original kube2iam
    pub old_rules: Vec<OldRule>,
    /// Where such rules could not be searched, and what to do
    pub unread: Vec<String>,
    /// The address of container credentials
    pub credentials: AddressStatus,
}

/// The state of the agent's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableState {
    Whole(Wanted),
    Missing,
    Altered(Vec<String>),
}

impl RedirectStatus {
    pub fn wholeness(&self) -> TableState {
        let Some(table) = &self.table else { return TableState::Missing };
        let Some(wanted) = readback::read_back(table) else {
            return TableState::Altered(vec!["one of its chains is missing".to_owned()]);
        };
        match differences(&chains(&wanted), table) {
            none if none.is_empty() => TableState::Whole(wanted),
            some => TableState::Altered(some),
        }
    }

    /// Connections redirected since the table was written.
    pub fn connections(&self) -> u64 {
        let rules = self.table.as_ref().and_then(|table| table.chain(CHAIN_TO_AGENT)).map(|chain| &chain.rules);
        rules.into_iter().flatten().map(|rule| rule.count.packets).sum()
    }

    /// The same as JSON.
    pub fn json(&self) -> Value {
        let (word, differences) = match self.wholeness() {
            TableState::Whole(_) => ("whole", Vec::new()),
            TableState::Missing => ("missing", Vec::new()),
            TableState::Altered(differences) => ("altered", differences),
        };
        let old = |rule: &OldRule| json!({ "rule": rule.to_string(), "delete": rule.deletion() });
        json!({
            "table": word,
            "whole": word == "whole",
            "differences": differences,
            "generation": self.table.as_ref().map(FoundTable::generation),
            "connections": self.connections(),
            "detail": self.redirect_text().lines().collect::<Vec<_>>(),
            "old_rules": self.old_rules.iter().map(old).collect::<Vec<_>>(),
            "unread": self.unread,
            "credentials_address": self.credentials.json(),
        })
    }

    /// One fact per line.
    pub fn text(&self) -> String {
        self.redirect_text() + &self.credentials.text()
    }

    /// The same without the address of container credentials.
    pub fn redirect_text(&self) -> String {
        let mut lines = match (self.wholeness(), &self.table) {
            (TableState::Whole(wanted), Some(table)) => whole(&wanted, table, &self.interfaces),
            (TableState::Altered(differences), _) => altered(&differences),
            (TableState::Missing | TableState::Whole(_), _) => {
                vec![format!("table inet {TABLE}: missing, pods reach the node's own metadata service")]
            }
        };
        lines.extend(self.old_rules.iter().map(|rule| format!("{rule}\n  delete it: {}", rule.deletion())));
        lines.extend(self.unread.iter().cloned());
        lines.join("\n") + "\n"
    }
}

fn altered(differences: &[String]) -> Vec<String> {
    let head = format!("table inet {TABLE}: altered");
    std::iter::once(head).chain(differences.iter().map(|difference| format!("  {difference}"))).collect()
}

fn whole(wanted: &Wanted, table: &FoundTable, interfaces: &[Interface]) -> Vec<String> {
    let mut lines = vec![format!("table inet {TABLE}: whole, generation {}", table.generation())];
    for metadata in wanted.metadata.all() {
        let at = SocketAddr::new(metadata, METADATA_PORT);
        lines.push(match wanted.agent_for(metadata) {
            Some(agent) => {
                let to = Statement::To(metadata);
                let connections = counted(wanted, table, CHAIN_TO_AGENT, |rule| rule.statements.contains(&to));
                format!("  {at} -> {agent}: {connections} connections")
            }
            None => format!("  {at}: dropped, no agent to send it to"),
        });
    }
    let dropped = |matches: fn(&Rule) -> bool| counted(wanted, table, CHAIN_DROPPED, matches);
    let others = match wanted.other_ports {
        OtherPorts::Drop => "dropped",
        OtherPorts::Pass => "passed",
    };
    lines.push(format!("  requests not redirected and dropped: {} packets", dropped(is_request)));
    lines.push(format!("  all but requests: {others}, {} packets", dropped(is_last)));
    if !wanted.scope.redirected.is_empty() {
        lines.push(format!("  from interfaces that are not named: dropped, {} packets", dropped(is_not_named)));
    }
    lines.push(format!("  interfaces: {}", wanted.scope));
    lines.extend(wanted.scope.by_class(interfaces).into_iter().map(|line| format!("    {line}")));
    lines
}

/// The packets that the selected rules of an intact table have counted.
fn counted(wanted: &Wanted, table: &FoundTable, chain: &str, is_selected: impl Fn(&Rule) -> bool) -> u64 {
    let wanted = chains(wanted).into_iter().find(|wanted| wanted.name == chain).map(|chain| chain.rules);
    let wanted = wanted.unwrap_or_default();
    let found = table.chain(chain).map(|chain| chain.rules.as_slice()).unwrap_or_default();
    wanted.iter().zip(found).filter(|(rule, _)| is_selected(rule)).map(|(_, found)| found.count.packets).sum()
}

fn is_request(rule: &Rule) -> bool {
    matches!(rule.statements.first(), Some(Statement::TcpPort(_)))
}

fn is_last(rule: &Rule) -> bool {
    matches!(rule.statements.first(), Some(Statement::Counter))
}

fn is_not_named(rule: &Rule) -> bool {
    let interface = matches!(rule.statements.first(), Some(Statement::Interface(..)));
    interface && rule.statements.last() == Some(&Statement::Verdict(NftVerdict::Drop))
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            (&whole["table"], &whole["whole"], &whole["connections"]),
            (&json!("whole"), &json!(true), &json!(3))
        );
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
            text.ends_with(
                "  delete it: iptables-nft -t nat -D PREROUTING -p tcp -d 169.254.169.254 --dport 80 -j DNAT\n"
            ),
            "{text}"
        );
    }
}
