//! The redirect spelled out: three chains at the prerouting hook, in the order a packet meets them.
//!
//! | chain | does |
//! |---|---|
//! | `others` | drops what pods send to other ports of the metadata address (left out on request) |
//! | `to_agent` | sends the metadata port to the agent: the only rules that change a packet |
//! | `missed` | drops what should have been redirected and was not |
//!
//! A packet that comes through `to_agent` unchanged belongs to a connection from before the rules, or to one that
//! somebody exempted from tracking; `missed` keeps both away from the node's own role, from the same atomic batch on.
//! All three begin with the same few rules, which let everything pass that is not for the metadata service.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::expression::{self, Expression, Relation, Transport, Verdict};
use super::interfaces::InterfacePattern;
use super::{METADATA_PORT, OtherPorts, TABLE, Wanted};

/// `NF_INET_PRE_ROUTING` of linux/netfilter.h.
pub const HOOK_PREROUTING: u32 = 0;
/// `NF_ACCEPT`.
pub const POLICY_ACCEPT: u32 = 1;
/// `NF_IP_PRI_NAT_DST`, where iptables, kube-proxy and others rewrite destinations. We come just before them.
const PRIORITY_DESTINATION_NAT: i32 = -100;

/// Names of the chains. `redirect` would be a keyword of nft.
pub const CHAIN_OTHERS: &str = "others";
pub const CHAIN_TO_AGENT: &str = "to_agent";
pub const CHAIN_MISSED: &str = "missed";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    pub name: &'static str,
    pub kind: ChainKind,
    pub priority: i32,
    pub rules: Vec<Rule>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainKind {
    Filter,
    Nat,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub statements: Vec<Statement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// To none of these, which are of one family. Packets of the other family don't match.
    NotTo(Vec<IpAddr>),
    To(IpAddr),
    Interface(Relation, InterfacePattern),
    Protocol(Transport),
    TcpPort(u16),
    Counter,
    DestinationNat(SocketAddr),
    Verdict(Verdict),
}

/// The whole table.
pub fn chains(wanted: &Wanted) -> Vec<Chain> {
    let others = Chain {
        name: CHAIN_OTHERS,
        kind: ChainKind::Filter,
        priority: PRIORITY_DESTINATION_NAT - 2,
        rules: with_prelude(wanted, others(wanted)),
    };
    let to_agent = Chain {
        name: CHAIN_TO_AGENT,
        kind: ChainKind::Nat,
        priority: PRIORITY_DESTINATION_NAT - 1,
        rules: with_prelude(wanted, per_address(wanted, Statement::DestinationNat)),
    };
    let missed = Chain {
        name: CHAIN_MISSED,
        kind: ChainKind::Filter,
        priority: PRIORITY_DESTINATION_NAT + 1,
        rules: with_prelude(wanted, per_address(wanted, |_| Statement::Verdict(Verdict::Drop))),
    };
    match wanted.other_ports {
        OtherPorts::Drop => vec![others, to_agent, missed],
        OtherPorts::Pass => vec![to_agent, missed],
    }
}

/// Lets pass what is not for the metadata service or not from a pod's interface.
fn with_prelude(wanted: &Wanted, rules: Vec<Rule>) -> Vec<Rule> {
    let back = Statement::Verdict(Verdict::Return);
    let (v4, v6) = wanted.metadata.all().into_iter().partition(IpAddr::is_ipv4);
    let mut prelude =
        vec![Rule::of(vec![Statement::NotTo(v4), back.clone()]), Rule::of(vec![Statement::NotTo(v6), back.clone()])];
    for pattern in &wanted.scope.excluded {
        prelude.push(Rule::of(vec![Statement::Interface(Relation::Equal, pattern.clone()), back.clone()]));
    }
    if !wanted.scope.included.is_empty() {
        let none_of = wanted.scope.included.iter().map(|p| Statement::Interface(Relation::Different, p.clone()));
        let mut none_of: Vec<Statement> = none_of.collect();
        none_of.push(back);
        prelude.push(Rule::of(none_of));
    }
    prelude.extend(rules);
    prelude
}

/// What is not redirected is dropped; a family without an agent's address altogether.
fn others(wanted: &Wanted) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (metadata, _) in wanted.redirected() {
        let [destination, port] = metadata_request(metadata);
        rules.push(Rule::of(vec![destination, port, Statement::Verdict(Verdict::Return)]));
    }
    for transport in [Transport::Tcp, Transport::Udp] {
        let statements = vec![Statement::Protocol(transport), Statement::Counter, Statement::Verdict(Verdict::Drop)];
        rules.push(Rule::of(statements));
    }
    rules
}

