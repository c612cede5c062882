//! From one agent to the next on the same node, without a gap: the successor shares the listeners of its predecessor,
//! answers as soon as it knows the pods, and offers the listeners in turn.

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

/// How this agent comes to its listeners, and how it passes them on.
pub(super) struct Succession {
    dir: Option<StateDir>,
    sharing: PortSharing,
    clock: Arc<dyn Clock>,
    /// What was logged of the last handover that failed
    failures: Vec<String>,
}

/// What trying to get the listeners came to.
pub(super) enum Acquired {
    Open(AgentListeners, Option<Predecessor>),
    /// Another process holds this port and doesn't hand it over.
    Taken(Listen),
}

impl Succession {
    /// As the configuration wants it.
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

    /// Takes the listeners from the agent before, or opens them.
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

    /// Offers the listeners to the agent after this one. While that one waits for its turn, neither counts as ready.
    pub(super) fn offer(&self, agent: &AgentState, listeners: &AgentListeners) -> Option<Offer> {
        let dir = self.dir()?;
        let facts = agent.facts.clone();
        let waiting = move |successors| facts.successor_waits.store(successors > 0, Ordering::Relaxed);
        let offer = listeners.share().and_then(|listeners| Offer::make(dir, listeners, agent.random.number(), waiting));
        let failed = |cause: &std::io::Error| warn!("failed to offer the listener to a later agent: {cause}");
        offer.inspect_err(failed).ok()
    }

    /// Leaves nothing behind, unless another agent is here: for the end of an agent that is uninstalled. Where the
    /// directory is mounted into a container it stays, empty.
    pub(super) fn clear(&self) {
        if let Some(dir) = self.dir().filter(|dir| !has_offer(dir)) {
            KeyFile::remove(dir);
            IssuerFile::remove_all(dir);
            let _ = std::fs::remove_dir(dir.path()); // it may be a mount, or hold what isn't ours
        }
    }
}

/// The state directory, if it can be used.
fn state_dir(path: &Path) -> Option<StateDir> {
    let failed = |cause: &std::io::Error| warn!("failed to use state directory `{}`: {cause}", path.display());
    StateDir::open(path).inspect_err(failed).ok()
}

/// The listeners, once requests can be answered here as well as by the agent before: a request that comes by a queue
/// that both hold is answered by one that knows the pods. Without an agent before, or once it has gone, that is at once;
/// where another process holds the port, when that ends. `None`: the agent was asked to end before, and leaves everything
/// to the one that has the listeners.
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
            while !is_ready() && predecessor.is_running(TURN_POLL) {
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

/// How soon readiness is noticed.
const TURN_POLL: Duration = Duration::from_millis(10);
