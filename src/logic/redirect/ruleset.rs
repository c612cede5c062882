//! Builds the redirect's rules: two chains at the prerouting hook, in the order in which a packet traverses them.
//!
//! | chain | purpose |
//! |---|---|
//! | `to_agent` | redirects requests to the agent: the only rules that change a packet |
//! | `dropped` | drops packets that are still addressed to the metadata service |
//!
//! Both start with the same few rules, which return every packet that is not for the metadata service or arrives on
//! an exempt interface. `dropped` runs after all rewriting of destinations by any program. So it also stops
//! connections from before the rules, untracked connections, and Services whose endpoint is the metadata address; an
//! ICMP error that belongs to a redirected connection is already addressed to the agent there.
//!
//! One hook is enough: every packet that a node receives, also from a tunnel, passes prerouting with the name of its
//! incoming interface before it is forwarded or delivered; packets that the node itself sends don't.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::expression::{self, Expression, Meta, NftVerdict, Relation};
use super::interfaces::InterfacePattern;
use super::scope::{Exempt, ExemptReason};
use super::{METADATA_PORT, OtherPorts, TABLE, Wanted};

/// `NF_ACCEPT`.
pub const POLICY_ACCEPT: u32 = 1;
/// `NF_IP_PRI_NAT_DST`, where iptables, kube-proxy and others rewrite destinations. The agent's chain runs just
/// before.
pub(super) const PRIORITY_DESTINATION_NAT: i32 = -100;
/// `NF_IP_PRI_FILTER`, where firewalls filter.
pub(super) const PRIORITY_FILTER: i32 = 0;

/// Names of the chains. `redirect` and `drop` are keywords of nft.
pub const CHAIN_TO_AGENT: &str = "to_agent";
pub const CHAIN_DROPPED: &str = "dropped";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    pub name: &'static str,
    pub kind: ChainKind,
    pub hook: Hook,
    pub priority: i32,
    pub rules: Vec<Rule>,
}

/// Where packets enter a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Packets that the node receives, or sends to itself
    Prerouting,
    /// Packets that the node sends
    Output,
    /// Packets that leave by an interface, forwarded or sent by the node
    Postrouting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainKind {
    Filter,
    Nat,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub statements: Vec<Statement>,
    pub comment: Option<RuleComment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// To none of these, which are of one family. Packets of the other family don't match.
    NotTo(Vec<IpAddr>),
    To(IpAddr),
    Interface(Relation, InterfacePattern),
    OutputInterface(Relation, InterfacePattern),
    TcpPort(u16),
    Icmp,
    Counter,
    DestinationNat(SocketAddr),
    Verdict(NftVerdict),
}

/// The comment of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleComment {
    /// The generation of the agent that wrote the table
    Generation,
    Exempt(ExemptReason),
}

/// The complete table.
pub fn chains(wanted: &Wanted) -> Vec<Chain> {
    let to_agent = Chain {
        name: CHAIN_TO_AGENT,
        kind: ChainKind::Nat,
        hook: Hook::Prerouting,
        priority: PRIORITY_DESTINATION_NAT - 1,
        rules: to_agent(wanted),
    };
    let dropped = Chain {
        name: CHAIN_DROPPED,
        kind: ChainKind::Filter,
        hook: Hook::Prerouting,
        priority: PRIORITY_DESTINATION_NAT + 1,
        rules: dropped(wanted),
    };
    vec![to_agent, dropped]
}

/// One rule per metadata address, even without an agent for it: a missing rule must never look like a wanted state.
fn to_agent(wanted: &Wanted) -> Vec<Rule> {
    let mut rules = prelude(wanted);
    rules.extend(on_other_interfaces(wanted, &[Statement::Verdict(NftVerdict::Return)]));
    for metadata in wanted.metadata.all() {
        let request = vec![Statement::To(metadata), Statement::TcpPort(METADATA_PORT)];
        rules.push(match wanted.agent_for(metadata) {
            Some(agent) => Rule::of([request, vec![Statement::Counter, Statement::DestinationNat(agent)]].concat())
                .with(RuleComment::Generation),
            None => Rule::of([request, vec![Statement::Verdict(NftVerdict::Return)]].concat()),
        });
    }
    rules
}

