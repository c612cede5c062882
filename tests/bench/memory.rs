//! Resident memory and processor time, by pods that are watched, and what a pod adds.

use std::time::{Duration, Instant};

use crate::proc;
use crate::report::{Report, Target};
use crate::standins::Lab;
use crate::standins::agent::{Agent, Until};
use crate::standins::hostile;
use crate::standins::kubernetes::{Kind, PodSpec};
use crate::subject::{address, setup};

/// What the pods of a crowd have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Roles {
    None,
    Each,
}

pub fn run(report: &mut Report) {
    for pods in [250, 5_000, 50_000] {
        let (lab, agent) = watching(pods, Roles::Each);
        let resident = at_rest(&agent);
        let target = if pods == 250 { Target::AtMost(5.0) } else { Target::None };
        report.number(&format!("resident, {pods} pods with a role"), mib(resident), "MiB", target);
        let busy = stir(&lab, &agent, pods);
        report.number(&format!("processor, {pods} pods and 100 events/s"), busy * 100.0, "%", Target::None);
    }
    report.number("a watched pod without a role adds", growth(Roles::None), "bytes", Target::AtMost(400.0));
    report.number("a watched pod with a role adds", growth(Roles::Each), "bytes", Target::AtMost(1_024.0));
    report.number("resident, 5,000 hostile pods and 200 hostile lists", hostile_crowd(), "MiB", Target::AtMost(40.0));
}

/// Resident memory with the worst that tenants can write.
fn hostile_crowd() -> f64 {
    let lab = Lab::start();
    hostile::crowd(&lab.kubernetes);
    let mut agent = setup(&lab).flags(&["--namespace-restrictions"]).until(Until::Started).start();
    agent.wait_ready_within(Duration::from_secs(120));
    mib(at_rest(&agent))
}

/// Bytes of resident memory that each further pod costs.
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn growth(roles: Roles) -> f64 {
    let resident = |pods| {
        // The stand-ins must live as long as the look takes.
        let (_lab, agent) = watching(pods, roles);
        at_rest(&agent)
    };
    let (few, many) = (5_000, 50_000);
    resident(many).saturating_sub(resident(few)) as f64 / (many - few) as f64
}

fn watching(pods: usize, roles: Roles) -> (Lab, Agent) {
    let lab = Lab::start();
    (0..pods).for_each(|index| lab.kubernetes.add_pod_unseen(pod(index, roles)));
    // The history of a crowd is as large as the crowd.
    lab.kubernetes.compact();
    // Credentials would be fetched for each role and counted too.
    let mut agent = setup(&lab).flags(&["--prefetch=false"]).until(Until::Started).start();
    agent.wait_ready_within(Duration::from_secs(120));
    lab.kubernetes.wait_for_watch(Kind::Pod);
    (lab, agent)
}

/// Resident memory once the agent is at rest: the least of some seconds, since pages that only the start needed go back
/// at its first housekeeping.
fn at_rest(agent: &Agent) -> u64 {
    let looks = (0..LOOKS).map(|_| {
        std::thread::sleep(LOOK);
        proc::resident(agent.pid())
    });
    looks.min().unwrap()
}

fn pod(index: usize, roles: Roles) -> PodSpec {
    let pod = PodSpec::new("default", &format!("pod-{index}")).ip(&address(index));
    if roles == Roles::Each { pod.role(&format!("role-{}", index % 100)) } else { pod }
}

/// The share of a processor that 100 events a second cost.
fn stir(lab: &Lab, agent: &Agent, pods: usize) -> f64 {
    let (before, began) = (proc::cpu(agent.pid()), Instant::now());
    for index in 0..EVENTS {
        let changed = pod(index % pods, Roles::Each).annotation("round", &index.to_string());
        lab.kubernetes.add_pod_unseen(changed);
        let due = began + PACE * u32::try_from(index).unwrap();
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    let busy = proc::cpu(agent.pid()).saturating_sub(before);
    busy.as_secs_f64() / began.elapsed().as_secs_f64()
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

const LOOKS: usize = 28;
const LOOK: Duration = Duration::from_millis(500);
const EVENTS: usize = 500;
const PACE: Duration = Duration::from_millis(10);
