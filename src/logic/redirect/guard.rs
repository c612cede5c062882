//! The rules that protect the address of container credentials, in a table of their own.
//!
//! | chain | purpose |
//! |---|---|
//! | `kept`, `kept_local` | bind requests to their original destination, for pods and for the node's own processes |
//! | `closed` | drops packets from outside the node, and everything but requests |
//! | `closed_local` | drops requests to loopback while they would not reach the agent |
//! | `leaving` | drops packets that would leave the node |
//!
//! Pods send their tokens to this address, so no other rule may rewrite the destination: a `hostPort`, or a Service
//! whose external IP is this address. An `accept` verdict ends only its own chain. But the kernel binds a
//! connection's destination once, by the first NAT rule that sets it, and skips later NAT chains at that hook; so
//! these rules set the destination that the request already has. Packets that bypass netfilter don't need this: no
//! rule can rewrite them.
//!
//! `closed` runs after all rewriting of destinations: packets that other programs' rules redirect, such as Amazon
//! ECS's for port 80, are not for this address any more.
//!
//! While the address is configured, no packet to it leaves the node. While it is missing, packets would leave by the
//! default route, with the token in clear text: `leaving` drops them. At postrouting the interface is the outgoing
//! one, for every sender and any mark or routing policy. Packets that bypass netfilter bypass this chain too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::address::{ADDRESS, LOOPBACK};
use super::compare::{FoundRule, FoundTable, differences};
use super::expression::{Expression, NftVerdict, Relation};
use super::interfaces::{InterfacePattern, InterfaceRule};
use super::resolve::HostNetwork;
use super::ruleset::{Chain, ChainKind, Hook, PRIORITY_DESTINATION_NAT, PRIORITY_FILTER, Rule, RuleComment, Statement};
use super::scope::ExemptReason;
use super::{RedirectSpec, RequestAction, readback};

/// The table's name.
pub const GUARD_TABLE: &str = "kube2iam_credentials";
pub const CHAIN_KEPT: &str = "kept";
pub const CHAIN_KEPT_LOCAL: &str = "kept_local";
pub const CHAIN_CLOSED: &str = "closed";
pub const CHAIN_CLOSED_LOCAL: &str = "closed_local";
pub const CHAIN_LEAVING: &str = "leaving";
pub const CHAINS: &[&str] = &[CHAIN_KEPT, CHAIN_KEPT_LOCAL, CHAIN_CLOSED, CHAIN_CLOSED_LOCAL, CHAIN_LEAVING];

/// The address for health checks of an agent: a loopback address at which no rule drops requests, and which no pod's
/// environment variables contain.
pub const HEALTH_V4: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The input of [`chains`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The agent's port
    pub port: u16,
    /// Interfaces from which packets to the address are dropped
    pub uplinks: Vec<InterfacePattern>,
    /// What happens to requests to the address; `Redirect` allows them
    pub requests: RequestAction,
    /// The same at loopback, which another program's address or link doesn't affect
    pub at_loopback: RequestAction,
}

impl Guard {
    /// Resolves the guard. Uplinks in `--host-interface` have pods behind them, so they are not closed.
    pub fn resolve(spec: &RedirectSpec, host: &HostNetwork) -> Self {
        let named = match &spec.interfaces {
            InterfaceRule::Automatic => &[][..],
            InterfaceRule::Named { included, .. } => included,
        };
        let uplinks = host.uplinks(&spec.given()).into_iter().filter(|name| !named.iter().any(|one| one.matches(name)));
        let mut closed = Vec::new();
        uplinks.for_each(|name| InterfacePattern::Name(name).add_to(&mut closed));
        Self { port: spec.app_port, uplinks: closed, requests: spec.requests, at_loopback: spec.requests }
    }

    /// The destinations that only the agent may serve.
    pub fn kept(&self) -> [SocketAddr; 3] {
        LOCAL.map(|ip| SocketAddr::new(ip, self.port))
    }
}