/// One counted rule for each address that is redirected.
fn per_address(wanted: &Wanted, act: fn(SocketAddr) -> Statement) -> Vec<Rule> {
    let rule = |(metadata, agent)| {
        let [destination, port] = metadata_request(metadata);
        Rule::of(vec![destination, port, Statement::Counter, act(agent)])
    };
    wanted.redirected().into_iter().map(rule).collect()
}

fn metadata_request(metadata: IpAddr) -> [Statement; 2] {
    [Statement::To(metadata), Statement::TcpPort(METADATA_PORT)]
}

impl ChainKind {
    /// As nf_tables and `nft` name it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
        }
    }
}

impl Rule {
    fn of(statements: Vec<Statement>) -> Self {
        Self { statements }
    }

    /// As the kernel takes it.
    pub fn expressions(&self) -> Vec<Expression> {
        let mut expressions = Vec::new();
        self.statements.iter().for_each(|statement| expressions.extend(statement.expressions()));
        expressions
    }

    /// The rules that redirect carry the generation of the agent that wrote them.
    pub fn redirects(&self) -> bool {
        self.statements.iter().any(|statement| matches!(statement, Statement::DestinationNat(_)))
    }
}

impl Statement {
    fn expressions(&self) -> Vec<Expression> {
        match self {
            Self::NotTo(ips) => expression::destination(Relation::Different, ips),
            Self::To(ip) => expression::destination(Relation::Equal, &[*ip]),
            Self::Interface(relation, pattern) => expression::interface(*relation, pattern),
            Self::Protocol(transport) => expression::protocol(*transport),
            Self::TcpPort(port) => expression::tcp_port(*port),
            Self::Counter => vec![Expression::Counter],
            Self::DestinationNat(agent) => expression::destination_nat(agent.ip(), agent.port()),
            Self::Verdict(verdict) => vec![Expression::Verdict(*verdict)],
        }
    }
}

/// The comment that carries a generation.
pub fn comment(generation: u64) -> String {
    format!("generation {generation}")
}

/// The reverse of [`comment`].
pub fn generation(comment: &str) -> Option<u64> {
    comment.strip_prefix("generation ")?.parse().ok()
}

/// The table as `nft list table inet kube2iam` shows it with counters at zero.
pub fn nft_text(wanted: &Wanted, generation: u64) -> String {
    let chains: Vec<String> = chains(wanted).iter().map(|chain| chain_text(chain, generation)).collect();
    format!("table inet {TABLE} {{\n{}}}\n", chains.join("\n"))
}

fn chain_text(chain: &Chain, generation: u64) -> String {
    let kind = chain.kind.word();
    let (sign, distance) = match chain.priority - PRIORITY_DESTINATION_NAT {
        below if below < 0 => ('-', -below),
        above => ('+', above),
    };
    let mut text = format!(
        "\tchain {} {{\n\t\ttype {kind} hook prerouting priority dstnat {sign} {distance}; policy accept;\n",
        chain.name
    );
    for rule in &chain.rules {
        let comment = if rule.redirects() { format!(" comment \"{}\"", comment(generation)) } else { String::new() };
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
            Self::Interface(relation, InterfacePattern::Name(name)) => {
                write!(f, "iifname {}\"{name}\"", sign(*relation))
            }
            Self::Interface(relation, InterfacePattern::Prefix(prefix)) => {
                write!(f, "iifname {}\"{prefix}*\"", sign(*relation))
            }
            Self::Protocol(Transport::Tcp) => f.write_str("meta l4proto tcp"),
            Self::Protocol(Transport::Udp) => f.write_str("meta l4proto udp"),
            Self::TcpPort(port) => write!(f, "tcp dport {port}"),
            Self::Counter => f.write_str("counter packets 0 bytes 0"),
            Self::DestinationNat(agent) => {
                write!(f, "dnat {} to {agent}", family(agent.ip()))
            }
            Self::Verdict(Verdict::Drop) => f.write_str("drop"),
            Self::Verdict(Verdict::Return) => f.write_str("return"),
        }
    }
}

fn family(ip: IpAddr) -> &'static str {
    if ip.is_ipv4() { "ip" } else { "ip6" }
}

fn sign(relation: Relation) -> &'static str {
    match relation {
        Relation::Equal => "",
        Relation::Different => "!= ",
    }
}

#[cfg(test)]
mod tests;
