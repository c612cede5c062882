//! Makes the session cache's calls to STS, and logs outages.

use log::{info, warn};

use crate::agent::state::AgentState;
use crate::logic::operator::outage::OutageLineKind;
use crate::logic::sts::StsFailure;

/// Makes calls to STS until the session cache closes.
pub(in crate::agent) fn call_sts(agent: &AgentState) {
    agent.sessions.work(&*agent.sts, &|| agent.random.number(), &|report| {
        agent.telemetry.called(report);
        note(agent, Some(report.request.role.as_str()), report.failure);
    });
}

/// Records the result of a call to STS. An outage is logged in one line for all roles.
pub(super) fn note(agent: &AgentState, role: Option<&str>, failure: Option<&StsFailure>) {
    let now = agent.clock.now().mono;
    let lines = agent.facts.outages.lock().note(role, failure, now);
    for line in lines {
        let (outage, code, text) = (line.dependency.word(), line.code.as_str(), &line.text);
        match line.kind {
            OutageLineKind::Ended => info!("outage" = outage; "{text}"),
            _ => warn!("outage" = outage, "code" = code; "{text}"),
        }
    }
}
