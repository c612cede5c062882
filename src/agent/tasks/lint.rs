//! Checks namespaces' role lists and pods' annotations for mistakes, and logs them.

use std::collections::BTreeSet;
use std::time::Duration;

use log::{info, warn};

use crate::agent::state::AgentState;
use crate::logic::operator::lint::{LintFinding, lint};
use crate::ports::Waited;

/// Logs each finding once, until it is resolved.
pub(in crate::agent) fn lint_policies(agent: &AgentState) {
    let mut known = BTreeSet::new();
    let (mut seen, mut checked) = (None, false);
    loop {
        let changed = agent.world.seen();
        if seen != Some(changed) {
            seen = Some(changed);
            let findings =
                agent.world.read(|world, rules| rules.filter(|_| world.is_ready()).map(|rules| lint(world, rules)));
            if let Some(findings) = findings {
                checked = true;
                report(agent, &findings, &known);
                known = findings;
            }
        }
        let pause = if checked { CHECK_PAUSE } else { UNTIL_READY };
        if agent.latch.wait(agent.clock.now().mono.after(pause)) == Waited::ShutDown {
            return;
        }
    }
}

fn report(agent: &AgentState, findings: &BTreeSet<LintFinding>, known: &BTreeSet<LintFinding>) {
    agent.telemetry.metrics.operator.policy_doubts.set(f64::from(u32::try_from(findings.len()).unwrap_or(u32::MAX)));
    let fresh: Vec<&LintFinding> = findings.difference(known).collect();
    for finding in fresh.iter().take(MAX_LOGGED) {
        warn!("ns.name" = finding.namespace.as_str(), "lint" = "policy"; "namespace `{}`: {}", finding.namespace, finding.text);
    }
    if fresh.len() > MAX_LOGGED {
        warn!("lint" = "policy"; "{} more findings about lists and annotations", fresh.len() - MAX_LOGGED);
    }
    if findings.is_empty() && !known.is_empty() {
        info!("lint" = "policy"; "no findings about lists and annotations are left");
    }
}

/// Maximum delay of a check after a change.
const CHECK_PAUSE: Duration = Duration::from_secs(5);
/// Interval of checks whether the first lists are complete.
const UNTIL_READY: Duration = Duration::from_millis(100);
/// Maximum lines logged per check.
const MAX_LOGGED: usize = 50;
