//! `--resolve-duplicate-cache-ips`: one live list tells who holds an address that several pods claim.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::site::{BASE, OWN, POD, ROLES};
use crate::standins::agent::Agent;
use crate::standins::client;
use crate::standins::kubernetes::{Break, Kind, On, PodSpec, Refusal};
use crate::standins::wire::spawn;
use crate::standins::{Lab, PATIENCE, Times};

const LISTS: On = On::List(Kind::Pod);

/// Two pods on one address. One of them is gone, and the watch has fallen silent before it could say so.
fn with_a_ghost(flags: &[&str]) -> (Lab, Agent) {
    let lab = Lab::start();
    for (name, role) in [("web", "app"), ("ghost", "other")] {
        lab.kubernetes.add_pod(PodSpec::new("default", name).ip(POD).role(role));
    }
    let agent = lab.setup().flags(&[BASE]).flags(flags).start();
    lab.kubernetes.wait_for_watch(Kind::Pod);
    lab.kubernetes.break_watches(Kind::Pod, Break::Stall);
    let deadline = Instant::now() + PATIENCE;
    while lab.kubernetes.open_watches(Kind::Pod) > 0 {
        assert!(Instant::now() < deadline, "the watch goes on");
    }
    lab.kubernetes.delete_pod("default", "ghost");
    (lab, agent)
}

const RESOLVE: &str = "--resolve-duplicate-cache-ips";

#[test]
fn a_shared_address_is_refused_unless_the_flag_asks_to_look() {
    let (lab, agent) = with_a_ghost(&[]);
    let lists = lab.kubernetes.count(LISTS);
    let answer = client::get(agent.addr(), POD, OWN);
    assert_eq!((answer.status, answer.text().as_str()), (404, "ambiguous_address\n"));
    assert_eq!(lab.kubernetes.count(LISTS), lists);
    assert!(lab.sts.calls().iter().all(|call| call.action != "AssumeRole"));
}

#[test]
fn one_live_list_serves_all_who_ask() {
    let (lab, agent) = with_a_ghost(&[RESOLVE]);
    let lists = lab.kubernetes.count(LISTS);
    let (report, reported) = channel();
    for _ in 0..20 {
        let (addr, report) = (agent.addr(), report.clone());
        spawn("asker", move || report.send(client::get(addr, POD, ROLES)).unwrap());
    }
    for _ in 0..20 {
        let answer = reported.recv_timeout(PATIENCE).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "app"));
    }
    // Remembered for a second; a machine that crawls may need a second one.
    let asked = lab.kubernetes.count(LISTS) - lists;
    assert!((1..=3).contains(&asked), "{asked} lists for 20 requests");
    assert_eq!(client::get(agent.addr(), POD, OWN).status, 200);
    let live = lab.kubernetes.seen().into_iter().filter(|seen| seen.on == Some(LISTS)).skip(lists);
    assert!(live.into_iter().all(|seen| seen.target.contains("status.podIP%3D127.0.0.7")));
    let metrics = client::get_as_operator(agent.addr(), "/metrics").text();
    assert!(!metrics.contains("kube2iam_iam_k8s_dup_req_count 0") && !metrics.contains("dup_req_success_count 0"));
}

#[test]
fn an_api_server_that_cannot_tell_leaves_the_address_refused() {
    for refusal in [
        Refusal::Status { code: 500, retry_after_s: None },
        Refusal::Status { code: 403, retry_after_s: None },
        Refusal::Garbage,
        Refusal::Close,
        Refusal::Stall,
    ] {
        let (lab, agent) = with_a_ghost(&[RESOLVE]);
        lab.kubernetes.refuse(LISTS, refusal, Times::Always);
        let start = Instant::now();
        let answer = client::get(agent.addr(), POD, OWN);
        assert_eq!((answer.status, answer.text().as_str()), (404, "ambiguous_address\n"), "{refusal:?}");
        assert!(start.elapsed() < Duration::from_secs(8), "{refusal:?} took {:?}", start.elapsed());
        lab.kubernetes.clear_refusals();
        let deadline = Instant::now() + PATIENCE;
        while client::get(agent.addr(), POD, OWN).status != 200 {
            assert!(Instant::now() < deadline, "after {refusal:?} it never looks again");
        }
    }
}

#[test]
fn two_live_pods_stay_ambiguous_however_often_somebody_looks() {
    let lab = Lab::start();
    for name in ["a", "b"] {
        lab.kubernetes.add_pod(PodSpec::new("default", name).ip(POD).role("app"));
    }
    let agent = lab.setup().flags(&[BASE, RESOLVE, "--backoff-max-elapsed-time=50ms"]).start();
    let lists = lab.kubernetes.count(LISTS);
    let start = Instant::now();
    let mut asked = 0;
    while asked < 200 && start.elapsed() < Duration::from_secs(5) {
        assert_eq!(client::get(agent.addr(), POD, OWN).status, 404);
        asked += 1;
    }
    let most = 2 + usize::try_from(start.elapsed().as_secs()).unwrap();
    assert!(lab.kubernetes.count(LISTS) - lists <= most, "{asked} requests made more than {most} lists");
}
