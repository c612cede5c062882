//! The thread that detects silently dead connections to the API server.

use std::time::Duration;

use log::{info, warn};

use crate::agent::state::AgentState;
use crate::logic::cluster::kubernetes::Resource;
use crate::logic::cluster::silence::WatchSilence;
use crate::ports::Waited;

/// Checks until shutdown.
pub(crate) fn watch_for_silence(agent: &AgentState) {
    let mut silence = WatchSilence::default();
    loop {
        let now = agent.clock.now().mono;
        let last_event_at = agent.world.read(|world, _| world.last_event_at());
        let due = last_event_at.map_or(now.after(CHECK_PAUSE), |last_event_at| silence.due(last_event_at));
        match last_event_at {
            Some(last_event_at) if due <= now => {
                ask(agent, now.since(last_event_at));
                silence.asked(last_event_at, agent.clock.now().mono);
            }
            _ if agent.latch.wait(due) == Waited::ShutDown => return,
            _ => {}
        }
    }
}

fn ask(agent: &AgentState, silent: Duration) {
    let (silent_s, server) = (silent.as_secs(), agent.kubernetes.server());
    match agent.kubernetes.reopen() {
        Ok(()) => info!(
            "server" = server;
            "no watch of `{server}` has sent anything for {silent_s} s and a new connection works: reopening all"
        ),
        Err(failure) => {
            warn!(
                "server" = server;
                "no watch of `{server}` has sent anything for {silent_s} s, and a new connection doesn't work: {}",
                failure.cause
            );
            let now = agent.clock.now().mono;
            let watched: Vec<Resource> = agent.world.read(|world, _| world.watched().collect());
            watched.into_iter().for_each(|resource| agent.world.record_failure(resource, &failure, now));
        }
    }
}

/// Interval of checks before the first event.
const CHECK_PAUSE: Duration = Duration::from_secs(10);
