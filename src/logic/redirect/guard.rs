//! The rules around the address of container credentials, a table beside the redirect's.
//!
//! | chain | does |
//! |---|---|
//! | `kept`, `kept_local` | bind requests to the destination they have, for pods and for the node's own processes |
//! | `closed` | drops what comes from outside the node, and all but requests |
//! | `closed_local` | drops requests at loopback while they are not for the agent |
//! | `leaving` | drops what would leave the node |
//!
//! Pods show their tokens there, so no other rule may rewrite the destination: a `hostPort`, or a Service whose external
//! IP is this address. An `accept` ends only its own chain. But the kernel binds a connection's destination once, by the
//! first nat rule that says where it goes, and asks no later nat chain at that hook; so these rules send a request to
//! where it is going anyway. Packets that bypass netfilter need none of this: no rule can rewrite them.
//!
//! `closed` comes after every rewriting of destinations: what another program's rules take elsewhere, as those of Amazon
//! ECS do with port 80, is not for this address any more.
//!
//! While the address is in place no packet to it leaves the node. While it is missing, every packet would, by the default
//! route and with a token in clear text: `leaving` drops them. At postrouting the interface is the one that the packet
//! leaves by, whoever sent it and whatever mark or policy routed it. Packets that bypass netfilter bypass this, too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::address::{ADDRESS, LOOPBACK};
use super::compare::{FoundRule, FoundTable, differences};
use super::expression::{Expression, NftVerdict, Relation};
use super::interfaces::{InterfacePattern, InterfaceRule};
use super::resolve::HostNetwork;
use super::ruleset::{Chain, ChainKind, Hook, PRIORITY_DESTINATION_NAT, PRIORITY_FILTER, Rule, RuleComment, Statement};
use super::scope::ExemptReason;
use super::{RedirectSpec, RequestAction, readback};

/// The name of the table.
pub const GUARD_TABLE: &str = "kube2iam_credentials";
pub const CHAIN_KEPT: &str = "kept";
pub const CHAIN_KEPT_LOCAL: &str = "kept_local";
pub const CHAIN_CLOSED: &str = "closed";
pub const CHAIN_CLOSED_LOCAL: &str = "closed_local";
pub const CHAIN_LEAVING: &str = "leaving";
pub const CHAINS: &[&str] = &[CHAIN_KEPT, CHAIN_KEPT_LOCAL, CHAIN_CLOSED, CHAIN_CLOSED_LOCAL, CHAIN_LEAVING];

/// Where an agent is asked for its health: a name of the node for itself at which no rule drops requests. No pod's
/// variables name it.
pub const HEALTH_V4: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// What [`chains`] turns into rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Where the agent listens
    pub port: u16,
    /// Nothing may come in by these.
    pub uplinks: Vec<InterfacePattern>,
    /// What becomes of requests at the address; `Redirect` lets them pass.
    pub requests: RequestAction,
    /// The same at loopback, where another's address or link is in nobody's way
    pub at_loopback: RequestAction,
}

impl Guard {
    /// An uplink that the operator names with `--host-interface` has pods behind it and is not closed.
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

    /// The destinations that only the agent may answer at.
    pub fn kept(&self) -> [SocketAddr; 3] {
        LOCAL.map(|ip| SocketAddr::new(ip, self.port))
    }
}

const LOCAL: [IpAddr; 3] = [IpAddr::V4(ADDRESS), IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// The whole table.
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

/// The rule for requests that are let pass is written too: the absence of a rule must never look wanted.
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
    // Errors about packets of these connections.
    rules.push(to_address(&[&[Statement::Icmp][..], &RETURN].concat()));
    // Answers to the node's own processes, which come from the address and go back to it.
    let loopback = Statement::Interface(Relation::Equal, InterfacePattern::Name(LOOPBACK.to_owned()));
    let looped = to_address(&[&[loopback][..], &RETURN].concat());
    rules.push(looped.with(RuleComment::Exempt(ExemptReason::Loopback)));
    rules.push(to_address(&DROP));
    rules
}

