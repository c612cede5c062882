//! Rules that the original kube2iam left in the node's iptables, and the commands that delete them.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use super::compare::FoundRule;
use super::expression::{self, Expression, LOAD_DESTINATION_PORT, LOAD_DESTINATION_V4, Relation};
use super::interfaces::InterfacePattern;
use super::{METADATA_PORT, OtherPorts, Wanted, readback};
use crate::logic::operator::shell;

/// The chain in iptables' table `nat` to which kube2iam appends its rule.
pub const CHAIN: &str = "PREROUTING";
pub const TABLE: &str = "nat";

/// A rule that redirects the metadata address elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldRule {
    /// The rule's handle in nf_tables
    pub handle: u64,
    pub metadata: Ipv4Addr,
    pub port: Option<u16>,
    /// The rule's target, if it could be parsed
    pub target: Option<SocketAddrV4>,
    pub interface: Option<(Relation, InterfacePattern)>,
}

/// The old rules among those of `ip nat PREROUTING`.
pub fn old_rules(rules: &[FoundRule], metadata: &[Ipv4Addr]) -> Vec<OldRule> {
    rules.iter().filter_map(|rule| old_rule(rule, metadata)).collect()
}

fn old_rule(rule: &FoundRule, metadata: &[Ipv4Addr]) -> Option<OldRule> {
    let (relation, value) = expression::compared(&rule.expressions, &LOAD_DESTINATION_V4)?;
    let target = rewrites_to(&rule.expressions)?;
    let metadata = metadata.iter().copied().find(|ip| value == ip.octets())?;
    (relation == Relation::Equal).then(|| OldRule {
        handle: rule.handle,
        metadata,
        port: port(&rule.expressions),
        target,
        interface: readback::interface_of(&rule.expressions),
    })
}

/// `None`: the rule doesn't rewrite destinations. `Some(None)`: it does, to a target that can't be parsed.
fn rewrites_to(rule: &[Expression]) -> Option<Option<SocketAddrV4>> {
    match rule.last()? {
        Expression::Target { name, revision, info } if name == "DNAT" => Some(dnat_target(*revision, info)),
        Expression::DestinationNat(_) => Some(match readback::agent(rule) {
            Some(SocketAddr::V4(target)) => Some(target),
            _ => None,
        }),
        _ => None,
    }
}

/// iptables compares the port with its `tcp` match or, since 1.8.8, like nft.
fn port(rule: &[Expression]) -> Option<u16> {
    if let Some((Relation::Equal, value)) = expression::compared(rule, &LOAD_DESTINATION_PORT) {
        return value.try_into().ok().map(u16::from_be_bytes);
    }
    rule.iter().find_map(|expression| match expression {
        Expression::Match { name, info } if name == "tcp" => tcp_match_port(info),
        _ => None,
    })
}

/// `struct xt_tcp`: the destination port range is its third and fourth number.
fn tcp_match_port(info: &[u8]) -> Option<u16> {
    let (first, last) = (native_u16(info, 4)?, native_u16(info, 6)?);
    (first == last).then_some(first)
}

/// `struct nf_nat_ipv4_multi_range_compat` (revision 0) or `struct nf_nat_range2` (2; 1 has the same start).
fn dnat_target(revision: u32, info: &[u8]) -> Option<SocketAddrV4> {
    let (ip, port) = if revision == 0 { (8, 16) } else { (4, 36) };
    let ip: [u8; 4] = info.get(ip..ip + 4)?.try_into().ok()?;
    let port: [u8; 2] = info.get(port..port + 2)?.try_into().ok()?;
    Some(SocketAddrV4::new(ip.into(), u16::from_be_bytes(port)))
}

fn native_u16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

impl OldRule {
    /// The command that deletes the rule.
    pub fn deletion(&self) -> String {
        format!("iptables-nft -t {TABLE} -D {CHAIN} {}", self.specification())
    }

    fn specification(&self) -> String {
        let port = self.port.map_or_else(String::new, |port| format!(" --dport {port}"));
        let interface = match &self.interface {
            None => String::new(),
            Some((Relation::Equal, pattern)) => format!(" -i {}", word(pattern)),
            Some((Relation::Different, pattern)) => format!(" ! -i {}", word(pattern)),
        };
        let target = self.target.map_or_else(String::new, |target| format!(" --to-destination {target}"));
        format!("-p tcp -d {}{port}{interface} -j DNAT{target}", self.metadata)
    }
}

impl fmt::Display for OldRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "old rule of kube2iam in iptables-nft: -t {TABLE} -A {CHAIN} {}", self.specification())
    }
}

/// The hint for a kernel with tables of iptables-legacy, which nf_tables neither shows nor changes.
pub fn legacy_hint(metadata: &[Ipv4Addr]) -> String {
    let addresses: Vec<String> = metadata.iter().map(|ip| ip.to_string().replace('.', "\\.")).collect();
    format!(
        "iptables-legacy has a table `{TABLE}` here; this deletes what the original kube2iam may have left in it: \
         iptables-legacy -t {TABLE} -S {CHAIN} | sed -nE '/-d ({})\\/32 .*-j DNAT/s/^-A/-D/p' | xargs -rL1 \
         iptables-legacy -w -t {TABLE}",
        addresses.join("|")
    )
}

/// Interface names may contain characters that are special to a shell.
fn word(pattern: &InterfacePattern) -> String {
    shell::quote(&pattern.to_string()).into_owned()
}

/// The iptables commands for a kernel without nf_tables. Each `-I` inserts above the one before.
pub fn by_hand(wanted: &Wanted) -> Vec<String> {
    let mut lines = Vec::new();
    for metadata in wanted.metadata.all() {
        let program = if metadata.is_ipv4() { "iptables" } else { "ip6tables" };
        let redirect = |rest: String| {
            format!("{program} -t {TABLE} -A {CHAIN} -p tcp -d {metadata} --dport {METADATA_PORT}{rest}")
        };
        let forward = |rest: String| format!("{program} -I FORWARD -d {metadata}{rest}");
        let (exempt, redirected) = (&wanted.scope.exempt, &wanted.scope.redirected);
        if let Some(agent) = wanted.agent_for(metadata) {
            let to_agent = format!(" -j DNAT --to-destination {agent}");
            lines.extend(exempt.iter().map(|exempt| redirect(format!(" -i {} -j RETURN", word(&exempt.pattern)))));
            lines.extend(redirected.is_empty().then(|| redirect(to_agent.clone())));
            lines.extend(redirected.iter().map(|pattern| redirect(format!(" -i {}{to_agent}", word(pattern)))));
        }
        lines.push(forward(" -j DROP".to_owned()));
        if wanted.other_ports == OtherPorts::Pass {
            let other_ports = format!(" -p tcp ! --dport {METADATA_PORT} -j RETURN");
            lines.extend(redirected.is_empty().then(|| forward(other_ports.clone())));
            lines.extend(redirected.iter().map(|pattern| forward(format!(" -i {}{other_ports}", word(pattern)))));
        }
        lines.extend(exempt.iter().map(|exempt| forward(format!(" -i {} -j RETURN", word(&exempt.pattern)))));
    }
    lines
}

#[cfg(test)]
mod tests;
