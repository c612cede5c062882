//! A port that another process holds at the start, and handovers that fail.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use crate::load::{Load, Tokens};
use crate::standins::agent::{Agent, Outcome, Setup, Until, free_port, test_binary};
use crate::standins::client::get_as_operator;
use crate::{ANSWERS, CREDENTIALS, Node, WAITS, answering, kill, retire, status};

const HELD: &str = "is held by ";

/// The node's control socket for one agent.
fn socket(node: &Node) -> PathBuf {
    node.state().with_extension("control")
}

fn with_socket(node: &Node, setup: Setup) -> Setup {
    setup.flags(&[&format!("--control-socket={}", socket(node).display())])
}

fn asked_for_status(node: &Node) -> Outcome {
    Setup::of(test_binary()).flags(&["status", &format!("--socket={}", socket(node).display())]).run()
}

fn offer_of(node: &Node) -> PathBuf {
    let entries = std::fs::read_dir(node.state()).unwrap().map(|entry| entry.unwrap().path());
    entries.into_iter().find(|path| path.extension().is_some_and(|end| end == "sock")).unwrap()
}

/// A process without rights that listens on `port`: its descriptors can be seen by an agent that has none either.
fn stranger(port: u16) -> Option<Child> {
    let script = format!(
        "import socket,time\ns=socket.socket()\ns.bind(('0.0.0.0',{port}))\ns.listen()\nprint('on',flush=True)\ntime.sleep(60)"
    );
    let confined = ["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "python3", "-c", &script];
    let mut child = Command::new("setpriv").args(confined).stdout(Stdio::piped()).spawn().ok()?;
    let mut word = [0; 3];
    std::io::Read::read_exact(child.stdout.as_mut()?, &mut word).ok()?;
    Some(child)
}

#[test]
fn a_port_that_is_taken_is_waited_for_and_no_reason_to_end() {
    let node = Node::set_up();
    {
        let port = node.port;
        let holder = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
        let mut agent = with_socket(&node, node.setup().flags(&[&format!("--metrics-port={port}")])).start();
        let line = agent.wait_for_log(HELD);
        assert!(line.contains("level=warning") && line.contains(&format!("port {port} is held by")), "{line}");
        assert!(line.contains("stop it or give another --app-port"), "{line}");
        agent.wait_for_log("pods are listed");
        let report = asked_for_status(&node);
        assert!(report.stdout.contains(&format!("port {port} is held by")), "{report:?}");
        assert!(!agent.log().iter().any(|line| line.contains(ANSWERS)) && agent.exit_status().is_none());
        drop(holder);
        agent.wait_for_log(ANSWERS);
        agent.wait_ready();
        assert_eq!(status(node.addr(), CREDENTIALS), 200);
        assert!(!asked_for_status(&node).stdout.contains(HELD));
        retire(&mut agent);
    }
}

#[test]
fn a_taken_port_of_metrics_keeps_no_pod_from_its_credentials() {
    let (node, port) = (Node::set_up(), free_port());
    let holder = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
    let mut agent = with_socket(&node, node.setup().flags(&[&format!("--metrics-port={port}")])).start();
    let line = agent.wait_for_log("of /metrics can't be opened");
    assert!(line.contains("level=warning") && line.contains(&format!("port {port} of /metrics")), "{line}");
    agent.wait_for_log(ANSWERS);
    agent.wait_ready();
    assert_eq!(status(node.addr(), CREDENTIALS), 200);
    let report = asked_for_status(&node);
    assert!(
        report.code == Some(0) && report.stdout.contains(&format!("PROBLEM            port {port} of /metrics")),
        "{report:?}"
    );
    drop(holder);
    agent.wait_for_log("the port of /metrics is this agent's now");
    assert_eq!(get_as_operator((Ipv4Addr::LOCALHOST, port).into(), "/metrics").status, 200);
    assert!(!asked_for_status(&node).stdout.contains("PROBLEM"));
    retire(&mut agent);
}

/// The address comes from a range that no machine has; nothing is done to make it come.
#[test]
fn an_address_that_the_node_lacks_is_waited_for() {
    let node = Node::set_up();
    let mut agent = with_socket(&node, node.setup().flags(&["--bind-address=192.0.2.7"])).start();
    let line = agent.wait_for_log("the node has no address 192.0.2.7");
    assert!(line.contains("level=warning") && line.contains("--bind-address"), "{line}");
    agent.wait_for_log("pods are listed");
    let report = asked_for_status(&node);
    assert!(report.code == Some(1) && report.stdout.contains("PROBLEM            port"), "{report:?}");
    assert!(agent.exit_status().is_none());
    agent.signal(Signal::TERM);
    assert_eq!(crate::end_of(&mut agent).code(), Some(0), "it hears signals while it waits");
}

#[test]
fn the_process_that_holds_the_port_is_named() {
    let node = Node::set_up();
    let Some(mut holder) = stranger(node.port) else {
        eprintln!("SKIPPED: no process to be named without setpriv and python3");
        return;
    };
    let confined = Setup::of(Path::new("setpriv"))
        .flags(&["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"])
        .flags(&[test_binary().to_str().unwrap()]);
    let state = format!("--state-dir={}", node.state().display());
    let flags = [&state, "--base-role-arn=arn:aws:iam::123456789012:role/"];
    let mut agent = node.lab.configure(confined).flags(&flags).port(node.port).until(Until::Started).start();
    let line = agent.wait_for_log(HELD);
    let wanted = format!("port {} is held by process {} (`python3", node.port, holder.id());
    assert!(line.contains(&wanted), "{line}");
    agent.signal(Signal::TERM);
    assert_eq!(crate::end_of(&mut agent).code(), Some(0), "it hears signals while it waits");
    holder.kill().unwrap();
    holder.wait().unwrap();
}

#[test]
fn a_handover_that_fails_is_tried_again_until_it_succeeds() {
    let node = Node::set_up();
    let mut old = node.agent();
    old.signal(Signal::STOP);
    let mut new = with_socket(&node, node.setup()).start();
    new.wait_for_log("failed to take over from the agent behind");
    new.wait_for_log(HELD);
    let report = asked_for_status(&node);
    assert!(report.stdout.contains(HELD), "{report:?}");
    old.signal(Signal::CONT);
    let load = Load::start(node.addr(), Tokens::None);
    new.wait_for_log(WAITS);
    new.wait_for_log(ANSWERS);
    load.go_on_for(100);
    retire(&mut old);
    load.go_on_for(100);
    let tally = load.end();
    assert!(tally.failures.is_empty(), "{:#?}", tally.failures);
    assert!(new.exit_status().is_none());
    retire(&mut new);
}

#[test]
fn an_agent_that_gets_no_listener_takes_the_port_once_it_is_free() {
    let node = Node::set_up();
    for end in [retire as fn(&mut Agent), kill] {
        let mut old = node.agent();
        std::fs::remove_file(offer_of(&node)).unwrap();
        let mut new = node.setup().start();
        new.wait_for_log(HELD);
        assert_eq!((status(node.addr(), CREDENTIALS), get_as_operator(node.addr(), "/readyz").status), (200, 200));
        assert!(!new.log().iter().any(|line| line.contains(ANSWERS)), "only one of them answers");
        end(&mut old);
        new.wait_for_log(ANSWERS);
        new.wait_ready();
        assert_eq!(status(node.addr(), CREDENTIALS), 200);
        retire(&mut new);
    }
}

#[test]
fn an_agent_without_a_state_directory_waits_for_one_that_has_it() {
    let node = Node::set_up();
    let mut old = node.agent();
    let mut new = node.alone().start();
    new.wait_for_log(HELD);
    retire(&mut old);
    new.wait_for_log(ANSWERS);
    // The other way round as well.
    let mut last = node.setup().start();
    last.wait_for_log(HELD);
    retire(&mut new);
    last.wait_for_log(ANSWERS);
    last.wait_ready();
    retire(&mut last);
    let mut after = answering(node.setup());
    assert_eq!(status(node.addr(), CREDENTIALS), 200);
    retire(&mut after);
}
