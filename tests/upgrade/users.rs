//! Agents of different users on one node, as a change from one overlay to another brings them together: root without any
//! capability, and a user without rights, in one group.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::load::{Load, Tokens};
use crate::standins::agent::{Agent, Outcome, Setup, Until, test_binary};
use crate::standins::client::{Ask, TOKEN_HEADER, token};
use crate::{ANSWERS, BASE_ROLE, Node, ROLES, WAITS, address, listening, retire};

/// The user and the group that the manifests name.
const NON_ROOT: u32 = 65_532;
const AGENTS: u32 = 65_532;

/// The binary as the container runtime starts it: of this user, in the agents' group, without a capability.
fn program(user: u32) -> Setup {
    let ids = [format!("--reuid={user}"), format!("--regid={AGENTS}")];
    let confined = ["--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"];
    Setup::of(Path::new("setpriv"))
        .flags(&[&ids[0], &ids[1]])
        .flags(&confined)
        .flags(&[test_binary().to_str().unwrap()])
}

/// What the init container of an overlay without capabilities does.
fn prepare(node: &Node, user: u32) -> Outcome {
    program(user).flags(&["state-dir", node.state().to_str().unwrap()]).run()
}

fn agent(node: &Node, user: u32) -> Agent {
    if user == NON_ROOT {
        let prepared = prepare(node, 0);
        assert_eq!(prepared.code, Some(0), "{prepared:?}");
    }
    let state = format!("--state-dir={}", node.state().display());
    let setup = node.lab.configure(program(user)).flags(&[BASE_ROLE, &state]).port(node.port);
    let mut agent = setup.until(Until::Started).start();
    agent.wait_for_log(ANSWERS);
    agent.wait_ready();
    agent
}

/// Whether this process can become another user.
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn can_change_user() -> bool {
    let may =
        rustix::process::geteuid().is_root() && std::process::Command::new("setpriv").arg("--help").output().is_ok();
    let must = std::env::var("CI").is_ok();
    assert!(may || !must, "agents of several users need root and setpriv");
    if !may {
        eprintln!("SKIPPED: agents of several users need root and setpriv");
    }
    may
}

#[test]
fn changes_of_the_user_lose_no_request_and_no_token() {
    if !can_change_user() {
        return;
    }
    let node = Node::set_up();
    let mut running = agent(&node, 0);
    let early = token(node.addr(), &address(1));
    let load = Load::start(node.addr(), Tokens::Borne);
    for user in [NON_ROOT, NON_ROOT, 0, 0, NON_ROOT, 0] {
        let next = agent(&node, user);
        assert!(next.log().iter().any(|line| line.contains(WAITS)), "{}", next.log().join("\n"));
        assert!(!next.log().iter().any(|line| line.contains("failed to")), "{}", next.log().join("\n"));
        assert_eq!(listening(node.port), 1);
        load.go_on_for(100);
        retire(&mut running);
        load.go_on_for(100);
        running = next;
    }
    let tally = load.end();
    assert!(tally.failures.is_empty() && tally.answered >= 1_200, "of {}: {:#?}", tally.answered, tally.failures);
    let answer = Ask::get(ROLES).header(TOKEN_HEADER, &early).send(node.addr(), &address(1));
    assert_eq!(answer.status, 200, "the keys went along");
    retire(&mut running);
}

#[test]
fn a_node_may_begin_with_the_agent_that_is_not_root() {
    if !can_change_user() {
        return;
    }
    let node = Node::set_up();
    // As a kubelet makes it for a hostPath.
    std::fs::create_dir(node.state()).unwrap();
    let mut first = agent(&node, NON_ROOT);
    let directory = std::fs::metadata(node.state()).unwrap();
    assert_eq!((directory.uid(), directory.gid(), directory.mode() & 0o7777), (0, AGENTS, 0o770));
    let mut second = agent(&node, 0);
    retire(&mut first);
    assert_eq!(listening(node.port), 1);
    retire(&mut second);
}

#[test]
fn a_directory_that_was_not_prepared_is_named_with_the_remedy() {
    if !can_change_user() {
        return;
    }
    let node = Node::set_up();
    std::fs::create_dir(node.state()).unwrap();
    let refused = prepare(&node, NON_ROOT);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("this must run as root"), "{refused:?}");
    let state = format!("--state-dir={}", node.state().display());
    let setup = node.lab.configure(program(NON_ROOT)).flags(&[BASE_ROLE, &state]).port(node.port);
    let mut agent = setup.until(Until::Started).start();
    agent.wait_for_log("prepare it with `kube2iam state-dir PATH`, as root with that group");
    agent.wait_for_log("SO_REUSEPORT");
    agent.wait_for_log(ANSWERS);
    retire(&mut agent);
}
