//! From the start of the process to its readiness, before an API server that answers: a node of 250 pods.

use std::time::{Duration, Instant};

use crate::rates::median;
use crate::report::{Report, Target};
use crate::standins::Lab;
use crate::standins::agent::{Until, free_port};
use crate::standins::client::{Ask, Connection};
use crate::subject::{populate, setup};

pub fn run(report: &mut Report) {
    let lab = Lab::start();
    populate(&lab, 250);
    let times: Vec<f64> = (0..STARTS).map(|_| time(&lab)).collect();
    report.number("from its start to `/readyz`, 250 pods, median", median(times), "ms", Target::AtMost(100.0));
}

/// Milliseconds until `/readyz` says 200; asked every millisecond.
fn time(lab: &Lab) -> f64 {
    let (port, began) = (free_port(), Instant::now());
    let agent = setup(lab).port(port).until(Until::Started).start();
    while !is_ready(agent.addr()) {
        assert!(began.elapsed() < Duration::from_secs(20), "the agent isn't ready");
        std::thread::sleep(Duration::from_millis(1));
    }
    began.elapsed().as_secs_f64() * 1e3
}

fn is_ready(agent: std::net::SocketAddr) -> bool {
    let Ok(mut connection) = Connection::try_open(agent, "127.0.0.1") else { return false };
    connection.send(&Ask::get("/readyz").host(&agent.to_string()).to_bytes());
    connection.read_answer().is_ok_and(|answer| answer.status == 200)
}

const STARTS: usize = 11;