const DROP: [Statement; 2] = [Statement::Counter, Statement::Verdict(NftVerdict::Drop)];
const RETURN: [Statement; 1] = [Statement::Verdict(NftVerdict::Return)];

/// What the table was written for; `None` if too little of it is left. A claim, as
/// [`readback::read_back`] gives one.
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
mod tests {
    use super::*;
    use crate::logic::redirect::resolve::{DefaultRoute, Family, Interface, InterfaceKind, RouteOrigin};
    use crate::logic::redirect::ruleset::table_text;

    fn guard(uplinks: &[&str], requests: RequestAction, at_loopback: RequestAction) -> Guard {
        let uplinks = uplinks.iter().map(|name| InterfacePattern::parse(name).unwrap()).collect();
        Guard { port: 8181, uplinks, requests, at_loopback }
    }

    fn cases() -> Vec<Guard> {
        use RequestAction::{Drop, Redirect};
        let actions = [(Redirect, Redirect), (Drop, Redirect), (Drop, Drop)];
        let uplinks: [&[&str]; 3] = [&[], &["eth0"], &["eth0", "eth1"]];
        actions.into_iter().flat_map(|(requests, local)| uplinks.map(|names| guard(names, requests, local))).collect()
    }

    #[test]
    fn the_table_reads_as_nft_shows_it() {
        let text = |action| table_text(GUARD_TABLE, &chains(&guard(&["eth0"], action, action)), 7);
        assert_eq!(text(RequestAction::Redirect), include_str!("guard/credentials.nft"));
        assert_eq!(text(RequestAction::Drop), include_str!("guard/dropped.nft"));
    }

    #[test]
    fn an_agent_is_asked_where_no_rule_drops_its_requests() {
        assert!(HEALTH_V4.is_loopback() && !LOCAL.contains(&IpAddr::V4(HEALTH_V4)));
    }

    #[test]
    fn every_rule_looks_only_at_the_agents_own_destinations() {
        for rule in cases().iter().flat_map(chains).flat_map(|chain| chain.rules) {
            let first = rule.statements.first();
            assert!(LOCAL.iter().any(|ip| first == Some(&Statement::To(*ip))), "{rule}");
        }
    }

    #[test]
    fn what_was_written_is_read_back_and_no_rule_can_go_unnoticed() {
        for guard in cases() {
            let table = FoundTable::as_written(&chains(&guard), 1);
            assert_eq!(read_back(&table), Some(guard));
            assert!(is_intact(&table));
            for (chain, rules) in table.chains.iter().map(|chain| chain.rules.len()).enumerate() {
                // An uplink's rule that is gone looks like an uplink that never was.
                let uplinks = if chain == 2 { rules - 4 } else { 0 };
                for rule in uplinks..rules {
                    let mut broken = table.clone();
                    broken.chains[chain].rules.remove(rule);
                    assert!(!is_intact(&broken), "chain {chain} without rule {rule}");
                }
            }
        }
        assert_eq!(read_back(&FoundTable::default()), None);
    }

    #[test]
    fn uplinks_are_closed_unless_they_are_named() {
        let interface = |index, name: &str| Interface { index, name: name.to_owned(), kind: InterfaceKind::Other };
        let origin = RouteOrigin::Placed;
        let route = |interface| DefaultRoute { family: Family::V4, interface, source: None, metric: 0, origin };
        let host = HostNetwork {
            interfaces: vec![interface(2, "eth1"), interface(3, "eth0"), interface(4, "cni0")],
            addresses: Vec::new(),
            default_routes: vec![route(2), route(3)],
        };
        for (typed, closed) in [
            (&[][..], &["eth0", "eth1"][..]),
            (&["cni0"], &["eth0", "eth1"]),
            (&["!cni0"], &["eth0", "eth1"]),
            (&["eth0,cni0"], &["eth1"]),
            (&["eth+"], &[]),
        ] {
            let spec = RedirectSpec { interfaces: InterfaceRule::parse(typed).unwrap(), ..RedirectSpec::new(8181) };
            let passing = guard(closed, RequestAction::Redirect, RequestAction::Redirect);
            assert_eq!(Guard::resolve(&spec, &host), passing, "{typed:?}");
        }
    }
}
