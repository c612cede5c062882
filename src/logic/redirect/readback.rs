//! Reconstructs what a table's writer wanted from the table itself, so that it can be checked without knowing the
//! agent's flags.

use std::net::{IpAddr, SocketAddr};

use super::compare::{FoundChain, FoundTable};
use super::expression::{
    self, Expression, LOAD_DESTINATION_V4, LOAD_DESTINATION_V6, LOAD_INTERFACE, Meta, NftVerdict, Relation,
};
use super::interfaces::InterfacePattern;
use super::ruleset::{CHAIN_DROPPED, CHAIN_TO_AGENT};
use super::scope::{Exempt, ExemptReason, InterfaceScope};
use super::{Metadata, OtherPorts, Wanted};

/// What the table was written for; `None` if too much is missing. The result must still be checked with
/// [`differences`](super::compare::differences).
pub fn read_back(found: &FoundTable) -> Option<Wanted> {
    let chain = found.chain(CHAIN_TO_AGENT)?;
    let mut wanted = Wanted {
        metadata: metadata(chain)?,
        agent_v4: None,
        agent_v6: None,
        scope: scope(chain),
        other_ports: other_ports(found.chain(CHAIN_DROPPED)?),
    };
    for agent in chain.rules.iter().filter_map(|rule| agent(&rule.expressions)) {
        match agent {
            SocketAddr::V4(agent) => wanted.agent_v4 = Some(agent),
            SocketAddr::V6(agent) => wanted.agent_v6 = Some(agent),
        }
    }
    Some(wanted)
}

fn other_ports(chain: &FoundChain) -> OtherPorts {
    const DROP_ALL: [Expression; 2] = [Expression::Counter, Expression::Verdict(NftVerdict::Drop)];
    match chain.rules.last() {
        Some(rule) if rule.expressions == DROP_ALL => OtherPorts::Drop,
        _ => OtherPorts::Pass,
    }
}

/// The addresses of the two rules that return all other packets.
fn metadata(chain: &FoundChain) -> Option<Metadata> {
    let v4 = not_to(chain, &LOAD_DESTINATION_V4).into_iter();
    let v6 = not_to(chain, &LOAD_DESTINATION_V6).into_iter();
    v4.chain(v6).map(|value| ip(&value)).collect::<Option<Vec<_>>>().map(Metadata::of)
}

fn not_to(chain: &FoundChain, load: &Expression) -> Vec<Vec<u8>> {
    let comparisons = chain.rules.iter().flat_map(|rule| expression::comparisons(&rule.expressions, load));
    comparisons.filter(|(relation, _)| *relation == Relation::Different).map(|(_, value)| value).collect()
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(value).ok().map(IpAddr::from);
    v4.or_else(|| <[u8; 16]>::try_from(value).ok().map(IpAddr::from))
}

/// An exemption without a reason in its comment counts as configured (`!name`).
fn scope(chain: &FoundChain) -> InterfaceScope {
    let mut scope = InterfaceScope::default();
    for rule in &chain.rules {
        let names = interfaces(&rule.expressions);
        match names.as_slice() {
            [(Relation::Equal, pattern)] => {
                let reason = rule.comment.as_deref().and_then(ExemptReason::from_word);
                let reason = reason.unwrap_or(ExemptReason::Excepted);
                scope.exempt.push(Exempt { pattern: pattern.clone(), reason });
            }
            _ => scope.redirected.extend(names.into_iter().map(|(_, pattern)| pattern)),
        }
    }
    scope
}

/// The interface comparisons of a rule that only compares interfaces and returns.
fn interfaces(rule: &[Expression]) -> Vec<(Relation, InterfacePattern)> {
    let Some((Expression::Verdict(NftVerdict::Return), comparisons)) = rule.split_last() else { return Vec::new() };
    let pattern = |pair: &[Expression]| match pair {
        [Expression::LoadMeta(Meta::InterfaceName), Expression::Compare { relation, value }] => {
            expression::interface_pattern(value).map(|pattern| (*relation, pattern))
        }
        _ => None,
    };
    comparisons.chunks(2).map(pattern).collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// The new destination, if the rule rewrites it the way the agent's rules do.
pub(super) fn agent(rule: &[Expression]) -> Option<SocketAddr> {
    let [.., Expression::Immediate { value: address, .. }, Expression::Immediate { value: port, .. }, last] = rule
    else {
        return None;
    };
    let Expression::DestinationNat(_) = last else { return None };
    let port = u16::from_be_bytes(port.as_slice().try_into().ok()?);
    Some(SocketAddr::new(ip(address)?, port))
}

/// The first interface comparison of a single rule.
pub(super) fn interface_of(rule: &[Expression]) -> Option<(Relation, InterfacePattern)> {
    let (relation, value) = expression::compared(rule, &LOAD_INTERFACE)?;
    Some((relation, expression::interface_pattern(&value)?))
}

#[cfg(test)]
mod tests;
