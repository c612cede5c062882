//! The connections to the API server, which can all be closed at once and reopened.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use ureq::Agent;

use crate::clients::http::{AgentOptions, Misconfigured, agent};
use crate::logic::cluster::kubernetes::KubernetesFailure;

/// A ureq agent, replaceable by one without connections.
pub(super) struct Connections {
    options: AgentOptions,
    agent: RwLock<Agent>,
    is_shut: AtomicBool,
}

impl Connections {
    pub(super) fn new(options: AgentOptions) -> Result<Self, Misconfigured> {
        let agent = RwLock::new(agent(&options)?);
        Ok(Self { options, agent, is_shut: AtomicBool::new(false) })
    }

    pub(super) fn agent(&self) -> Agent {
        self.agent.read().clone()
    }

    /// If `ask` succeeds over a new connection, closes all others, which ends the calls that wait on them.
    pub(super) fn renew(
        &self,
        ask: impl FnOnce(&Agent) -> Result<(), KubernetesFailure>,
    ) -> Result<(), KubernetesFailure> {
        let fresh = agent(&self.options).map_err(|cause| super::unavailable(cause.to_string()))?;
        ask(&fresh)?;
        let old = std::mem::replace(&mut *self.agent.write(), fresh);
        old.shutdown();
        if self.is_shut.load(Ordering::SeqCst) {
            self.agent().shutdown();
        }
        Ok(())
    }

    /// Ends every call in progress, and fails new ones.
    pub(super) fn shut_down(&self) {
        self.is_shut.store(true, Ordering::SeqCst);
        self.agent().shutdown();
    }
}
