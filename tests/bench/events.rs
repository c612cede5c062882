//! From a pod's event on the watch to its first answer: the request is there already and waits for it.

use std::time::{Duration, Instant};

use crate::rates::median;
use crate::report::{Report, Target};
use crate::standins::Lab;
use crate::standins::client::{Ask, Connection};
use crate::standins::kubernetes::{Kind, PodSpec};
use crate::subject::{address, populate, setup};

pub fn run(report: &mut Report) {
    let lab = Lab::start();
    populate(&lab, 250);
    let agent = setup(&lab).flags(&["--backoff-max-elapsed-time=10s"]).start();
    lab.kubernetes.wait_for_watch(Kind::Pod);
    let waits: Vec<f64> = (0..PODS).map(|index| wait(&lab, &agent, index)).collect();
    let longest = waits.iter().copied().fold(0.0, f64::max);
    report.number("a pod's watch event to its role list, median", median(waits), "ms", Target::AtMost(MOST_MS));
    report.number("the longest of them", longest, "ms", Target::None);
}

/// Milliseconds from the moment that the API server has the pod to the last byte of its answer.
fn wait(lab: &Lab, agent: &crate::standins::agent::Agent, index: usize) -> f64 {
    let address = address(10_000 + index);
    let mut connection = Connection::open(agent.addr(), &address);
    connection.send(&Ask::get("/latest/meta-data/iam/security-credentials/").to_bytes());
    // Long enough for the request to be waiting; if it isn't yet, the measured time is only longer.
    std::thread::sleep(Duration::from_millis(20));
    let pod = PodSpec::new("default", &format!("late-{index}")).ip(&address).role("app");
    let began = Instant::now();
    lab.kubernetes.add_pod(pod);
    let answer = connection.read_answer().unwrap();
    let took = began.elapsed();
    assert_eq!((answer.status, answer.text().as_str()), (200, "app"));
    took.as_secs_f64() * 1e3
}

const PODS: usize = 101;
const MOST_MS: f64 = 2.0;
