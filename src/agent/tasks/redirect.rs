//! The task for the redirect: placed before the agent is ready, watched on its own thread, and left in place at exit
//! unless configured otherwise.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use log::{info, warn};

use crate::agent::StartError;
use crate::agent::node_addresses::NodeAddresses;
use crate::agent::state::AgentState;
use crate::config::{Config, OnExit, RedirectConfig};
use crate::logic::operator::port_holder::Requests;
use crate::logic::operator::status::RedirectReport;
use crate::logic::redirect::resolve::RedirectNote;
use crate::logic::redirect::status::TableState;
use crate::logic::redirect::{RequestAction, Wanted};
use crate::os::port_holder::ask_health;
use crate::redirect::{self, Ensured, Redirect, RedirectError, RedirectEvent, RedirectOutcome, Removed, WatchContext};
use crate::telemetry::InPlace;

/// The redirect after its first placement.
pub(in crate::agent) struct Placed {
    redirect: Redirect,
    on_exit: OnExit,
    past: LoggedState,
}

/// Whether this agent has seen its table in place: if it is missing later, another program removed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LoggedState {
    NeverInPlace,
    InPlace,
}

/// Places the redirect, if configured. Permanent failures end the start; temporary ones, such as a node without a
/// default route, are retried by the watch.
pub(in crate::agent) fn place(agent: &AgentState) -> Result<Option<Placed>, StartError> {
    let Some(RedirectConfig { spec, on_exit }) = agent.config.redirect.clone() else { return Ok(None) };
    let mut redirect = Redirect::open(spec)?;
    redirect.set_requests(requests(agent));
    set_in_place(agent, InPlace::No);
    let past = match redirect.ensure() {
        Ok(ensured) => {
            log_start(agent, &ensured);
            LoggedState::InPlace
        }
        Err(error @ (RedirectError::NoNetAdmin | RedirectError::NoNftables { .. })) => return Err(error.into()),
        Err(error) => {
            warn!("{error}");
            LoggedState::NeverInPlace
        }
    };
    Ok(Some(Placed { redirect, on_exit, past }))
}

/// For an agent with a redirect that can't start: pods must not reach the node's credentials meanwhile.
pub(in crate::agent) fn ensure_blocked(config: &Config) {
    let Some(RedirectConfig { spec, .. }) = config.redirect.clone() else { return };
    match Redirect::ensure_blocked(spec) {
        Ok(Some(ensured)) => warn!("the agent can't start: {ensured}; {}", description(&ensured.wanted)),
        Ok(None) => {}
        Err(error) => warn!("the agent can't start, and pods' requests are not dropped: {error}"),
    }
}

impl Placed {
    /// Keeps the redirect in place until shutdown, on its own thread.
    pub(in crate::agent) fn keep(
        self,
        agent: &Arc<AgentState>,
        node: Arc<NodeAddresses>,
    ) -> Result<JoinHandle<()>, StartError> {
        crate::agent::task_thread::start(agent, "redirect", move |agent| self.watch(agent, &node))
    }

    fn watch(mut self, agent: &AgentState, node: &NodeAddresses) {
        let is_active = || !agent.latch.is_closed();
        while is_active() {
            let mut past = self.past;
            let mut report = |event: RedirectEvent| {
                past = log(agent, past, &event);
                node.refresh();
            };
            let ask = |address| ask_health(address, &*agent.clock);
            let context =
                WatchContext { clock: &*agent.clock, is_active: &is_active, requests: &|| requests(agent), ask: &ask };
            let ended = self.redirect.watch(&context, &mut report);
            self.past = past;
            if let Err(error) = ended {
                warn!("the watch of the redirect ended: {error}");
                agent.latch.wait(agent.clock.now().mono.after(WATCH_RESTART));
            }
        }
        if self.on_exit == OnExit::Remove {
            remove(&mut self.redirect);
        }
    }
}

/// What happens to pods' requests: dropped while a process that doesn't answer like kube2iam holds the port.
fn requests(agent: &AgentState) -> RequestAction {
    match agent.facts.taken_port.read().as_ref().map(|taken| taken.requests) {
        Some(Requests::Dropped) => RequestAction::Drop,
        Some(Requests::ToKube2iam | Requests::NotOurs) | None => RequestAction::Redirect,
    }
}

