//! The operator's side of the running agent: the control socket and its subcommands, the doctor, Events, audit mode,
//! `compare`, dashboards and alerts.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails loudly and has a clock of its own"
)]

#[path = "../standins/mod.rs"]
mod standins;
#[path = "../tools/mod.rs"]
mod tools;

mod alerts_end;
mod audit;
mod compare;
mod control;
mod doctor;
mod events;
mod explain;
mod monitoring;
mod prometheus;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use standins::agent::{Agent, Outcome, Setup, free_port, test_binary};
use standins::kubernetes::PodSpec;
use standins::{Lab, PATIENCE};

/// The stand-ins, an agent, and the path of its control socket.
pub struct Site {
    pub agent: Agent,
    pub lab: Lab,
    pub socket: PathBuf,
}

pub const BASE: &str = "--base-role-arn=arn:aws:iam::123456789012:role/";

impl Site {
    /// Starts an agent with a base ARN and further flags.
    pub fn open(lab: Lab, flags: &[&str]) -> Self {
        let socket = socket();
        let agent = lab.setup().flags(&[BASE, &flag(&socket)]).flags(flags).start();
        Self { agent, lab, socket }
    }

    /// Runs a subcommand against the agent.
    pub fn ask(&self, words: &[&str]) -> Outcome {
        ask(&self.socket, words)
    }

    /// What `explain --json` says, once it fulfils `until`.
    pub fn explained(&self, subject: &str, until: impl Fn(&Value) -> bool) -> Value {
        wait_for(&format!("an explanation of {subject}"), || {
            let outcome = self.ask(&["explain", subject, "--json"]);
            assert_eq!(outcome.code, Some(0), "{outcome:?}");
            Some(serde_json::from_str(&outcome.stdout).unwrap()).filter(&until)
        })
    }
}

pub fn ask(socket: &std::path::Path, words: &[&str]) -> Outcome {
    Setup::of(test_binary()).flags(words).flags(&[&format!("--socket={}", socket.display())]).run()
}

/// A path for a control socket that nobody else has.
pub fn socket() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("kube2iam-test-{}-{number}/control.sock", std::process::id()))
}

pub fn flag(socket: &std::path::Path) -> String {
    format!("--control-socket={}", socket.display())
}

/// `--app-port` with a port that is free.
pub fn free_port_flag() -> String {
    format!("--app-port={}", free_port())
}

/// The pod `shop/web-1` at 127.0.0.7 with the role `app`.
pub fn web() -> PodSpec {
    PodSpec::new("shop", "web-1").ip(WEB).role("app")
}

pub const WEB: &str = "127.0.0.7";

/// Asks until there is an answer; fails the test when it takes longer than `PATIENCE`.
pub fn wait_for<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
