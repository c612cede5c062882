//! Reads the instance id from the metadata service, for `/healthz` and the health gauge.

use std::time::Duration;

use log::debug;

use crate::agent::state::AgentState;
use crate::clients::imds::discovery;
use crate::ports::Waited;

/// Checks the metadata service until shutdown, as kube2iam does.
pub(in crate::agent) fn watch(agent: &AgentState) {
    loop {
        match discovery::instance_id(&*agent.imds) {
            Ok(id) => {
                *agent.facts.instance_id.write() = id;
                agent.telemetry.metrics.healthcheck_status.set(1.0);
            }
            Err(failure) => {
                debug!("failed to read the instance id: {}", failure.cause);
                agent.telemetry.metrics.healthcheck_status.set(0.0);
            }
        }
        if agent.latch.wait(agent.clock.now().mono.after(HEALTH_CHECK)) == Waited::ShutDown {
            return;
        }
    }
}

/// kube2iam's interval.
const HEALTH_CHECK: Duration = Duration::from_secs(30);
