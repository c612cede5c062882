//! The tail of latency: 200 connections, each of a pod of its own, ask at fixed times, 5,000 requests a second in all,
//! whether or not earlier answers have come. An answer's latency counts from the moment at which its request was due,
//! less what the client itself was late: it shares the processors with what is measured. That is shown apart.
//!
//! First at rest, then while 100 pods a second change, all sessions are renewed, and lists of 50,000 pods are read. The
//! API server and STS of this scene run on the same processors and take their share, so nginx is measured under the same
//! background: what it shows is the machine's part.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::report::{Report, Target};
use crate::standins::Lab;
use crate::standins::agent::{Agent, Until};
use crate::standins::client::{Ask, Connection, get};
use crate::standins::kubernetes::{Break, Kind, PodSpec};
use crate::subject::{address, setup};
use crate::wrk::{Nginx, is_there};

pub fn run(report: &mut Report) {
    let lab = Arc::new(Lab::start());
    lab.sts.grant_for(LIFE);
    (0..PODS).for_each(|index| lab.kubernetes.add_pod_unseen(pod(index, 0)));
    lab.kubernetes.compact();
    let mut agent = setup(&lab).flags(&["--prefetch=false", "--sts-qps=1000"]).until(Until::Started).start();
    agent.wait_ready_within(Duration::from_secs(120));
    lab.kubernetes.wait_for_watch(Kind::Pod);
    let fetched = Instant::now();
    (0..CONNECTIONS).for_each(|index| drop(get(agent.addr(), &address(index), &document(index))));
    shown(report, "at rest", load(agent.addr()), Target::None, Target::None);
    let renewals = fetched + LIFE / 2;
    thread::sleep(renewals.saturating_duration_since(Instant::now() + LENGTH / 2));
    let calls = lab.sts.calls().len();
    let ours = beside(&lab, agent.addr());
    let renewed = lab.sts.calls().len() - calls;
    assert!(renewed >= CONNECTIONS / 2, "{renewed} sessions were renewed meanwhile");
    shown(report, "with background", ours, Target::AtMost(P999_MS), Target::AtMost(WORST_MS));
    match is_there("nginx") {
        true => with_nginx(report, &lab, &agent),
        false => report.left_out("nginx beside it (Debian: nginx-light)"),
    }
}

fn with_nginx(report: &mut Report, lab: &Arc<Lab>, agent: &Agent) {
    let nginx = Nginx::start(&get(agent.addr(), &address(0), &document(0)).text());
    shown(report, "nginx with background", beside(lab, nginx.address()), Target::None, Target::None);
}

/// What became of one request, in milliseconds.
struct Sample {
    latency: f64,
    /// How long after its time the client sent it, with the answer before it there already
    late: f64,
}

fn load(server: SocketAddr) -> Vec<Sample> {
    let begins = Instant::now() + Duration::from_millis(200);
    let clients: Vec<_> = (0..CONNECTIONS).map(|index| thread::spawn(move || client(server, index, begins))).collect();
    clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
}

fn client(server: SocketAddr, index: usize, begins: Instant) -> Vec<Sample> {
    let mut connection = Connection::open(server, &address(index));
    let ask = Ask::get(&document(index));
    // The connections take turns, evenly.
    let mut due = begins + PACE * u32::try_from(index).unwrap() / u32::try_from(CONNECTIONS).unwrap();
    let (mut answered, mut samples) = (begins, Vec::new());
    while due < begins + LENGTH {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let late = due.max(answered).elapsed();
        let answer = connection.ask(&ask);
        answered = Instant::now();
        samples.push(Sample { latency: millis((answered - due).saturating_sub(late)), late: millis(late) });
        assert_eq!(answer.status, 200, "{}", answer.text());
        due += PACE;
    }
    samples
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The same while pods change and lists are read.
fn beside(lab: &Arc<Lab>, server: SocketAddr) -> Vec<Sample> {
    let ended = Arc::new(AtomicBool::new(false));
    let background = {
        let (lab, ended) = (lab.clone(), ended.clone());
        thread::spawn(move || stir(&lab, &ended))
    };
    let samples = load(server);
    ended.store(true, Ordering::Relaxed);
    background.join().unwrap();
    samples
}

/// 100 pods a second change; now and then the watch ends in a way that asks for a new list.
fn stir(lab: &Lab, ended: &AtomicBool) {
    let began = Instant::now();
    for round in 1_u32.. {
        if ended.load(Ordering::Relaxed) {
            return;
        }
        let index = CONNECTIONS + usize::try_from(round).unwrap() % (PODS - CONNECTIONS);
        lab.kubernetes.add_pod_unseen(pod(index, round));
        if round.is_multiple_of(EVENTS_PER_LIST) {
            lab.kubernetes.break_watches(Kind::Pod, Break::Gone);
        }
        let due = began + EVENT_PACE * round;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

fn shown(report: &mut Report, what: &str, samples: Vec<Sample>, p999: Target, worst: Target) {
    let (latencies, lates): (Vec<f64>, Vec<f64>) =
        samples.into_iter().map(|sample| (sample.latency, sample.late)).unzip();
    let latencies = sorted(latencies);
    for (name, per_mille, target) in [("p50", 500, Target::None), ("p99", 990, Target::None), ("p99.9", 999, p999)] {
        report.number(&format!("{what}: {name}"), latencies[latencies.len() * per_mille / 1_000], "ms", target);
    }
    report.number(&format!("{what}: worst"), latencies[latencies.len() - 1], "ms", worst);
    let lates = sorted(lates);
    let late = lates[lates.len() * 999 / 1_000];
    report.number(&format!("{what}: p99.9 of the clients' own lateness"), late, "ms", Target::None);
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

fn pod(index: usize, round: u32) -> PodSpec {
    let pod = PodSpec::new("default", &format!("pod-{index}")).ip(&address(index));
    pod.role(&format!("role-{}", index % ROLES)).annotation("round", &round.to_string())
}

fn document(index: usize) -> String {
    format!("/latest/meta-data/iam/security-credentials/role-{}", index % ROLES)
}

const PODS: usize = 50_000;
const ROLES: usize = 200;
const CONNECTIONS: usize = 200;
/// Between two requests of one connection: 5,000 a second in all.
const PACE: Duration = Duration::from_millis(40);
const LENGTH: Duration = Duration::from_secs(20);
const EVENT_PACE: Duration = Duration::from_millis(10);
const EVENTS_PER_LIST: u32 = 500;
/// Sessions are renewed after half of it, which is in the middle of the scene.
const LIFE: Duration = Duration::from_secs(140);
const P999_MS: f64 = 5.0;
const WORST_MS: f64 = 50.0;
