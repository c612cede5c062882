//! The composition root: builds everything, starts every thread by name, and owns the shutdown.
//!
//! All configuration errors are detected before anything starts. A port held by another process isn't one: the redirect
//! is placed first, then the agent waits for the port.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use log::{info, warn};

use crate::config::{BUILD, Config, MetricsListener, OnExit};
use crate::logic::cluster::kubernetes::Resource;
use crate::logic::sts::environment::AwsEnvironment;
use crate::os::clock::SystemClock;
use crate::os::handover::Offer;
use crate::os::latch::Latch;
use crate::os::process::Right;
use crate::os::{log_writer, memory, process, signals};
use crate::server::Server;

use super::control_listener::ControlListener;
use super::node_addresses::NodeAddresses;
use super::state::{AgentState, Ports};
use super::succession::{self, Acquired, Succession};
use super::task_thread::{failure, join_by, start};
use super::tasks::{
    credentials_address, discover, evaluate, events, health, housekeeping, lint, redirect, silence, sts, taint,
    token_keys, watches,
};
use super::{StartError, taken_port};

/// Runs the agent until a signal ends it.
pub fn run(mut config: Config, environment: &AwsEnvironment) -> Result<(), StartError> {
    memory::limit_arenas();
    let warnings = process::harden(&rights(&config));
    let time = Arc::new(SystemClock::new());
    let log = log_writer::start(config.log.level, config.log.format, time.clone(), Box::new(io::stderr()));
    let (queue, _log_thread) = log.map_err(|cause| StartError::new("start the log", &cause))?;
    let latch = Arc::new(Latch::new(time.clone()));
    // Before anything that blocks: pid 1 of a container ignores signals without a handler.
    signals::close_on_signals(latch.clone()).map_err(|cause| StartError::new("wait for signals", &cause))?;
    let mut succession = Succession::new(&config, time.clone());
    let node = Arc::new(NodeAddresses::find(config.host));
    config.host = node.host();
    let level = queue.level().clone();
    let open = || {
        let entry = succession.enter(&config.listen)?;
        let ports = Ports::open(&config, environment, time, succession.dir())?;
        Ok((entry, AgentState::new(&config, ports, latch.clone(), Box::new(move |line| queue.offer(line)))?))
    };
    let (entry, agent) = open().inspect_err(|_: &StartError| {
        redirect::ensure_blocked(&config);
        credentials_address::ensure_blocked(&config);
    })?;
    let _ = agent.node.set(node.clone()); // set only here
    info!("version" = BUILD.version, "commit" = BUILD.commit, "port" = config.listen.app.port; "kube2iam starts");
    config.warnings.iter().chain(&warnings).for_each(|warning| warn!("{warning}"));
    if let Acquired::Taken(listen) = entry {
        taken_port::check_holder(&agent, listen);
    }
    let redirect = redirect::place(&agent)?;
    let address = credentials_address::place(&agent);
    let threads = start_threads(&agent)?;
    let redirect = redirect.map(|redirect| redirect.keep(&agent, node.clone())).transpose()?;
    let address = address.map(|address| address.keep(&agent)).transpose()?;
    let operators = ControlListener::open(&agent, &level)?;
    let mut servers = Vec::new();
    if let Some(listeners) = succession::await_turn(&agent, &mut succession, entry)? {
        let offer = succession.offer(&agent, &listeners);
        let open = listeners.open(&agent, &node)?;
        info!("port" = config.listen.app.port; "listening");
        servers = open.serve(&agent, &node);
        drop(operators);
        offer.into_iter().for_each(Offer::withdraw);
    }
    end(&agent, servers, threads, redirect.into_iter().chain(address).collect());
    if config.redirect.is_some_and(|redirect| redirect.on_exit == OnExit::Remove) {
        succession.clear();
    }
    failure(&agent)
}

/// The privileges that the agent still needs: for the redirect, for the address of container credentials, and for
/// binding a privileged port.
fn rights(config: &Config) -> Vec<Right> {
    let metrics = match config.listen.metrics {
        MetricsListener::OnAppPort => None,
        MetricsListener::Own(listen) => Some(listen.port),
    };
    let low_port =
        [Some(config.listen.app.port), metrics].into_iter().flatten().any(|port| port < FIRST_UNPRIVILEGED_PORT);
    let network = config.redirect.is_some() || config.credentials_address.is_some();
    let wanted = [(network, Right::Network), (low_port, Right::LowPort)];
    wanted.into_iter().filter_map(|(wanted, right)| wanted.then_some(right)).collect()
}

/// Starts the background threads.
fn start_threads(agent: &Arc<AgentState>) -> Result<Vec<JoinHandle<()>>, StartError> {
    work().into_iter().map(|(name, work)| start(agent, name, work)).collect()
}

/// The function that a thread runs until shutdown.
pub type Work = fn(&AgentState);

/// The background threads, with their names.
pub fn work() -> Vec<(&'static str, Work)> {
    let mut work: Vec<(&'static str, Work)> = vec![
        ("watch-pods", |agent| watches::watch(agent, Resource::Pods)),
        ("watch-spaces", |agent| watches::watch(agent, Resource::Namespaces)),
        ("watch-accounts", watches::watch_accounts),
        ("silence", silence::watch_for_silence),
        ("evaluate", evaluate::evaluate_lists),
        ("discover", discover::run),
        ("health", health::watch),
        ("housekeeping", housekeeping::run),
        ("taint", taint::remove),
        ("token-keys", token_keys::read_keys),
        ("events", events::write_events),
        ("lint", lint::lint_policies),
    ];
    work.extend(
        (0..crate::logic::sessions::cache::MOST_CALLS).map(|_| -> (&'static str, Work) { ("sts", sts::call_sts) }),
    );
    work
}

/// Drains responses in progress, ends waiting threads, and returns within the documented time limit.
fn end(agent: &AgentState, mut servers: Vec<Server>, threads: Vec<JoinHandle<()>>, network: Vec<JoinHandle<()>>) {
    agent.facts.shutting_down.store(true, Ordering::Relaxed);
    servers.iter_mut().for_each(Server::stop_accepting);
    let until = agent.clock.now().mono.after(DRAIN);
    for server in &servers {
        let drained = server.drain(agent.clock.now().mono.until(until));
        if drained.unfinished > 0 {
            warn!("connections" = drained.unfinished; "cut connections that did not drain in time");
        }
    }
    // Only now, since responses in progress may have been waiting for a pod or for credentials.
    agent.drained.close();
    agent.world.close();
    agent.issuer_keys.iter().for_each(|keys| keys.close());
    agent.kubernetes.shut_down();
    agent.sessions.close();
    // These threads may have to remove the redirect and the address.
    network.iter().for_each(|thread| join_by(agent, thread, until));
    servers.into_iter().for_each(Server::cut_off);
    let deadline = agent.clock.now().mono.after(JOIN_TIMEOUT);
    threads.iter().for_each(|thread| join_by(agent, thread, deadline));
    info!("stopped");
}

/// Binding a lower port needs a capability.
const FIRST_UNPRIVILEGED_PORT: u16 = 1_024;
/// Time for responses in progress after SIGTERM.
const DRAIN: Duration = Duration::from_secs(4);
/// Time for the agent's own threads after that.
const JOIN_TIMEOUT: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests;
