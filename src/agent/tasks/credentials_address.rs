//! The task for the address of container credentials: set up before the agent is ready, watched on its own thread, and
//! left in place at exit unless `--redirect-on-exit=remove` is given.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use log::{info, warn};

use super::redirect::WATCH_RESTART;
use crate::agent::StartError;
use crate::agent::state::AgentState;
use crate::api::metadata::Facts;
use crate::config::{Config, OnExit, RedirectConfig};
use crate::logic::operator::status::RedirectReport;
use crate::logic::redirect::address::ADDRESS;
use crate::logic::redirect::guard::GUARD_TABLE;
use crate::logic::redirect::{RedirectSpec, RequestAction};
use crate::os::clock::SystemClock;
use crate::os::port_holder::ask_health;
use crate::redirect::address::{self, AddressEnsured, AddressEvent, CredentialsAddress};
use crate::redirect::{RedirectError, Removed, WatchContext};
use crate::telemetry::InPlace;

/// The address after its first setup.
pub(in crate::agent) struct PlacedAddress {
    address: CredentialsAddress,
    on_exit: OnExit,
    past: AddressPast,
}

/// Whether this agent has seen the address in place: if it is missing later, another program removed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AddressPast {
    NeverInPlace,
    InPlace,
}

/// Sets up the address, if configured. Without NET_ADMIN it is not this agent's to keep and the agent gets ready:
/// hostNetwork pods can use loopback. After any other failure the address counts as missing, and the agent isn't ready.
pub(in crate::agent) fn place(agent: &AgentState) -> Option<PlacedAddress> {
    let RedirectConfig { spec, on_exit } = agent.config.credentials_address.clone()?;
    let spec = RedirectSpec { requests: requests(agent), ..spec };
    let (address, ensured) = match CredentialsAddress::open(spec) {
        Ok(mut address) => {
            let ensured = address.ensure();
            (Some(address), ensured)
        }
        Err(error) => (None, Err(error)),
    };
    if let Err(error @ RedirectError::NoNetAdmin) = &ensured {
        go_without(agent, error);
        return None;
    }
    set(agent, InPlace::No);
    let past = match ensured {
        Ok(ensured) => log(agent, AddressPast::NeverInPlace, &AddressEvent::Ensured(ensured)),
        Err(error) => {
            warn!("{error}");
            if matches!(error, RedirectError::NoNftables { .. }) {
                return None;
            }
            AddressPast::NeverInPlace
        }
    };
    address.map(|address| PlacedAddress { address, on_exit, past })
}

/// What happens to requests at the address and at loopback: dropped while another process holds the port, since that
/// process can't be verified to be kube2iam and would receive pods' tokens.
fn requests(agent: &AgentState) -> RequestAction {
    if agent.facts.taken_port.read().is_some() { RequestAction::Drop } else { RequestAction::Redirect }
}

/// Logs that the address isn't set up, and records why.
fn go_without(agent: &AgentState, error: &RedirectError) {
    agent.facts.address_missing.store(false, Ordering::Relaxed);
    let report = unkept_report(&error.to_string());
    warn!("{}", report.detail);
    *agent.facts.address_unkept.write() = Some(error.to_string());
}

/// The report on an address that this agent can't keep. `redirect add` may have set it up.
fn unkept_report(why: &str) -> RedirectReport {
    let whole = address::found_address().is_ok_and(|found| found.holders.iter().any(|holder| found.is_own(holder)));
    let state = match whole {
        true => "it is there, but this agent can't keep it",
        false => "pods on the host's network are served at loopback, other pods are not",
    };
    let detail = format!("{ADDRESS} is not set up by this agent: {why}; {state}");
    RedirectReport { whole, detail, ..RedirectReport::default() }
}

