//! Makes the session cache's calls to STS.

use crate::agent::state::AgentState;

/// Makes calls to STS until the session cache closes.
pub(in crate::agent) fn call_sts(agent: &AgentState) {
    agent.sessions.work(&*agent.sts, &|| agent.random.number(), &|report| agent.telemetry.called(report));
}