const LOCAL: [IpAddr; 3] = [IpAddr::V4(ADDRESS), IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// The complete table.
pub fn chains(guard: &Guard) -> Vec<Chain> {
    const BEFORE: i32 = PRIORITY_DESTINATION_NAT - 1;
    const AFTER: i32 = PRIORITY_DESTINATION_NAT + 1;
    let [at_address, at_loopback @ ..] = guard.kept();
    let chain = |name, kind, hook, priority, rules| Chain { name, kind, hook, priority, rules };
    let closed_local = at_loopback.map(|at| at_port(at, guard.at_loopback));
    vec![
        chain(CHAIN_KEPT, ChainKind::Nat, Hook::Prerouting, BEFORE, vec![keep(at_address)]),
        chain(CHAIN_KEPT_LOCAL, ChainKind::Nat, Hook::Output, BEFORE, guard.kept().map(keep).into()),
        chain(CHAIN_CLOSED, ChainKind::Filter, Hook::Prerouting, AFTER, closed(guard)),
        chain(CHAIN_CLOSED_LOCAL, ChainKind::Filter, Hook::Output, AFTER, closed_local.into()),
        chain(CHAIN_LEAVING, ChainKind::Filter, Hook::Postrouting, PRIORITY_FILTER, vec![leaving()]),
    ]
}

/// Allowed requests get a rule too: a missing rule must never look like a wanted state.
fn at_port(at: SocketAddr, requests: RequestAction) -> Rule {
    let act = match requests {
        RequestAction::Redirect => &RETURN[..],
        RequestAction::Drop => &DROP,
    };
    Rule::of([&[Statement::To(at.ip()), Statement::TcpPort(at.port())], act].concat())
}

fn leaving() -> Rule {
    let elsewhere = Statement::OutputInterface(Relation::Different, InterfacePattern::Name(LOOPBACK.to_owned()));
    Rule::of([&[Statement::To(ADDRESS.into()), elsewhere][..], &DROP].concat())
}

fn keep(at: SocketAddr) -> Rule {
    let request = vec![Statement::To(at.ip()), Statement::TcpPort(at.port())];
    Rule::of([request, vec![Statement::Counter, Statement::DestinationNat(at)]].concat()).with(RuleComment::Generation)
}

fn closed(guard: &Guard) -> Vec<Rule> {
    let to_address = |statements: &[Statement]| Rule::of([&[Statement::To(ADDRESS.into())], statements].concat());
    let uplink = |pattern: &InterfacePattern| {
        let comes_in = [Statement::Interface(Relation::Equal, pattern.clone())];
        to_address(&[&comes_in[..], &DROP].concat()).with(RuleComment::Exempt(ExemptReason::Uplink))
    };
    let mut rules: Vec<Rule> = guard.uplinks.iter().map(uplink).collect();
    let [at_address, ..] = guard.kept();
    rules.push(at_port(at_address, guard.requests));
    // ICMP errors about packets of these connections.
    rules.push(to_address(&[&[Statement::Icmp][..], &RETURN].concat()));
    // Responses to the node's own processes, sent from the address to the address.
    let loopback = Statement::Interface(Relation::Equal, InterfacePattern::Name(LOOPBACK.to_owned()));
    let looped = to_address(&[&[loopback][..], &RETURN].concat());
    rules.push(looped.with(RuleComment::Exempt(ExemptReason::Loopback)));
    rules.push(to_address(&DROP));
    rules
}

const DROP: [Statement; 2] = [Statement::Counter, Statement::Verdict(NftVerdict::Drop)];
const RETURN: [Statement; 1] = [Statement::Verdict(NftVerdict::Return)];

/// What the table was written for; `None` if too much is missing. Like the result of [`readback::read_back`] it must
/// still be compared.
pub fn read_back(found: &FoundTable) -> Option<Guard> {
    let kept = &found.chain(CHAIN_KEPT)?.rules;
    let port = kept.iter().find_map(|rule| readback::agent(&rule.expressions))?.port();
    let rules = &found.chain(CHAIN_CLOSED)?.rules;
    let uplinks =
        rules.iter().filter(|rule| is_dropping(rule)).filter_map(|rule| readback::interface_of(&rule.expressions));
    let uplinks = uplinks.map(|(_, pattern)| pattern).collect();
    let passing = at_port(SocketAddr::new(ADDRESS.into(), port), RequestAction::Redirect).expressions();
    let action = |passes| if passes { RequestAction::Redirect } else { RequestAction::Drop };
    let requests = action(rules.iter().any(|rule| rule.expressions == passing));
    let at_loopback = &found.chain(CHAIN_CLOSED_LOCAL)?.rules;
    let at_loopback = action(!at_loopback.iter().any(is_dropping));
    found.chain(CHAIN_LEAVING)?;
    Some(Guard { port, uplinks, requests, at_loopback })
}

/// Whether the rule ends with a drop.
pub(super) fn is_dropping(rule: &FoundRule) -> bool {
    rule.expressions.last() == Some(&Expression::Verdict(NftVerdict::Drop))
}

/// Whether the table is what its writer wanted.
pub fn is_intact(found: &FoundTable) -> bool {
    read_back(found).is_some_and(|claim| differences(&chains(&claim), found).is_empty())
}

#[cfg(test)]
mod tests;
