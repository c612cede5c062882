//! A port that can't be bound at start: another process holds it, or the node lacks the address. That process may be a
//! kube2iam that hasn't ended yet, a previous agent that doesn't hand over its listener, or another program.
//!
//! The agent doesn't exit. It places the redirect as at any start, and waits. While the process answers like kube2iam,
//! pods' requests are redirected to it; otherwise they are dropped, so that neither the node's credentials nor another
//! program's responses reach a pod. Requests for container credentials are dropped in either case, since any program
//! can imitate that answer and would receive pods' tokens.

use std::time::Duration;

use log::{info, warn};

use super::StartError;
use super::listeners::AgentListeners;
use super::succession::{Acquired, Succession};
use crate::agent::state::AgentState;
use crate::config::Listen;
use crate::logic::base::time::Mono;
use crate::logic::operator::port_holder::{HolderJudgement, PortAnswer, PortHolder, Requests, TakenPort};
use crate::logic::redirect::resolve::resolve;
use crate::os::handover::Predecessor;
use crate::os::port_holder::{ask_health, holders};
use crate::ports::Waited;
use crate::redirect;
use crate::server::{has_address, is_free};

/// Checks the process that holds the port, before the redirect is placed.
pub(super) fn check_holder(agent: &AgentState, listen: Listen) {
    let judgement = HolderJudgement::UNKNOWN.after(&answers(agent));
    publish(agent, listen, judgement, holders(listen.port));
}

/// Waits for the listeners: from the previous agent, or by binding the freed port. `None` if the agent was stopped
/// first.
pub(super) fn wait(
    agent: &AgentState,
    succession: &mut Succession,
    mut listen: Listen,
) -> Result<Option<(AgentListeners, Option<Predecessor>)>, StartError> {
    let now = || agent.clock.now().mono;
    let mut judgement =
        agent.facts.taken_port.read().as_ref().map_or(HolderJudgement::UNKNOWN, |taken| taken.judgement);
    let (mut examination_due, mut naming_due, mut report): (Mono, Mono, TakenPortLog) =
        (now(), now(), TakenPortLog::default());
    let mut named = Vec::new();
    loop {
        if now() >= naming_due {
            named = holders(listen.port);
            naming_due = now().after(NAME_EVERY);
        }
        if now() >= examination_due || is_free(listen.address, listen.port) {
            match succession.enter(&agent.config.listen)? {
                Acquired::Open(listeners, predecessor) => {
                    *agent.facts.taken_port.write() = None;
                    info!("port" = listen.port; "the port is this agent's now");
                    return Ok(Some((listeners, predecessor)));
                }
                Acquired::Taken(other) => listen = other,
            }
            judgement = judgement.after(&answers(agent));
            report.log(&publish(agent, listen, judgement, named.clone()), now());
            examination_due = now().after(EXAMINE_EVERY);
        }
        if agent.latch.wait(now().after(RETRY_EVERY)) == Waited::ShutDown {
            return Ok(None);
        }
    }
}

/// The last logged text, and until when it isn't repeated.
#[derive(Default)]
struct TakenPortLog {
    logged: String,
    silent_until: Mono,
}

impl TakenPortLog {
    fn log(&mut self, taken: &TakenPort, now: Mono) {
        let text = taken.to_string();
        if text != self.logged || now >= self.silent_until {
            warn!("port" = taken.port; "{text}");
            (self.logged, self.silent_until) = (text, now.after(REPEAT_EVERY));
        }
    }
}

fn publish(agent: &AgentState, listen: Listen, judgement: HolderJudgement, holders: Vec<PortHolder>) -> TakenPort {
    let requests = match (agent.config.redirect.is_some(), agent.config.credentials_address.is_some()) {
        (true, _) if judgement.is_kube2iam() => Requests::ToKube2iam,
        (true, _) | (false, true) => Requests::Dropped,
        (false, false) => Requests::NotOurs,
    };
    let missing_address = listen.address.filter(|address| !has_address(*address));
    let taken = TakenPort { port: listen.port, missing_address, holders, judgement, requests };
    *agent.facts.taken_port.write() = Some(taken.clone());
    taken
}

/// Health answers at the addresses to which pods' requests are, or would be, redirected.
fn answers(agent: &AgentState) -> Vec<PortAnswer> {
    let Some(config) = agent.config.redirect.as_ref() else { return Vec::new() };
    let resolved = redirect::host_network().ok().and_then(|host| resolve(&config.spec, &host).ok());
    let Some(wanted) = resolved.map(|resolved| resolved.wanted) else { return Vec::new() };
    wanted.agents().into_iter().map(|address| ask_health(address, &*agent.clock)).collect()
}

/// Interval of checks whether the port is free.
const RETRY_EVERY: Duration = Duration::from_millis(50);
/// Interval of requests to the previous agent, and of health checks of the process.
const EXAMINE_EVERY: Duration = Duration::from_secs(1);
/// Interval of looking up the process, which reads all descriptors of the node.
const NAME_EVERY: Duration = Duration::from_secs(10);
/// Interval of repeating a warning.
const REPEAT_EVERY: Duration = Duration::from_secs(60);
