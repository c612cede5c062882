//! Credentials fetched ahead: when a pod appears, before its first container asks.

use crate::agent::state::AgentState;
use crate::logic::cluster::world::Change;
use crate::logic::policy::ahead;

/// Fetches what a change makes it likely that somebody asks for soon.
pub(super) fn prefetch(agent: &AgentState, change: &Change) {
    if !agent.config.sts.prefetch {
        return;
    }
    let permitted = agent.world.read(|world, rules| rules.map(|rules| ahead(world, rules, change)));
    permitted.into_iter().flatten().for_each(|permitted| agent.sessions.prefetch(&permitted));
}