/// Drops everything on interfaces that aren't redirected; on redirected ones drops requests and, unless they may
/// pass, all other packets.
fn dropped(wanted: &Wanted) -> Vec<Rule> {
    const DROP: [Statement; 2] = [Statement::Counter, Statement::Verdict(NftVerdict::Drop)];
    const PASS: [Statement; 2] = [Statement::Counter, Statement::Verdict(NftVerdict::Return)];
    let mut rules = prelude(wanted);
    rules.extend(on_other_interfaces(wanted, &DROP));
    let requests = [&[Statement::TcpPort(METADATA_PORT)][..], &DROP].concat();
    rules.push(Rule::of(requests).with(RuleComment::Generation));
    rules.push(Rule::of(match wanted.other_ports {
        OtherPorts::Drop => DROP.to_vec(),
        OtherPorts::Pass => PASS.to_vec(),
    }));
    rules
}

/// Returns packets that are not for the metadata service or arrive on an exempt interface.
fn prelude(wanted: &Wanted) -> Vec<Rule> {
    const RETURN: Statement = Statement::Verdict(NftVerdict::Return);
    let (v4, v6) = wanted.metadata.all().into_iter().partition(IpAddr::is_ipv4);
    let mut rules = vec![Rule::of(vec![Statement::NotTo(v4), RETURN]), Rule::of(vec![Statement::NotTo(v6), RETURN])];
    for Exempt { pattern, reason } in &wanted.scope.exempt {
        let interface = Statement::Interface(Relation::Equal, pattern.clone());
        rules.push(Rule::of(vec![interface, RETURN]).with(RuleComment::Exempt(*reason)));
    }
    rules
}

/// The rule for interfaces that are neither exempt nor redirected, if there can be any.
fn on_other_interfaces(wanted: &Wanted, act: &[Statement]) -> Option<Rule> {
    let redirected = &wanted.scope.redirected;
    let none_of = redirected.iter().map(|pattern| Statement::Interface(Relation::Different, pattern.clone()));
    (!redirected.is_empty()).then(|| Rule::of(none_of.chain(act.iter().cloned()).collect()))
}

impl ChainKind {
    /// The name in nf_tables and `nft`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
        }
    }
}

impl Hook {
    /// `NF_INET_PRE_ROUTING`, `NF_INET_LOCAL_OUT` and `NF_INET_POST_ROUTING` of linux/netfilter.h.
    pub fn number(self) -> u32 {
        match self {
            Self::Prerouting => 0,
            Self::Output => 3,
            Self::Postrouting => 4,
        }
    }

    /// The hook and priority in `nft` syntax, which has a name for -100 at prerouting only.
    fn text(self, priority: i32) -> String {
        match (self, priority - PRIORITY_DESTINATION_NAT) {
            (Self::Output, _) => format!("output priority {priority}"),
            (Self::Postrouting, _) if priority == PRIORITY_FILTER => "postrouting priority filter".to_owned(),
            (Self::Postrouting, _) => format!("postrouting priority {priority}"),
            (Self::Prerouting, below) if below < 0 => format!("prerouting priority dstnat - {}", -below),
            (Self::Prerouting, above) => format!("prerouting priority dstnat + {above}"),
        }
    }
}

impl Rule {
    pub(super) fn of(statements: Vec<Statement>) -> Self {
        Self { statements, comment: None }
    }

    pub(super) fn with(self, comment: RuleComment) -> Self {
        Self { comment: Some(comment), ..self }
    }

    /// The expressions for the kernel.
    pub fn expressions(&self) -> Vec<Expression> {
        let mut expressions = Vec::new();
        self.statements.iter().for_each(|statement| expressions.extend(statement.expressions()));
        expressions
    }