/// For an agent that can't start: pods' tokens must not leave the node on the way to the address.
pub(in crate::agent) fn ensure_blocked(config: &Config) {
    let Some(RedirectConfig { spec, .. }) = config.credentials_address.clone() else { return };
    let spec = RedirectSpec { requests: RequestAction::Drop, ..spec };
    let clock = SystemClock::new();
    match CredentialsAddress::ensure_blocked(spec, &|address| ask_health(address, &clock)) {
        Ok(Some(ensured)) => warn!("the agent can't start: {ensured}"),
        Ok(None) => {}
        Err(error) => warn!("the agent can't start, and {ADDRESS} is not set up: {error}"),
    }
}

impl PlacedAddress {
    /// Keeps the address in place until shutdown, on its own thread.
    pub(in crate::agent) fn keep(self, agent: &Arc<AgentState>) -> Result<JoinHandle<()>, StartError> {
        crate::agent::task_thread::start(agent, "address", move |agent| self.watch(agent))
    }

    fn watch(mut self, agent: &AgentState) {
        let is_active = || !agent.latch.is_closed();
        while is_active() {
            let mut past = self.past;
            let mut report = |event: AddressEvent| past = log(agent, past, &event);
            let ask = |address| ask_health(address, &*agent.clock);
            let context =
                WatchContext { clock: &*agent.clock, is_active: &is_active, requests: &|| requests(agent), ask: &ask };
            let ended = self.address.watch(&context, &mut report);
            self.past = past;
            if let Err(error) = ended {
                warn!("the watch of {ADDRESS} ended: {error}");
                agent.latch.wait(agent.clock.now().mono.after(WATCH_RESTART));
            }
        }
        if self.on_exit == OnExit::Remove {
            remove(&mut self.address);
        }
    }
}

/// The report of a running agent.
pub(in crate::agent) fn agents_report(facts: &Facts) -> RedirectReport {
    facts.address_unkept.read().as_deref().map_or_else(report, unkept_report)
}

/// The report from the kernel's current state.
pub(crate) fn report() -> RedirectReport {
    match address::status() {
        Ok(status) if status.is_absent() => {
            RedirectReport { kept: true, detail: format!("{ADDRESS} is not set up"), ..RedirectReport::default() }
        }
        Ok(status) => RedirectReport {
            whole: status.in_place().is_ok(),
            kept: true,
            connections: Some(status.connections()),
            detail: status.text(),
        },
        Err(error) => RedirectReport { kept: true, detail: error.to_string(), ..RedirectReport::default() },
    }
}

/// Logs and counts an event, and returns the new state.
fn log(agent: &AgentState, past: AddressPast, event: &AddressEvent) -> AddressPast {
    let in_place = matches!(event, AddressEvent::Ensured(ensured) if ensured.is_in_place());
    set(agent, if in_place { InPlace::Yes } else { InPlace::No });
    let first = past == AddressPast::NeverInPlace;
    if event.is_repair() && !first {
        agent.telemetry.metrics.redirect.address_repairs.inc();
    }
    if event.is_warning() && !(first && in_place) {
        warn!("{event}");
    } else {
        info!("{event}");
    }
    if let AddressEvent::Ensured(AddressEnsured { cut, .. }) = event {
        match cut {
            Ok(0) => {}
            Ok(cut) => info!("cut {cut} connections to container credentials that other rules had taken elsewhere"),
            Err(cause) => warn!("failed to cut `connections that other rules had taken elsewhere`: {cause}"),
        }
    }
    if in_place { AddressPast::InPlace } else { past }
}

fn set(agent: &AgentState, state: InPlace) {
    agent.facts.address_missing.store(state == InPlace::No, Ordering::Relaxed);
    agent.telemetry.metrics.redirect.set_address(state);
}

fn remove(address: &mut CredentialsAddress) {
    match address.remove() {
        Ok(Removed::Deleted) => {
            info!("{ADDRESS} and table inet {GUARD_TABLE} are removed, as --redirect-on-exit=remove asks");
        }
        Ok(Removed::NothingThere) => {}
        Ok(Removed::LeftToNewer) => info!("{ADDRESS} is left to a newer agent"),
        Err(error) => warn!("{error}"),
    }
}
