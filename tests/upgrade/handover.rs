//! From one agent to the next.

use std::os::unix::net::UnixListener;

use rustix::process::Signal;

use crate::load::{Load, Tokens};
use crate::standins::Times;
use crate::standins::agent::free_port;
use crate::standins::client::get_as_operator;
use crate::standins::kubernetes::{Kind, On, Refusal};
use crate::{ANSWERS, CREDENTIALS, Node, ROLES, WAITS, address, answering, end_of, kill, listening, retire, status};

/// No list of pods, from now on.
fn withhold_pods(node: &Node) {
    let refusal = Refusal::Status { code: 503, retry_after_s: None };
    node.lab.kubernetes.refuse(On::List(Kind::Pod), refusal, Times::Always);
}

fn offers(node: &Node) -> usize {
    let names = std::fs::read_dir(node.state()).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".sock")).count()
}

#[test]
fn ten_restarts_under_load_fail_no_request() {
    let node = Node::set_up();
    let mut running = node.agent();
    let load = Load::start(node.addr(), Tokens::Borne);
    for _ in 0..10 {
        let next = node.agent();
        assert!(next.log().iter().any(|line| line.contains(WAITS)), "{}", next.log().join("\n"));
        assert_eq!(listening(node.port), 1, "they share one queue");
        load.go_on_for(200);
        retire(&mut running);
        load.go_on_for(200);
        node.lab.assert_log_is_clean(&running);
        running = next;
    }
    let tally = load.end();
    assert!(tally.failures.is_empty(), "of {}: {:#?}", tally.answered, tally.failures);
    assert!(tally.answered >= 4_000, "{}", tally.answered);
    assert_eq!(offers(&node), 1);
    retire(&mut running);
    assert_eq!(offers(&node), 0);
}

#[test]
fn requests_are_left_to_the_agent_that_knows_the_pods() {
    let node = Node::set_up();
    let mut old = node.agent();
    assert_eq!(status(node.addr(), CREDENTIALS), 200);
    withhold_pods(&node);
    let mut new = node.setup().start();
    new.wait_for_log(WAITS);
    assert_eq!(get_as_operator(node.addr(), "/readyz").text(), "the next agent is not ready yet\n");
    assert_eq!(get_as_operator(node.addr(), "/healthz").status, 200);
    let load = Load::start(node.addr(), Tokens::None);
    load.go_on_for(300);
    assert!(!new.log().iter().any(|line| line.contains(ANSWERS)));
    node.lab.kubernetes.clear_refusals();
    new.wait_for_log(ANSWERS);
    new.wait_ready();
    retire(&mut old);
    load.go_on_for(300);
    let tally = load.end();
    assert!(tally.failures.is_empty() && tally.answered >= 600, "{}: {:#?}", tally.answered, tally.failures);
    retire(&mut new);
}

#[test]
fn a_successor_that_waits_takes_over_when_it_is_alone() {
    let node = Node::set_up();
    let mut old = node.agent();
    withhold_pods(&node);
    let new = node.setup().start();
    new.wait_for_log(WAITS);
    kill(&mut old);
    new.wait_for_log(ANSWERS);
    assert_eq!(get_as_operator(node.addr(), "/readyz").status, 503);
    node.lab.kubernetes.clear_refusals();
}

#[test]
fn a_successor_that_is_ended_before_its_turn_leaves_everything_as_it_was() {
    let node = Node::set_up();
    let mut old = node.agent();
    withhold_pods(&node);
    let mut new = node.setup().start();
    new.wait_for_log(WAITS);
    let load = Load::start(node.addr(), Tokens::None);
    load.go_on_for(100);
    new.signal(Signal::TERM);
    assert_eq!(end_of(&mut new).code(), Some(0));
    load.go_on_for(100);
    let tally = load.end();
    assert!(tally.failures.is_empty(), "{:#?}", tally.failures);
    node.lab.kubernetes.clear_refusals();
    let mut next = node.agent();
    assert!(next.log().iter().any(|line| line.contains(WAITS)), "the first still offers its listener");
    retire(&mut old);
    assert_eq!(status(node.addr(), ROLES), 200);
    retire(&mut next);
}

#[test]
fn after_a_kill_the_next_agent_starts_all_the_same() {
    let node = Node::set_up();
    let mut old = node.agent();
    kill(&mut old);
    assert_eq!((offers(&node), listening(node.port)), (1, 0));
    let mut new = node.agent();
    new.wait_for_log("took away what an agent left behind");
    assert_eq!((offers(&node), status(node.addr(), CREDENTIALS)), (1, 200));
    let mut next = node.agent();
    kill(&mut new);
    assert_eq!(status(node.addr(), CREDENTIALS), 200);
    retire(&mut next);
}

#[test]
fn whoever_sits_at_the_socket_and_says_nothing_delays_no_start() {
    let node = Node::set_up();
    std::fs::create_dir(node.state()).unwrap();
    let _hung: Vec<_> =
        (1..4).map(|n| UnixListener::bind(node.state().join(format!("agent-0000000{n}.sock"))).unwrap()).collect();
    let mut agent = node.agent();
    agent.wait_for_log("failed to take over from the agent behind");
    assert_eq!(status(node.addr(), CREDENTIALS), 200);
    retire(&mut agent);
}

#[test]
fn another_port_is_opened_beside_the_one_that_was_offered() {
    let node = Node::set_up();
    let mut old = node.agent();
    let port = free_port();
    let mut new = answering(node.setup().port(port));
    new.wait_for_log("the agent before listens elsewhere");
    let elsewhere = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!((status(node.addr(), ROLES), status(elsewhere, ROLES)), (200, 200));
    retire(&mut old);
    assert_eq!((status(elsewhere, ROLES), listening(node.port)), (200, 0));
    retire(&mut new);
}

#[test]
fn the_operators_listener_is_handed_over_too() {
    let node = Node::set_up();
    let port = free_port();
    let setup = || node.setup().flags(&[&format!("--metrics-port={port}")]);
    let operator = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let mut old = answering(setup());
    let mut new = answering(setup());
    assert_eq!((listening(node.port), listening(port)), (1, 1));
    retire(&mut old);
    assert_eq!(get_as_operator(operator, "/metrics").status, 200);
    retire(&mut new);
    assert_eq!((listening(node.port), listening(port)), (0, 0));
}

#[test]
fn without_a_state_directory_a_restart_costs_what_the_readme_says() {
    let node = Node::set_up();
    let mut running = answering(node.alone());
    let load = Load::start(node.addr(), Tokens::None);
    let restarts = 3;
    for _ in 0..restarts {
        let next = answering(node.alone());
        assert_eq!(listening(node.port), 2);
        load.go_on_for(100);
        retire(&mut running);
        load.go_on_for(100);
        running = next;
    }
    let tally = load.end();
    // While the new agent lists the pods, it may say so; when the old one closes its queue, whoever is in it is reset.
    let (patience, lost): (Vec<_>, Vec<_>) =
        tally.failures.iter().partition(|failure| failure.contains("503 not_ready"));
    for client in (1..=crate::PODS).map(address) {
        let lost: Vec<_> = lost.iter().filter(|failure| failure.starts_with(&format!("{client} "))).collect();
        let is_reset = lost.iter().all(|failure| failure.contains("no answer") || failure.contains("no connection"));
        assert!(lost.len() <= restarts && is_reset, "{lost:#?}");
    }
    assert!(patience.len() < tally.answered, "{patience:#?}");
    assert_eq!(status(node.addr(), CREDENTIALS), 200);
    retire(&mut running);
}
