//! Housekeeping: unused sessions go, token keys rotate, metrics of what is gone are dropped, memory is given back.

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

/// Drops sessions that no pod may use any more, and rotates the keys of the tokens.
pub(in crate::agent) fn run(agent: &AgentState) {
    let mut pause = FIRST_HOUSEKEEPING;
    while agent.latch.wait(agent.clock.now().mono.after(pause)) == Waited::Elapsed {
        pause = HOUSEKEEPING;
        if let Some(entitled) = entitled(agent) {
            agent.sessions.sweep(&entitled);
            agent.telemetry.retain_roles(&entitled.iter().map(|request| request.role.clone()).collect());
        }
        forget_namespaces(agent);
        // Without a redirect nothing else notices that the node got or lost an address.
        agent.node.get().into_iter().for_each(|node| drop(node.look_again()));
        if agent.keys.is_rotation_due() {
            rotate_keys(agent);
        }
        memory::trim();
    }
}

/// What pods here may ask of STS, once everything is known. The World is locked for a few pods at a time.
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

/// Metrics of namespaces that are gone would pile up where namespaces come and go.
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
                warn!("session tokens may have to be asked for anew after an upgrade: {cause}");
            }
        }
        Err(cause) => error!("failed to draw a new token key: {cause}"),
    }
}

/// By then both lists are in, and what starting up took is free again.
const FIRST_HOUSEKEEPING: Duration = Duration::from_secs(2);
/// Well within the minute after which a session without a pod must be gone.
const HOUSEKEEPING: Duration = Duration::from_secs(20);
/// Pods judged under one lock: well below a millisecond.
const PODS_AT_ONCE: usize = 256;