/// The report from the kernel's current state.
pub(crate) fn report() -> RedirectReport {
    match redirect::status() {
        Ok(status) => RedirectReport {
            whole: matches!(status.wholeness(), TableState::Whole(_)),
            kept: true,
            connections: Some(status.connections()),
            detail: status.redirect_text(),
        },
        Err(error) => RedirectReport { kept: true, detail: error.to_string(), ..RedirectReport::default() },
    }
}

fn log_start(agent: &AgentState, ensured: &Ensured) {
    set_in_place(agent, in_place_of(&ensured.outcome));
    info!("{ensured}; {}", description(&ensured.wanted));
    log_notes(agent, ensured);
    log_cut(ensured);
    match redirect::old_rules_left(ensured.wanted.metadata.v4()) {
        Ok((rules, unread)) => {
            for rule in rules {
                let deletion = rule.deletion();
                warn!("{rule}: without effect beside ours; `kube2iam redirect add --adopt` deletes it, or: {deletion}");
            }
            unread.iter().for_each(|cause| warn!("{cause}"));
            if let Some(hint) = redirect::legacy_hint(ensured.wanted.metadata.v4()) {
                info!("{hint}");
            }
        }
        Err(error) => warn!("failed to look for old rules of kube2iam: {error}"),
    }
}

/// Logs and counts what the watch found, and returns the state as logged.
fn log(agent: &AgentState, past: LoggedState, event: &RedirectEvent) -> LoggedState {
    let ensured = match event {
        RedirectEvent::Failed(error) => {
            set_in_place(agent, InPlace::No);
            warn!("{error}");
            return past;
        }
        RedirectEvent::Ensured(ensured) if past == LoggedState::NeverInPlace => {
            log_start(agent, ensured);
            return LoggedState::InPlace;
        }
        RedirectEvent::Ensured(ensured) => ensured,
    };
    set_in_place(agent, in_place_of(&ensured.outcome));
    if event.is_warning() {
        warn!("{ensured}")
    } else {
        info!("{ensured}")
    }
    if event.is_repair() {
        agent.telemetry.metrics.redirect.repairs.inc();
    }
    if matches!(ensured.outcome, RedirectOutcome::Updated | RedirectOutcome::TakenBack) {
        info!("{}", description(&ensured.wanted));
        log_notes(agent, ensured);
    }
    log_cut(ensured);
    past
}

fn log_notes(agent: &AgentState, ensured: &Ensured) {
    for note in &ensured.notes {
        if matches!(note, RedirectNote::NewUplink(_)) {
            agent.telemetry.metrics.redirect.new_uplinks.inc();
        }
        if note.is_warning() { warn!("{note}") } else { info!("{note}") }
    }
}

fn log_cut(ensured: &Ensured) {
    match &ensured.cut {
        Ok(0) => {}
        Ok(cut) => info!("cut {cut} older connections to the metadata service"),
        Err(cause) => warn!("failed to cut older connections, whose packets are dropped anyway: {cause}"),
    }
}

fn description(wanted: &Wanted) -> String {
    let ways: Vec<String> =
        wanted.redirected().into_iter().map(|(metadata, agent)| format!("{metadata} to {agent}")).collect();
    if ways.is_empty() {
        return format!("pods' requests are dropped, interfaces: {}", wanted.scope);
    }
    format!("pods' requests go from {}, interfaces: {}", ways.join(", from "), wanted.scope)
}

fn in_place_of(outcome: &RedirectOutcome) -> InPlace {
    if *outcome == RedirectOutcome::Yielded { InPlace::No } else { InPlace::Yes }
}

fn set_in_place(agent: &AgentState, state: InPlace) {
    agent.facts.redirect_missing.store(state == InPlace::No, Ordering::Relaxed);
    agent.telemetry.metrics.redirect.set(state);
}

fn remove(redirect: &mut Redirect) {
    match redirect.remove() {
        Ok(removed @ Removed::Deleted) => warn!("{removed}, as --redirect-on-exit=remove asks"),
        Ok(removed) => info!("{removed}"),
        Err(error) => warn!("{error}"),
    }
}

/// Pause before the watch restarts after the kernel's notifications ended.
pub(super) const WATCH_RESTART: Duration = Duration::from_secs(5);
