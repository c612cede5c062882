//! Replaces an agent by the next one on the same node without a gap: the successor shares the listeners of its
//! predecessor, answers as soon as it has listed the pods, and offers the listeners in turn.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use log::{info, warn};

use super::StartError;
use super::listeners::{AgentListeners, ListenerSource, NoListeners, PortSharing};
use super::taken_port;
use crate::agent::state::AgentState;
use crate::config::{Config, Listen, ListenConfig};
use crate::os::handover::{HandoverReply, Offer, Predecessor, has_offer, request};
use crate::os::issuer_file::IssuerFile;
use crate::os::key_file::KeyFile;
use crate::os::state_dir::StateDir;
use crate::ports::Clock;

/// How this agent gets its listeners, and how it passes them on.
pub(super) struct Succession {
    dir: Option<StateDir>,
    sharing: PortSharing,
    clock: Arc<dyn Clock>,
    /// The logged failures of the last handover
    failures: Vec<String>,
}

/// The result of acquiring the listeners.
pub(super) enum Acquired {
    Open(AgentListeners, Option<Predecessor>),
    /// Another process holds this port and doesn't hand over its listener.
    Taken(Listen),
}

impl Succession {
    /// Opens the state directory, if configured.
    pub(super) fn new(config: &Config, clock: Arc<dyn Clock>) -> Self {
        let dir = config.operation.state_dir.as_deref().and_then(state_dir);
        if dir.is_none() {
            warn!(
                "without a --state-dir that can be used, the port stays open (SO_REUSEPORT) to every process of this \
                 user on this network, which may take pods' requests for itself; and an update may cost connections \
                 and session tokens"
            );
        }
        let sharing = if dir.is_some() { PortSharing::None } else { PortSharing::SameUser };
        Self { dir, sharing, clock, failures: Vec::new() }
    }

    pub(super) fn dir(&self) -> Option<&StateDir> {
        self.dir.as_ref()
    }

    /// Gets the listeners from the previous agent, or binds them.
    pub(super) fn enter(&mut self, config: &ListenConfig) -> Result<Acquired, StartError> {
        let asked = self.dir.as_ref().map(|dir| request(dir, &*self.clock));
        let HandoverReply { handed, failures } = asked.unwrap_or(HandoverReply { handed: None, failures: Vec::new() });
        failures.iter().filter(|failure| !self.failures.contains(failure)).for_each(|failure| warn!("{failure}"));
        self.failures = failures;
        let (listeners, predecessor) = handed.map_or((Vec::new(), None), |(listeners, line)| (listeners, Some(line)));
        match AgentListeners::bind(config, listeners, self.sharing) {
            Ok(listeners) => Ok(Acquired::Open(listeners, predecessor)),
            Err(NoListeners::Taken(listen)) => Ok(Acquired::Taken(listen)),
            Err(NoListeners::Failed(error)) => Err(error),
        }
    }

    /// Offers the listeners to the next agent. While that one waits, neither counts as ready.
    pub(super) fn offer(&self, agent: &AgentState, listeners: &AgentListeners) -> Option<Offer> {
        let dir = self.dir()?;
        let facts = agent.facts.clone();
        let waiting = move |successors| facts.successor_waits.store(successors > 0, Ordering::Relaxed);
        let offer = listeners.share().and_then(|listeners| Offer::make(dir, listeners, agent.random.number(), waiting));
        let failed = |cause: &std::io::Error| warn!("failed to offer the listener to a later agent: {cause}");
        offer.inspect_err(failed).ok()
    }

    /// Removes the state directory and its files when the agent is uninstalled, unless another agent is running. A
    /// directory that is mounted into a container stays, empty.
    pub(super) fn clear(&self) {
        if let Some(dir) = self.dir().filter(|dir| !has_offer(dir)) {
            KeyFile::remove(dir);
            IssuerFile::remove_all(dir);
            let _ = std::fs::remove_dir(dir.path()); // it may be a mount, or contain other files
        }
    }
}

/// The state directory, if it can be used.
fn state_dir(path: &Path) -> Option<StateDir> {
    let failed = |cause: &std::io::Error| warn!("failed to use state directory `{}`: {cause}", path.display());
    StateDir::open(path).inspect_err(failed).ok()
}

/// Waits until this agent can answer as well as the previous one, since both accept from the same queue and every
/// request must reach an agent that has listed the pods. Returns at once without a previous agent, or when it ends; if
/// another process holds the port, when that ends. `None` if this agent was stopped first; then the other one keeps the
/// listeners.
pub(super) fn await_turn(
    agent: &AgentState,
    succession: &mut Succession,
    entry: Acquired,
) -> Result<Option<AgentListeners>, StartError> {
    let (listeners, predecessor) = match entry {
        Acquired::Open(listeners, predecessor) => (listeners, predecessor),
        Acquired::Taken(listen) => match taken_port::wait(agent, succession, listen)? {
            Some(entered) => entered,
            None => return Ok(None),
        },
    };
    let port = agent.config.listen.app.port;
    match (listeners.source(), predecessor) {
        (ListenerSource::HandedOver, Some(predecessor)) => {
            info!("port" = port; "the agent before shares its listener, and answers until the pods are known here");
            let is_ready = || agent.world.read(|world, _| world.is_ready());
            while !is_ready() && predecessor.is_running(READINESS_POLL) {
                if agent.latch.is_closed() {
                    return Ok(None);
                }
            }
        }
        (_, Some(_)) => info!("port" = port; "the agent before listens elsewhere; its listener is left to it"),
        (_, None) => {}
    }
    Ok(Some(listeners))
}

/// Interval of checks for readiness.
const READINESS_POLL: Duration = Duration::from_millis(10);
