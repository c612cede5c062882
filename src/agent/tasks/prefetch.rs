//! Prefetches credentials when a pod appears, before its first container requests them.

use crate::agent::state::AgentState;
use crate::logic::cluster::world::Change;
use crate::logic::policy::ahead;

/// Prefetches the credentials that a change makes likely to be requested soon.
pub(super) fn prefetch(agent: &AgentState, change: &Change) {
    if !agent.config.sts.prefetch {
        return;
    }
    let permitted = agent.world.read(|world, rules| rules.map(|rules| ahead(world, rules, change)));
    permitted.into_iter().flatten().for_each(|permitted| agent.sessions.prefetch(&permitted));
}
