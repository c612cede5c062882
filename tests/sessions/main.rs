//! Sessions, end to end: the real agent between pods that ask and an STS that plays along or doesn't.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails loudly and has a clock of its own"
)]

#[path = "../standins/mod.rs"]
mod standins;

mod ahead;
mod carried;
mod crowd;
mod further_up;
mod life;
mod trouble;

use std::time::{Duration, Instant};

use standins::agent::Agent;
use standins::client::{self, Answer};
use standins::kubernetes::PodSpec;

const BASE: &str = "--base-role-arn=arn:aws:iam::123456789012:role/";

/// The full name of a role under [`BASE`].
fn arn(role: &str) -> String {
    format!("arn:aws:iam::123456789012:role/{role}")
}

/// What a pod gets that asks for the credentials of `role`.
fn credentials(agent: &Agent, pod: &str, role: &str) -> Answer {
    client::get(agent.addr(), pod, &format!("/latest/meta-data/iam/security-credentials/{role}"))
}

/// The key id that a pod is given.
fn key_id(agent: &Agent, pod: &str, role: &str) -> String {
    let answer = credentials(agent, pod, role);
    assert_eq!(answer.status, 200, "{pod} is refused `{role}`: {}\n{}", answer.text(), agent.log().join("\n"));
    answer.json()["AccessKeyId"].as_str().unwrap().to_owned()
}

/// A pod of namespace `default` with an address and a role.
fn pod(name: &str, address: &str, role: &str) -> PodSpec {
    PodSpec::new("default", name).ip(address).role(role)
}

/// The value of a metric's line, 0 if there is none.
fn metric(agent: &Agent, line: &str) -> f64 {
    let text = client::get_as_operator(agent.addr(), "/metrics").text();
    let value = text.lines().find_map(|other| other.strip_prefix(line)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_default()
}

/// Asks until it is so.
fn wait_until(limit: Duration, what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
