//! The composition root: builds every room, starts every thread by name, owns the shutdown.
//!
//! Nothing is started before everything that can be wrong with the configuration has been looked at,
//! the ports included.

mod build;
mod discover;
mod front;
mod succession;
mod taint;
mod tend;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use log::{info, warn};

use crate::config::{BUILD, Config};
use crate::edge::clock::SystemClock;
use crate::edge::http::Server;
use crate::edge::latch::Latch;
use crate::edge::{logs, process, signal, threads};
use crate::logic::aws_environment::AwsEnvironment;
use crate::logic::kubernetes::Resource;

pub use build::{Ports, Rooms};
use front::Doors;
use succession::Turn;

/// Why the agent didn't start: one line for the operator.
#[derive(Debug)]
pub struct StartError(String);

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl StartError {
    fn new(what: &str, cause: &dyn std::fmt::Display) -> Self {
        Self(format!("failed to {what}: {cause}"))
    }
}

/// Runs the agent until it is asked to end.
pub fn run(config: Config, environment: &AwsEnvironment) -> Result<(), StartError> {
    process::bound_memory();
    let time = Arc::new(SystemClock::new());
    let log = logs::start(config.log.level, config.log.format, time.clone(), Box::new(io::stderr()));
    let (queue, _log_thread) = log.map_err(|cause| StartError::new("start the log", &cause))?;
    process::settle();
    let latch = Arc::new(Latch::new(time.clone()));
    // Before anything that waits: as the first process of a container, an agent that doesn't listen isn't ended.
    signal::close_on_signals(latch.clone()).map_err(|cause| StartError::new("wait for signals", &cause))?;
    let state_dir = succession::state_dir(config.operation.state_dir.as_deref());
    let (listeners, predecessor) = succession::inherit(state_dir.as_ref(), &*time);
    let doors = Doors::bind(&config.door, listeners)?;
    let ports = Ports::open(&config, environment, time, state_dir.as_ref())?;
    let rooms = Rooms::new(&config, ports, latch.clone(), Box::new(move || queue.has_room()))?;
    info!("version" = BUILD.version, "commit" = BUILD.commit, "port" = config.door.app.port; "kube2iam starts");
    config.warnings.iter().for_each(|warning| warn!("{warning}"));
    let threads = start_threads(&rooms)?;
    if succession::await_turn(&rooms, &doors, predecessor) == Turn::Never {
        end(&rooms, Vec::new(), threads);
        return Ok(());
    }
    let offer = succession::offer(&rooms, &doors, state_dir.as_ref());
    let servers = doors.open(&rooms)?;
    info!("port" = config.door.app.port; "requests are answered");
    latch.wait_for_close();
    if let Some(offer) = offer {
        offer.withdraw();
    }
    end(&rooms, servers, threads);
    Ok(())
}

/// Starts whatever works beside the requests.
fn start_threads(rooms: &Arc<Rooms>) -> Result<Vec<JoinHandle<()>>, StartError> {
    let start = |(name, work): (&'static str, Work)| {
        let rooms = rooms.clone();
        let thread = threads::spawn(name, threads::STACK_BYTES, move || work(&rooms));
        thread.map_err(|cause| StartError::new(&format!("start `{name}`"), &cause))
    };
    work().into_iter().map(start).collect()
}

/// What a thread does until shutdown.
pub type Work = fn(&Rooms);

/// Everything that works beside the requests, by the name of its thread.
pub fn work() -> Vec<(&'static str, Work)> {
    let mut work: Vec<(&'static str, Work)> = vec![
        ("watch-pods", |rooms| tend::watch(rooms, Resource::Pods)),
        ("watch-spaces", |rooms| tend::watch(rooms, Resource::Namespaces)),
        ("discover", discover::run),
        ("health", tend::watch_health),
        ("steward", tend::keep_house),
        ("taint", taint::take_off),
    ];
    work.extend((0..crate::logic::cache::MOST_CALLS).map(|_| -> (&'static str, Work) { ("sts", tend::call_sts) }));
    work
}

/// Lets answers in progress drain, ends what waits, and leaves within the time that Kubernetes and the README give.
fn end(rooms: &Rooms, mut servers: Vec<Server>, threads: Vec<JoinHandle<()>>) {
    rooms.facts.shutting_down.store(true, Ordering::Relaxed);
    servers.iter_mut().for_each(Server::stop_accepting);
    let until = rooms.clock.now().mono.after(DRAIN);
    for server in &servers {
        let drained = server.drain(rooms.clock.now().mono.until(until));
        if drained.unfinished > 0 {
            warn!("connections" = drained.unfinished; "cut connections that did not drain in time");
        }
    }
    // Only now: answers in progress may have waited for a pod to appear, or for its credentials.
    rooms.kubernetes.shut_down();
    rooms.desk.close();
    servers.into_iter().for_each(Server::cut_off);
    let late = rooms.clock.now().mono.after(LAST_JOIN);
    for thread in threads {
        // A thread that still waits for the network ends with the process.
        while !thread.is_finished() && rooms.clock.now().mono < late {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
    info!("kube2iam ends");
}

/// How long answers in progress may take after SIGTERM.
const DRAIN: Duration = Duration::from_secs(4);
/// How long the agent's own threads get after that.
const LAST_JOIN: Duration = Duration::from_millis(300);
