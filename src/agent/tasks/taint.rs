//! `--remove-taint`: allows pods on the node once they can get credentials.
//!
//! A node that starts with the taint keeps ordinary pods away. The taint is removed once: when the redirect, if
//! configured, is in place, no other process holds the port, and pods and namespaces have been listed. A taint added
//! later is left alone.

use std::sync::atomic::Ordering;
use std::time::Duration;

use log::{error, info, warn};

use crate::agent::state::AgentState;
use crate::logic::base::backoff::Backoff;
use crate::logic::cluster::kubernetes::{KubernetesFailure, KubernetesFailureKind};
use crate::logic::cluster::taint::{Patched, removal};
use crate::ports::{Nodes, Waited};

/// Removes the taint, with retries.
pub(crate) fn remove(agent: &AgentState) {
    let config = &agent.config;
    let (Some(key), Some(node)) = (&config.operation.remove_taint, &config.kubernetes.node) else { return };
    let Some(nodes) = &agent.nodes else { return };
    if await_readiness(agent) == Waited::ShutDown {
        return;
    }
    let mut backoff = Backoff::default();
    loop {
        let rest = match attempt(&**nodes, node, key) {
            Ok(TaintOutcome::Removed) => {
                return info!("node" = node.as_str(), "taint" = key.as_str(); "took the taint off");
            }
            Ok(TaintOutcome::Absent) => {
                return info!("node" = node.as_str(), "taint" = key.as_str(); "there is no taint to take off");
            }
            Ok(TaintOutcome::Outdated) => backoff.next(None, agent.random.number()),
            Err((verb, failure)) => {
                let rest = backoff.next(floor(&failure), agent.random.number());
                log_failure(verb, &failure, agent.kubernetes.server(), (node, key), rest);
                rest
            }
        };
        if agent.latch.wait(agent.clock.now().mono.after(rest)) == Waited::ShutDown {
            return;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TaintOutcome {
    Removed,
    Absent,
    /// Other clients changed the taints during each attempt.
    Outdated,
}

/// Reads the taints and removes ours; repeats this if another client has changed them in between, as controllers do
/// when a node starts. A failure includes the verb that failed.
fn attempt(nodes: &dyn Nodes, node: &str, key: &str) -> Result<TaintOutcome, (&'static str, KubernetesFailure)> {
    for _ in 0..ATTEMPTS {
        let taints = nodes.taints(node).map_err(|failure| ("get", failure))?;
        let Some(removal) = removal(&taints, key) else { return Ok(TaintOutcome::Absent) };
        if nodes.patch(node, &removal).map_err(|failure| ("patch", failure))? == Patched::Done {
            return Ok(TaintOutcome::Removed);
        }
    }
    Ok(TaintOutcome::Outdated)
}

fn await_readiness(agent: &AgentState) -> Waited {
    let missing = [&agent.facts.redirect_missing, &agent.facts.address_missing];
    let redirect_is_in_place = || missing.iter().all(|missing| !missing.load(Ordering::Relaxed));
    let has_port = || agent.facts.taken_port.read().is_none();
    let is_ready = || agent.world.read(|world, rules| rules.is_some() && world.is_ready());
    while !(redirect_is_in_place() && has_port() && is_ready()) {
        if agent.latch.wait(agent.clock.now().mono.after(READINESS_POLL)) == Waited::ShutDown {
            return Waited::ShutDown;
        }
    }
    Waited::Elapsed
}

fn log_failure(verb: &str, failure: &KubernetesFailure, server: &str, (node, key): (&str, &str), rest: Duration) {
    let cause = format!("{} (API server `{server}`)", failure.cause);
    if failure.kind == KubernetesFailureKind::Forbidden {
        error!(
            "node" = node, "taint" = key, "retry.ms" = rest.as_millis();
            "{cause}; the taint stays: the agent's ClusterRole lacks the verb `{verb}` on `nodes`"
        );
    } else {
        warn!("node" = node, "taint" = key, "retry.ms" = rest.as_millis(); "{cause}; the taint stays for now");
    }
}

fn floor(failure: &KubernetesFailure) -> Option<Duration> {
    match failure.kind {
        KubernetesFailureKind::Unavailable { retry_after_s } => retry_after_s.map(|s| Duration::from_secs(s.into())),
        _ => None,
    }
}

/// Attempts without a pause in between.
const ATTEMPTS: usize = 3;
/// Interval of checks for readiness. A node takes seconds to start its first pod.
const READINESS_POLL: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests;
