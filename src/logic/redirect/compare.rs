//! A table in the kernel, its differences from the wanted one, and the step to take.

use super::expression::Expression;
use super::readback;
use super::ruleset::{self, Chain, POLICY_ACCEPT};

/// The agent's table as the kernel holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundTable {
    /// A dormant table (flag 1) has no effect; an owned one (2) would vanish with its owner
    pub flags: u32,
    /// The number of chains, sets, objects and flow tables in it
    pub members: u32,
    /// The agent's chains that exist
    pub chains: Vec<FoundChain>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundChain {
    pub name: String,
    pub kind: String,
    pub hook: u32,
    pub priority: i32,
    pub policy: u32,
    pub rules: Vec<FoundRule>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundRule {
    /// The kernel's ID of the rule
    pub handle: u64,
    pub expressions: Vec<Expression>,
    pub count: Count,
    pub comment: Option<String>,
}

/// The values of a rule's counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub packets: u64,
    pub bytes: u64,
}

impl FoundTable {
    /// The generation of the agent that wrote the table; 0 if no comment gives it.
    pub fn generation(&self) -> u64 {
        let comments = self.chains.iter().flat_map(|chain| &chain.rules).filter_map(|rule| rule.comment.as_deref());
        comments.filter_map(ruleset::generation).max().unwrap_or(0)
    }

    pub(super) fn chain(&self, name: &str) -> Option<&FoundChain> {
        self.chains.iter().find(|chain| chain.name == name)
    }
}

/// What to do about a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepairStep {
    /// The table is intact.
    Keep { generation: u64 },
    /// Write the table with this generation.
    Write { generation: u64, cause: Cause },
    /// A newer agent wants a different table.
    Yield { generation: u64 },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    Missing,
    Altered(Vec<String>),
    /// It is what an earlier agent with other flags wrote
    Outdated,
}

/// How an agent treats the generation that it has claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Unchanged: it rewrites its table with the same generation, and leaves a newer one alone.
    Held,
    /// The agent's wanted table has changed: it takes the next generation, because another agent may have the same
    /// one.
    Changed,
    /// Like [`Changed`](Self::Changed), but it also replaces a newer agent's table.
    Anew,
}

/// Chooses the step for a table of an agent. `own` is the generation that this agent has claimed, if any; `is_intact`
/// says whether a table is what its writer wanted.
///
/// A starting agent takes the generation after the one it finds, so the agent that started last is the newest,
/// regardless of clocks. If the content is right the generation doesn't matter: nothing is written and the counters
/// continue.
pub fn decide(
    is_intact: &dyn Fn(&FoundTable) -> bool,
    wanted: &[Chain],
    own: Option<u64>,
    claim: Claim,
    found: Option<&FoundTable>,
) -> RepairStep {
    let Some(found) = found else {
        return RepairStep::Write { generation: own.unwrap_or(1), cause: Cause::Missing };
    };
    let theirs = found.generation();
    let differences = differences(wanted, found);
    if differences.is_empty() {
        return RepairStep::Keep { generation: own.map_or(theirs, |own| own.max(theirs)) };
    }
    match (own, claim) {
        (Some(own), Claim::Held | Claim::Changed) if own < theirs => RepairStep::Yield { generation: theirs },
        (Some(own), Claim::Held) => RepairStep::Write { generation: own, cause: Cause::Altered(differences) },
        (own, _) => {
            let cause = if is_intact(found) { Cause::Outdated } else { Cause::Altered(differences) };
            RepairStep::Write { generation: own.unwrap_or(0).max(theirs.saturating_add(1)), cause }
        }
    }
}

/// Whether the table is what its writer wanted.
pub fn is_intact(found: &FoundTable) -> bool {
    readback::read_back(found).is_some_and(|claim| differences(&ruleset::chains(&claim), found).is_empty())
}

/// A description of each difference; none if the table is intact.
pub fn differences(wanted: &[Chain], found: &FoundTable) -> Vec<String> {
    let mut differences = Vec::new();
    if found.flags != 0 {
        differences.push(format!("the table has the flags {:#x}", found.flags));
    }
    if usize::try_from(found.members) != Ok(wanted.len()) {
        differences.push(format!("the table holds {} things instead of {} chains", found.members, wanted.len()));
    }
    for chain in wanted {
        match found.chain(chain.name) {
            None => differences.push(format!("the chain `{}` is missing", chain.name)),
            Some(found) => differences.extend(chain_differences(chain, found)),
        }
    }
    differences
}

fn chain_differences(wanted: &Chain, found: &FoundChain) -> Vec<String> {
    let name = wanted.name;
    let kind = wanted.kind.word();
    let mut differences = Vec::new();
    if (found.kind.as_str(), found.hook, found.priority) != (kind, wanted.hook.number(), wanted.priority) {
        differences.push(format!("the chain `{name}` is hooked elsewhere"));
    }
    if found.policy != POLICY_ACCEPT {
        differences.push(format!("the chain `{name}` has the policy {}", found.policy));
    }
    if found.rules.len() != wanted.rules.len() {
        differences.push(format!(
            "the chain `{name}` has {} rules instead of {}",
            found.rules.len(),
            wanted.rules.len()
        ));
        return differences;
    }
    for (rule, found) in wanted.rules.iter().zip(&found.rules) {
        if rule.expressions() != found.expressions {
            differences.push(format!("the chain `{name}` has another rule instead of `{rule}`"));
        }
    }
    differences
}

#[cfg(test)]
impl FoundTable {
    /// The table as the kernel returns it after `chains` were written.
    pub(super) fn as_written(chains: &[Chain], generation: u64) -> Self {
        let rule = |rule: &ruleset::Rule| FoundRule {
            expressions: rule.expressions(),
            comment: rule.comment(generation),
            ..FoundRule::default()
        };
        let chain = |chain: &Chain| FoundChain {
            name: chain.name.to_owned(),
            kind: chain.kind.word().to_owned(),
            hook: chain.hook.number(),
            priority: chain.priority,
            policy: POLICY_ACCEPT,
            rules: chain.rules.iter().map(rule).collect(),
        };
        let members = u32::try_from(chains.len()).unwrap();
        Self { flags: 0, members, chains: chains.iter().map(chain).collect() }
    }
}

#[cfg(test)]
mod tests;