    /// The comment's text in a table of this generation.
    pub fn comment(&self, generation: u64) -> Option<String> {
        self.comment.map(|comment| match comment {
            RuleComment::Generation => self::comment(generation),
            RuleComment::Exempt(reason) => reason.word().to_owned(),
        })
    }
}

impl Statement {
    fn expressions(&self) -> Vec<Expression> {
        match self {
            Self::NotTo(ips) => expression::destination(Relation::Different, ips),
            Self::To(ip) => expression::destination(Relation::Equal, &[*ip]),
            Self::Interface(relation, pattern) => expression::interface(Meta::InterfaceName, *relation, pattern),
            Self::OutputInterface(relation, pattern) => {
                expression::interface(Meta::OutputInterfaceName, *relation, pattern)
            }
            Self::TcpPort(port) => expression::tcp_port(*port),
            Self::Icmp => expression::icmp(),
            Self::Counter => vec![Expression::Counter],
            Self::DestinationNat(agent) => expression::destination_nat(agent.ip(), agent.port()),
            Self::Verdict(verdict) => vec![Expression::Verdict(*verdict)],
        }
    }
}

/// The comment with a generation.
pub fn comment(generation: u64) -> String {
    format!("generation {generation}")
}

/// The inverse of [`comment`].
pub fn generation(comment: &str) -> Option<u64> {
    comment.strip_prefix("generation ")?.parse().ok()
}

/// The table as `nft list table inet kube2iam` prints it with counters at zero.
pub fn nft_text(wanted: &Wanted, generation: u64) -> String {
    table_text(TABLE, &chains(wanted), generation)
}

/// A table of these chains as `nft` prints it.
pub fn table_text(table: &str, chains: &[Chain], generation: u64) -> String {
    let chains: Vec<String> = chains.iter().map(|chain| chain_text(chain, generation)).collect();
    format!("table inet {table} {{\n{}}}\n", chains.join("\n"))
}

fn chain_text(chain: &Chain, generation: u64) -> String {
    let (kind, hook) = (chain.kind.word(), chain.hook.text(chain.priority));
    let mut text = format!("\tchain {} {{\n\t\ttype {kind} hook {hook}; policy accept;\n", chain.name);
    for rule in &chain.rules {
        let comment = rule.comment(generation).map_or_else(String::new, |text| format!(" comment \"{text}\""));
        text.push_str(&format!("\t\t{rule}{comment}\n"));
    }
    text.push_str("\t}\n");
    text
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.statements.iter().map(Statement::to_string).collect();
        f.write_str(&words.join(" "))
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTo(ips) => {
                let words: Vec<String> = ips.iter().map(|ip| format!("{} daddr != {ip}", family(*ip))).collect();
                f.write_str(&words.join(" "))
            }
            Self::To(ip) => write!(f, "{} daddr {ip}", family(*ip)),
            Self::Interface(relation, pattern) => write!(f, "iifname {}", quoted(*relation, pattern)),
            Self::OutputInterface(relation, pattern) => write!(f, "oifname {}", quoted(*relation, pattern)),
            Self::TcpPort(port) => write!(f, "tcp dport {port}"),
            Self::Icmp => f.write_str("meta l4proto icmp"),
            Self::Counter => f.write_str("counter packets 0 bytes 0"),
            Self::DestinationNat(agent) => {
                write!(f, "dnat {} to {agent}", family(agent.ip()))
            }
            Self::Verdict(NftVerdict::Drop) => f.write_str("drop"),
            Self::Verdict(NftVerdict::Return) => f.write_str("return"),
        }
    }
}

fn family(ip: IpAddr) -> &'static str {
    if ip.is_ipv4() { "ip" } else { "ip6" }
}

fn quoted(relation: Relation, pattern: &InterfacePattern) -> String {
    let sign = match relation {
        Relation::Equal => "",
        Relation::Different => "!= ",
    };
    match pattern {
        InterfacePattern::Name(name) => format!("{sign}\"{name}\""),
        InterfacePattern::Prefix(prefix) => format!("{sign}\"{prefix}*\""),
    }
}

#[cfg(test)]
mod tests;
