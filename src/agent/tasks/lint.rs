//! Looks for mistakes in namespaces' lists and pods' annotations, and logs them.

use std::collections::BTreeSet;
use std::time::Duration;

use log::{info, warn};

use crate::agent::state::AgentState;
use crate::logic::operator::lint::{LintFinding, lint};
use crate::ports::Waited;

/// Logs each finding about lists and annotations once, until it is gone.
pub(in crate::agent) fn lint_policies(agent: &AgentState) {
    let mut known = BTreeSet::new();
    let (mut seen, mut looked) = (None, false);
    loop {
        let changed = agent.world.seen();
        if seen != Some(changed) {
            seen = Some(changed);
            let findings =
                agent.world.read(|world, rules| rules.filter(|_| world.is_ready()).map(|rules| lint(world, rules)));
            if let Some(findings) = findings {
                looked = true;
                report(agent, &findings, &known);
                known = findings;
            }
        }
        let pause = if looked { LOOK_AGAIN } else { UNTIL_READY };
        if agent.latch.wait(agent.clock.now().mono.after(pause)) == Waited::ShutDown {
            return;
        }
    }
}

fn report(agent: &AgentState, findings: &BTreeSet<LintFinding>, known: &BTreeSet<LintFinding>) {
    agent.telemetry.metrics.operator.policy_doubts.set(f64::from(u32::try_from(findings.len()).unwrap_or(u32::MAX)));
    let fresh: Vec<&LintFinding> = findings.difference(known).collect();
    for finding in fresh.iter().take(MOST_LOGGED) {
        warn!("ns.name" = finding.namespace.as_str(), "lint" = "policy"; "namespace `{}`: {}", finding.namespace, finding.text);
    }
    if fresh.len() > MOST_LOGGED {
        warn!("lint" = "policy"; "{} more findings about lists and annotations", fresh.len() - MOST_LOGGED);
    }
    if findings.is_empty() && !known.is_empty() {
        info!("lint" = "policy"; "no findings about lists and annotations are left");
    }
}

/// Lists are looked at again so long after a change at the latest.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How often the end of the first lists is looked for.
const UNTIL_READY: Duration = Duration::from_millis(100);
/// Lines of one look.
const MOST_LOGGED: usize = 50;
