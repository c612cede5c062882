//! Session tokens across a restart.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::standins::agent::Agent;
use crate::standins::client::{Ask, TOKEN_HEADER, TTL_HEADER, token};
use crate::{Node, ROLES, address, answering, kill, retire};

/// Whether the agent knows the token for the pod's: then it says how long it is still good. Another agent's counts as
/// none, and the pod is answered all the same.
fn is_taken(node: &Node, token: &str) -> bool {
    let answer = Ask::get(ROLES).header(TOKEN_HEADER, token).send(node.addr(), &address(1));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.header(TTL_HEADER).is_some()
}

fn key_file(node: &Node) -> std::path::PathBuf {
    node.state().join("token-keys")
}

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o7777
}

fn assert_keys_are_not_in(log: &Agent, keys: &str) {
    let secret = keys.lines().nth(1).and_then(|line| line.split(' ').next()).unwrap();
    assert!(secret.len() == 64 && !log.log().join("\n").contains(secret));
}

#[test]
fn tokens_of_the_old_agent_are_good_with_the_new_one() {
    let node = Node::set_up();
    let mut old = node.agent();
    let early = token(node.addr(), &address(1));
    retire(&mut old);
    let mut new = node.agent();
    assert!(is_taken(&node, &early));
    let late = token(node.addr(), &address(1));
    kill(&mut new);
    let mut last = node.agent();
    assert!(is_taken(&node, &early) && is_taken(&node, &late));
    retire(&mut last);
    assert_eq!((mode(node.state()), mode(&key_file(&node))), (0o700, 0o660));
    let keys = std::fs::read_to_string(key_file(&node)).unwrap();
    [old, new, last].iter().for_each(|agent| assert_keys_are_not_in(agent, &keys));
}

#[test]
fn keys_that_cannot_be_read_are_drawn_anew() {
    let node = Node::set_up();
    let mut old = node.agent();
    let early = token(node.addr(), &address(1));
    retire(&mut old);
    std::fs::write(key_file(&node), "kube2iam token keys 1\nnot a key\n").unwrap();
    let mut new = node.agent();
    new.wait_for_log("it holds something else than keys of tokens");
    assert!(!is_taken(&node, &early));
    let late = token(node.addr(), &address(1));
    retire(&mut new);
    let mut last = node.agent();
    assert!(is_taken(&node, &late));
    retire(&mut last);
}

#[test]
fn a_state_directory_that_cannot_be_used_is_a_warning() {
    let node = Node::set_up();
    std::fs::write(node.state(), "a file").unwrap();
    let mut agent = node.agent();
    agent.wait_for_log("failed to use state directory");
    assert!(is_taken(&node, &token(node.addr(), &address(1))));
    retire(&mut agent);
    std::fs::remove_file(node.state()).unwrap();
}

#[test]
fn a_state_directory_that_others_may_enter_is_shut() {
    let node = Node::set_up();
    std::fs::create_dir(node.state()).unwrap();
    std::fs::set_permissions(node.state(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut agent = node.agent();
    assert_eq!(mode(node.state()), 0o700);
    retire(&mut agent);
}

/// The SDK for Rust keeps its token after a 401, for hours.
#[test]
fn without_a_state_directory_older_tokens_count_as_none_unless_they_are_required() {
    let node = Node::set_up();
    let mut old = answering(node.alone());
    let early = token(node.addr(), &address(1));
    retire(&mut old);
    let mut new = answering(node.alone());
    assert!(!is_taken(&node, &early) && is_taken(&node, &token(node.addr(), &address(1))));
    retire(&mut new);
    let mut strict = answering(node.alone().flags(&["--imds-v2=required"]));
    assert_eq!(Ask::get(ROLES).header(TOKEN_HEADER, &early).send(node.addr(), &address(1)).status, 401);
    assert!(is_taken(&node, &token(node.addr(), &address(1))));
    retire(&mut strict);
}
