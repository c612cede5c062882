//! The thread that evaluates namespaces' role lists.

use crate::agent::state::AgentState;
use crate::agent::tasks::prefetch::prefetch;
use crate::logic::base::time::Mono;
use crate::state::shared_world::Evaluated;

/// Evaluates role lists until shutdown.
pub(crate) fn evaluate_lists(agent: &AgentState) {
    loop {
        let asked = agent.world.asked();
        match agent.world.evaluate() {
            Evaluated::List(change) => {
                agent.telemetry.changed(&change);
                prefetch(agent, &change);
            }
            Evaluated::Part => {}
            Evaluated::Rest(until) => agent.world.wait_for_questions(asked, until),
            Evaluated::Nothing => agent.world.wait_for_questions(asked, Mono::from_micros(u64::MAX)),
            Evaluated::Closed => return,
        }
    }
}
