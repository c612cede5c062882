//! Session tokens across a restart.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::standins::agent::Agent;
use crate::standins::client::{Answer, Ask, TOKEN_HEADER, token};
use crate::{Node, ROLES, address, answering, kill, retire};

fn ask(node: &Node, token: &str) -> Answer {
    Ask::get(ROLES).header(TOKEN_HEADER, token).send(node.addr(), &address(1))
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
    assert_eq!(ask(&node, &early).status, 200);
    let late = token(node.addr(), &address(1));
    kill(&mut new);
    let mut last = node.agent();
    assert_eq!((ask(&node, &early).status, ask(&node, &late).status), (200, 200));
    retire(&mut last);
    assert_eq!((mode(node.state()), mode(&key_file(&node))), (0o700, 0o600));
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
    assert_eq!(ask(&node, &early).status, 401);
    let late = token(node.addr(), &address(1));
    retire(&mut new);
    let mut last = node.agent();
    assert_eq!(ask(&node, &late).status, 200);
    retire(&mut last);
}

#[test]
fn a_state_directory_that_cannot_be_used_is_a_warning() {
    let node = Node::set_up();
    std::fs::write(node.state(), "a file").unwrap();
    let mut agent = node.agent();
    agent.wait_for_log("failed to use state directory");
    assert_eq!(ask(&node, &token(node.addr(), &address(1))).status, 200);
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

#[test]
fn without_a_state_directory_tokens_take_one_more_round() {
    let node = Node::set_up();
    let mut old = answering(node.alone());
    let early = token(node.addr(), &address(1));
    retire(&mut old);
    let mut new = answering(node.alone());
    assert_eq!(ask(&node, &early).status, 401);
    assert_eq!(ask(&node, &token(node.addr(), &address(1))).status, 200);
    retire(&mut new);
}
