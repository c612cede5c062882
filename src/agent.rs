//! Builds the clients ([`wiring`]), holds the shared state ([`state`]), starts every thread by name and ends them
//! (`run`).

mod connection_events;
mod control_listener;
mod listeners;
mod node_addresses;
mod refusals;
mod run;
pub(crate) mod state;
mod succession;
mod taken_port;
mod task_thread;
pub mod tasks;
pub(crate) mod wiring;

use crate::redirect::RedirectError;

pub(crate) use listeners::{PortTrial, try_port};
pub use run::{run, work};
pub use state::{AgentState, Ports};
pub(crate) use tasks::{credentials_address, redirect};

/// Why the agent didn't start: one line for the operator.
#[derive(Debug)]
pub struct StartError {
    text: String,
    exit_code: u8,
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl StartError {
    pub(crate) fn new(what: &str, cause: &dyn std::fmt::Display) -> Self {
        Self { text: format!("failed to {what}: {cause}"), exit_code: 1 }
    }

    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

impl From<RedirectError> for StartError {
    fn from(error: RedirectError) -> Self {
        Self { text: error.to_string(), exit_code: error.exit_code() }
    }
}
