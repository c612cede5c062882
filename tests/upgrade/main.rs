//! The built agent at its beginning and its end: one takes over from another under load, tokens live on, signals are
//! obeyed whatever hangs, and a node's start-up taint goes when pods may come.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails loudly and has a clock of its own"
)]

mod exclusive;
mod handover;
mod load;
mod shutdown;
#[path = "../standins/mod.rs"]
mod standins;
mod taint;
mod taken;
mod tokens;
mod users;

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use standins::agent::{Agent, Setup, Until, free_port};
use standins::client;
use standins::kubernetes::PodSpec;
use standins::{Lab, PATIENCE};

/// A node: the stand-ins with some pods, one port, and a state directory that outlives the agents.
pub struct Node {
    pub lab: Lab,
    pub port: u16,
    state: PathBuf,
}

impl Node {
    pub fn set_up() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let lab = Lab::start();
        for number in 1..=PODS {
            let pod = PodSpec::new("default", &format!("pod-{number}")).ip(&address(number)).role("app");
            lab.kubernetes.add_pod(pod);
        }
        let name = format!("kube2iam-upgrade-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self { lab, port: free_port(), state: std::env::temp_dir().join(name) }
    }

    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub fn state(&self) -> &Path {
        &self.state
    }

    /// An agent of this node, without a state directory.
    pub fn alone(&self) -> Setup {
        let flags = [BASE_ROLE, "--control-socket="];
        self.lab.setup().port(self.port).until(Until::Started).flags(&flags)
    }

    /// An agent that meets others in the state directory.
    pub fn setup(&self) -> Setup {
        self.alone().flags(&[&format!("--state-dir={}", self.state.display())])
    }

    /// Starts an agent, and waits until it answers requests itself and knows the pods.
    pub fn agent(&self) -> Agent {
        answering(self.setup())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.state);
    }
}

/// Starts an agent, and waits until it answers: `/readyz` may be answered by the one before.
pub fn answering(setup: Setup) -> Agent {
    let mut agent = setup.start();
    agent.wait_for_log(ANSWERS);
    // The first of all answers before it knows the pods.
    agent.wait_ready();
    agent
}

/// The address of a pod, from 1 to [`PODS`].
pub fn address(number: u8) -> String {
    format!("127.0.7.{number}")
}

/// Asks as the first pod, and gives the status.
pub fn status(server: SocketAddr, path: &str) -> u16 {
    client::get(server, &address(1), path).status
}

/// Waits for the end that a signal brings; fails the test when it takes longer than `PATIENCE`.
pub fn end_of(agent: &mut Agent) -> ExitStatus {
    let late = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = agent.exit_status() {
            return status;
        }
        assert!(Instant::now() < late, "it lives on:\n{}", agent.log().join("\n"));
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Ends an agent as a kubelet does: it must go in good order, in time.
pub fn retire(agent: &mut Agent) {
    let ended = agent.stop();
    let log = agent.log().join("\n");
    assert_eq!(ended.status.code(), Some(0), "after {:?}:\n{log}", ended.took);
}

/// Ends an agent as the kernel does when memory is short.
pub fn kill(agent: &mut Agent) {
    agent.signal(Signal::KILL);
    end_of(agent);
}

/// How many sockets listen on `port`.
pub fn listening(port: u16) -> usize {
    // Local address, no peer, state LISTEN (proc(5), /proc/net/tcp). Those that listen come first in the table; reading
    // all of it takes seconds when tens of thousands of connections are just over.
    let count = |path, digits| {
        let mut table = String::new();
        std::fs::File::open(path).unwrap().take(FIRST_OF_TABLE).read_to_string(&mut table).unwrap();
        table.matches(&format!(":{port:04X} {}:0000 0A ", "0".repeat(digits))).count()
    };
    count("/proc/net/tcp", 8) + count("/proc/net/tcp6", 32)
}

/// Pods of a node, and clients of a load.
pub const PODS: u8 = 20;
pub const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
pub const CREDENTIALS: &str = "/latest/meta-data/iam/security-credentials/app";
const BASE_ROLE: &str = "--base-role-arn=arn:aws:iam::123456789012:role/";
/// What an agent logs when it opens its door, and when it waits for its turn.
pub const ANSWERS: &str = "listening";
pub const WAITS: &str = "the agent before shares its listener";
/// Bytes of several hundred lines.
const FIRST_OF_TABLE: u64 = 64 * 1024;
