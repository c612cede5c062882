//! The threads of tasks: starting them, handling panics, and joining them at shutdown.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use log::error;

use super::StartError;
use super::state::AgentState;
use crate::logic::base::time::Mono;
use crate::os::threads;

/// Starts a thread that the agent needs: if it panics, the process ends with a failure, so that the kubelet
/// restarts it.
pub(super) fn start(
    agent: &Arc<AgentState>,
    name: &'static str,
    work: impl FnOnce(&AgentState) + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    let agent = agent.clone();
    let guarded = move || {
        if catch_unwind(AssertUnwindSafe(|| work(&agent))).is_err() {
            error!("thread" = name; "the thread `{name}` panicked; the agent ends");
            agent.fallen.get_or_init(|| name);
            agent.latch.close();
        }
    };
    let thread = threads::spawn(name, threads::STACK_BYTES, guarded);
    thread.map_err(|cause| StartError::new(&format!("start `{name}`"), &cause))
}

/// The result of the process: a failure after a task's thread has panicked.
pub(super) fn failure(agent: &AgentState) -> Result<(), StartError> {
    agent.fallen.get().map_or(Ok(()), |name| Err(StartError::new(&format!("keep `{name}` running"), &"it panicked")))
}

/// Waits for a thread until `deadline`. One that still waits for the network then ends with the process.
pub(super) fn join_by(agent: &AgentState, thread: &JoinHandle<()>, deadline: Mono) {
    while !thread.is_finished() && agent.clock.now().mono < deadline {
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
