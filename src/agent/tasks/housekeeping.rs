//! Housekeeping: drops unused sessions, rotates token keys, drops metrics of deleted objects, and trims the heap.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use log::{error, warn};

use crate::agent::state::AgentState;
use crate::logic::cluster::kubernetes::Resource;
use crate::logic::policy;
use crate::logic::sts::AssumeRole;
use crate::os::memory;
use crate::ports::Waited;

/// Runs housekeeping until shutdown.
pub(in crate::agent) fn run(agent: &AgentState) {
    let mut pause = FIRST_HOUSEKEEPING;
    while agent.latch.wait(agent.clock.now().mono.after(pause)) == Waited::Elapsed {
        pause = HOUSEKEEPING;
        if let Some(entitled) = entitled(agent) {
            agent.sessions.sweep(&entitled);
            agent.telemetry.retain_roles(&entitled.iter().map(|request| request.role.clone()).collect());
        }
        forget_namespaces(agent);
        // Without a redirect, nothing else notices changes of the node's addresses.
        agent.node.get().into_iter().for_each(|node| drop(node.refresh()));
        if agent.keys.is_rotation_due() {
            rotate_keys(agent);
        }
        memory::trim();
    }
}

/// The calls that pods on this node may cause, once the World is complete. Locks the World for a few pods at a time.
pub(in crate::agent) fn entitled(agent: &AgentState) -> Option<HashSet<AssumeRole>> {
    let pods: Vec<_> = agent.world.read(|world, rules| {
        let known = rules.is_some() && world.is_ready();
        known.then(|| world.pods().filter(|pod| world.can_have_role(pod)).cloned().collect())
    })?;
    let mut entitled = HashSet::new();
    for pods in pods.chunks(PODS_AT_ONCE) {
        agent.world.read(|world, rules| {
            entitled.extend(pods.iter().filter_map(|pod| policy::entitled(world, rules?, pod)));
        });
    }
    Some(entitled)
}

/// Drops metrics of deleted namespaces, which would accumulate.
fn forget_namespaces(agent: &AgentState) {
    let known = agent.world.read(|world, _| {
        let listed = world.is_listed(Resource::Namespaces);
        listed.then(|| world.namespaces().map(|(name, _)| Arc::from(name)).collect::<HashSet<Arc<str>>>())
    });
    if let Some(known) = known {
        agent.telemetry.metrics.retain_namespaces(|name| known.contains(name));
    }
}

fn rotate_keys(agent: &AgentState) {
    match agent.random.secret() {
        Ok(secret) => {
            if let Some(cause) = agent.keys.rotate(&secret) {
                warn!("clients may have to fetch new session tokens after an upgrade: {cause}");
            }
        }
        Err(cause) => error!("failed to draw a new token key: {cause}"),
    }
}

/// By then both lists are complete, and memory used for the start can be returned.
const FIRST_HOUSEKEEPING: Duration = Duration::from_secs(2);
/// Well within the minute after which a session without a pod must be dropped.
const HOUSEKEEPING: Duration = Duration::from_secs(20);
/// Pods evaluated under one lock: well below a millisecond.
const PODS_AT_ONCE: usize = 256;
