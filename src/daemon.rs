//! The composition root: builds every room, starts every thread by name, owns the shutdown.
//!
//! Nothing is started before everything that can be wrong with the configuration has been looked at,
//! the ports included.

pub(crate) mod build;
mod discover;
mod front;
mod operate;
mod shadow;
mod tell;
mod tend;

use std::io;
use std::sync::Arc;
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
use crate::ports::Clock;

use build::{Rooms, rooms};
use front::Doors;
use operate::OperatorsDoor;

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
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let log = logs::start(config.log.level, config.log.format, clock.clone(), Box::new(io::stderr()));
    let (queue, _log_thread) = log.map_err(|cause| StartError::new("start the log", &cause))?;
    let latch = Arc::new(Latch::new(clock.clone()));
    let doors = Doors::bind(&config.door)?;
    let rooms = rooms(&config, environment, clock, latch.clone(), queue.clone())?;
    process::settle();
    signal::close_on_signals(latch.clone()).map_err(|cause| StartError::new("wait for signals", &cause))?;
    info!("version" = BUILD.version, "commit" = BUILD.commit, "port" = config.door.app.port; "kube2iam starts");
    config.warnings.iter().for_each(|warning| warn!("{warning}"));
    let servers = doors.open(&rooms)?;
    let operators = OperatorsDoor::open(&rooms, &servers, queue.level())?;
    let threads = start_threads(&rooms)?;
    latch.wait_for_close();
    drop(operators);
    end(&rooms, servers, threads);
    Ok(())
}

/// Starts whatever works beside the requests.
fn start_threads(rooms: &Arc<Rooms>) -> Result<Vec<JoinHandle<()>>, StartError> {
    let mut running = Vec::new();
    let mut start = |name: &str, work: fn(&Rooms)| {
        let rooms = rooms.clone();
        let thread = threads::spawn(name, threads::STACK_BYTES, move || work(&rooms));
        thread.map(|thread| running.push(thread)).map_err(|cause| StartError::new(&format!("start `{name}`"), &cause))
    };
    start("watch-pods", |rooms| tend::watch(rooms, Resource::Pods))?;
    start("watch-spaces", |rooms| tend::watch(rooms, Resource::Namespaces))?;
    start("discover", discover::run)?;
    start("health", tend::watch_health)?;
    start("steward", tend::keep_house)?;
    if rooms.config.operation.shadow.is_some() {
        start("shadow", shadow::compare_all)?;
    }
    if rooms.refusals.is_some() {
        start("events", tell::write_events)?;
    }
    if rooms.config.roles.restrictions.is_some() {
        start("lint", tell::doubt)?;
    }
    for _ in 0..crate::logic::cache::MOST_CALLS {
        start("sts", tend::call_sts)?;
    }
    Ok(running)
}

/// Lets answers in progress drain, ends what waits, and leaves within the time that Kubernetes and the README give.
fn end(rooms: &Rooms, servers: Vec<Server>, threads: Vec<JoinHandle<()>>) {
    rooms.facts.shutting_down.store(true, std::sync::atomic::Ordering::Relaxed);
    rooms.kubernetes.shut_down();
    for server in servers {
        let drained = server.shut_down(DRAIN);
        if drained.unfinished > 0 {
            warn!("connections" = drained.unfinished; "cut connections that did not drain in time");
        }
    }
    rooms.desk.close();
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
