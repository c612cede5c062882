//! What `kube2iam redirect status` says.

use std::net::{IpAddr, SocketAddr};

use super::compare::{Count, FoundChain, FoundTable, differences};
use super::expression::{self, Expression, Meta, Relation, Transport, Verdict};
use super::leftover::OldRule;
use super::ruleset::{CHAIN_MISSED, CHAIN_OTHERS, CHAIN_TO_AGENT, chains};
use super::{METADATA_PORT, OtherPorts, TABLE, Wanted, readback};

/// The state of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub table: Option<FoundTable>,
    /// What is left of the original kube2iam.
    pub old_rules: Vec<OldRule>,
    /// Where nobody could look for such rules, and why.
    pub unread: Vec<String>,
}

/// What became of our table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wholeness {
    Whole(Wanted),
    Missing,
    Altered(Vec<String>),
}

impl Status {
    pub fn wholeness(&self) -> Wholeness {
        let Some(table) = &self.table else { return Wholeness::Missing };
        let Some(wanted) = readback::read_back(table) else {
            return Wholeness::Altered(vec!["no rule is left that leads to the agent".to_owned()]);
        };
        match differences(&chains(&wanted), table) {
            none if none.is_empty() => Wholeness::Whole(wanted),
            some => Wholeness::Altered(some),
        }
    }

    /// Connections that were redirected since the table was written.
    pub fn connections(&self) -> u64 {
        let rules = self.table.as_ref().and_then(|table| table.chain(CHAIN_TO_AGENT)).map(|chain| &chain.rules);
        rules.into_iter().flatten().map(|rule| rule.count.packets).sum()
    }

    /// One fact per line.
    pub fn text(&self) -> String {
        let mut lines = match (self.wholeness(), &self.table) {
            (Wholeness::Whole(wanted), Some(table)) => whole(&wanted, table),
            (Wholeness::Altered(differences), _) => altered(&differences),
            (Wholeness::Missing | Wholeness::Whole(_), _) => {
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

fn whole(wanted: &Wanted, table: &FoundTable) -> Vec<String> {
    let mut lines = vec![format!("table inet {TABLE}: whole, generation {}", table.generation())];
    let to_agent = table.chain(CHAIN_TO_AGENT);
    for (metadata, agent) in wanted.redirected() {
        let count = to_agent.map(|chain| redirected(chain, metadata)).unwrap_or_default();
        let metadata = SocketAddr::new(metadata, METADATA_PORT);
        lines.push(format!("  {metadata} -> {agent}: {} connections", count.packets));
    }
    lines.push(format!("  interfaces: {}", wanted.scope));
    lines.push(match wanted.other_ports {
        OtherPorts::Pass => "  other ports: passed".to_owned(),
        OtherPorts::Drop => {
            let others = table
                .chain(CHAIN_OTHERS)
                .map(|chain| [Transport::Tcp, Transport::Udp].map(|transport| dropped(chain, Some(transport)).packets));
            let [tcp, udp] = others.unwrap_or_default();
            format!("  other ports: dropped, {tcp} tcp and {udp} udp packets")
        }
    });
    let missed = table.chain(CHAIN_MISSED).map(|chain| dropped(chain, None)).unwrap_or_default();
    lines.push(format!("  not redirected and dropped: {} packets", missed.packets));
    lines
}

/// What the rule that redirects `metadata` has seen.
fn redirected(chain: &FoundChain, metadata: IpAddr) -> Count {
    let to = expression::destination(Relation::Equal, &[metadata]);
    chain.rules.iter().find(|rule| rule.expressions.starts_with(&to)).map(|rule| rule.count).unwrap_or_default()
}

/// The sum of what the rules of a chain dropped, of one protocol if it is named.
fn dropped(chain: &FoundChain, transport: Option<Transport>) -> Count {
    let mut sum = Count::default();
    for rule in &chain.rules {
        let drops = rule.expressions.last() == Some(&Expression::Verdict(Verdict::Drop));
        let number = protocol(&rule.expressions);
        if drops && transport.is_none_or(|transport| number == Some(transport.number())) {
            sum.packets += rule.count.packets;
            sum.bytes += rule.count.bytes;
        }
    }
    sum
}

fn protocol(rule: &[Expression]) -> Option<u8> {
    let (_, value) = expression::compared(rule, &Expression::LoadMeta(Meta::TransportProtocol))?;
    value.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::redirect::interfaces::Scope;
    use crate::logic::redirect::leftover::Backend;
    use crate::logic::redirect::{METADATA_V4, Metadata};

    /// A whole table in which the n-th counted rule has seen n packets.
    fn table(other_ports: OtherPorts) -> FoundTable {
        let wanted = Wanted {
            metadata: Metadata::of([]),
            agent_v4: Some("10.0.0.1:8181".parse().unwrap()),
            agent_v6: Some("[fd00::1]:8181".parse().unwrap()),
            scope: Scope::default(),
            other_ports,
        };
        let mut table = FoundTable::as_written(&chains(&wanted), 3);
        let rules = table.chains.iter_mut().flat_map(|chain| &mut chain.rules);
        let counted = rules.filter(|rule| rule.expressions.contains(&Expression::Counter));
        for (rule, packets) in counted.zip(1..) {
            rule.count = Count { packets, bytes: 60 * packets };
        }
        table
    }

    fn status(table: Option<FoundTable>) -> Status {
        Status { table, old_rules: vec![], unread: vec![] }
    }

    #[test]
    fn a_whole_table_shows_addresses_and_counters() {
        assert_eq!(
            status(Some(table(OtherPorts::Drop))).text(),
            "table inet kube2iam: whole, generation 3\n\
             \u{20} 169.254.169.254:80 -> 10.0.0.1:8181: 3 connections\n\
             \u{20} [fd00:ec2::254]:80 -> [fd00::1]:8181: 4 connections\n\
             \u{20} interfaces: all\n\
             \u{20} other ports: dropped, 1 tcp and 2 udp packets\n\
             \u{20} not redirected and dropped: 11 packets\n"
        );
        assert!(status(Some(table(OtherPorts::Pass))).text().contains("other ports: passed"));
        assert_eq!((status(Some(table(OtherPorts::Drop))).connections(), status(None).connections()), (7, 0));
    }

    #[test]
    fn a_missing_table_says_what_that_means() {
        let text = status(None).text();
        assert_eq!(text, "table inet kube2iam: missing, pods reach the node's own metadata service\n");
    }

    #[test]
    fn an_altered_table_names_each_difference() {
        let mut altered = table(OtherPorts::Drop);
        altered.chains[2].rules.pop();
        let text = status(Some(altered)).text();
        assert_eq!(text, "table inet kube2iam: altered\n  the chain `missed` has 3 rules instead of 4\n");
        assert!(status(Some(FoundTable::default())).text().contains("no rule is left that leads to the agent"));
    }

    #[test]
    fn old_rules_come_with_the_line_that_deletes_them() {
        let rule =
            OldRule { backend: Backend::Legacy, metadata: METADATA_V4, port: Some(80), target: None, interface: None };
        let text = Status { old_rules: vec![rule], ..status(None) }.text();
        assert!(
            text.ends_with(
                "  delete it: iptables-legacy -t nat -D PREROUTING -p tcp -d 169.254.169.254 --dport 80 -j DNAT\n"
            ),
            "{text}"
        );
    }
}
