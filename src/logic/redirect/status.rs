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
mod tests;
