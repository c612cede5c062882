//! The end of an agent: what is in progress is finished, what waits is let go, and nothing that hangs keeps it.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::standins::PATIENCE;
use crate::standins::Times;
use crate::standins::client::{Ask, Connection, get_as_operator};
use crate::standins::kubernetes::{Kind, On, PodSpec, Refusal};
use crate::standins::metadata::MetadataFault;
use crate::{ANSWERS, CREDENTIALS, Node, ROLES, address, end_of, retire};

fn await_refusal(node: &Node) {
    let late = Instant::now() + PATIENCE;
    while TcpStream::connect(node.addr()).is_ok() {
        assert!(Instant::now() < late, "it accepts connections still");
    }
}

fn ask_for_credentials(node: &Node) -> Connection {
    let mut connection = Connection::open(node.addr(), &address(1));
    connection.send(&Ask::get(CREDENTIALS).to_bytes());
    connection
}

#[test]
fn answers_in_progress_are_finished_and_the_rest_is_closed_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let node = Node::set_up();
        let mut agent = node.agent();
        node.lab.sts.wait_for_calls(1); // the agent's own, as whom it works
        node.lab.sts.hold();
        let mut in_progress = ask_for_credentials(&node);
        node.lab.sts.wait_in_flight(1);
        let mut half = Connection::open(node.addr(), &address(2));
        half.send(b"GET /latest/meta-");
        let mut idle = Connection::open(node.addr(), &address(3));
        assert_eq!(idle.ask(&Ask::get(ROLES)).status, 200);

        agent.signal(signal);
        assert_eq!((half.read_to_end(), idle.read_to_end()), (vec![], vec![]));
        await_refusal(&node);
        assert_eq!(agent.exit_status(), None, "it waits for the answer in progress");
        node.lab.sts.release();
        let answer = in_progress.read_answer().unwrap();
        assert_eq!((answer.status, answer.header("Connection")), (200, Some("close")));
        assert_eq!(end_of(&mut agent).code(), Some(0));
        node.lab.assert_log_is_clean(&agent);
    }
}

#[test]
fn a_pod_that_appears_meanwhile_still_gets_its_answer() {
    let node = Node::set_up();
    let patient = node.setup().flags(&["--backoff-max-elapsed-time=10s"]);
    let mut agent = crate::answering(patient);
    node.lab.kubernetes.wait_for_watch(Kind::Pod);
    let mut early = Connection::open(node.addr(), "127.0.8.1");
    early.send(&Ask::get(ROLES).to_bytes());
    let mut silent = Connection::open(node.addr(), &address(1));
    agent.signal(Signal::TERM);
    await_refusal(&node);
    // One line of the watch may be half read by the time of the signal; the pod's own is the third after it.
    for (name, ip) in [("one", "127.0.8.3"), ("two", "127.0.8.2"), ("late", "127.0.8.1")] {
        node.lab.kubernetes.add_pod(PodSpec::new("default", name).ip(ip).role("app"));
    }
    let answer = early.read_answer();
    assert_eq!(answer.unwrap_or_else(|cause| panic!("{cause}\n{}", agent.log().join("\n"))).text(), "app");
    assert_eq!(silent.read_to_end(), b"");
    assert_eq!(end_of(&mut agent).code(), Some(0));
}

#[test]
fn whatever_hangs_does_not_keep_it() {
    type Hang = (&'static str, fn(&Node));
    let hangs: [Hang; 3] = [
        ("STS", |node| node.lab.sts.hold()),
        ("API server", |node| node.lab.kubernetes.refuse(On::Any, Refusal::Stall, Times::Always)),
        ("metadata service", |node| node.lab.metadata.fault("/", MetadataFault::Hang, Times::Always)),
    ];
    for (what, hang) in hangs {
        let node = Node::set_up();
        hang(&node);
        let setup = node.setup().unset("AWS_ACCESS_KEY_ID").unset("AWS_SECRET_ACCESS_KEY");
        let mut agent = setup.flags(&["--auto-discover-default-role", "--base-role-arn="]).start();
        agent.wait_for_log(ANSWERS);
        assert_eq!(get_as_operator(node.addr(), "/healthz").status, 200, "{what}");
        let _waiting: Vec<_> = (0..3).map(|_| ask_for_credentials(&node)).collect();
        retire(&mut agent);
    }
}

#[test]
fn a_request_that_waits_for_sts_for_ever_is_cut_in_time() {
    let node = Node::set_up();
    let mut agent = node.agent();
    node.lab.sts.wait_for_calls(1);
    node.lab.sts.hold();
    let mut connection = ask_for_credentials(&node);
    node.lab.sts.wait_in_flight(1);
    retire(&mut agent);
    assert!(!connection.read_to_end().starts_with(b"HTTP/1.1 200"));
}

#[test]
fn it_may_be_ended_before_it_is_ready() {
    let node = Node::set_up();
    node.lab.kubernetes.refuse(On::List(Kind::Pod), Refusal::Stall, Times::Always);
    for signal in [Signal::TERM, Signal::INT] {
        let mut agent = node.setup().start();
        agent.wait_for_log("kube2iam starts");
        let began = Instant::now();
        agent.signal(signal);
        assert_eq!(end_of(&mut agent).code(), Some(0));
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn a_second_signal_changes_nothing() {
    let node = Node::set_up();
    let mut agent = node.agent();
    node.lab.sts.wait_for_calls(1);
    node.lab.sts.hold();
    let mut in_progress = ask_for_credentials(&node);
    node.lab.sts.wait_in_flight(1);
    agent.signal(Signal::TERM);
    await_refusal(&node);
    agent.signal(Signal::INT);
    agent.signal(Signal::TERM);
    node.lab.sts.release();
    assert_eq!(in_progress.read_answer().unwrap().status, 200);
    assert_eq!(end_of(&mut agent).code(), Some(0));
}
