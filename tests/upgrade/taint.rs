//! A node's start-up taint.

use crate::standins::Times;
use crate::standins::agent::Agent;
use crate::standins::kubernetes::{Kind, On, Refusal};
use crate::{Node, retire};

const KEY: &str = "kube2iam/agent-not-ready";
const OTHER: (&str, &str) = ("dedicated", "NoSchedule");

/// A node that starts with the taint, with both effects, and with one that is none of our business.
fn tainted() -> Node {
    let node = Node::set_up();
    node.lab.kubernetes.add_node("node-1", &[(KEY, "NoSchedule"), OTHER, (KEY, "NoExecute")]);
    node
}

fn start(node: &Node) -> Agent {
    node.setup().flags(&["--node=node-1", &format!("--remove-taint={KEY}")]).start()
}

#[test]
fn the_taint_goes_once_both_lists_are_in_and_the_others_stay() {
    let node = tainted();
    let refusal = Refusal::Status { code: 503, retry_after_s: None };
    node.lab.kubernetes.refuse(On::List(Kind::Namespace), refusal, Times::Next(2));
    let mut agent = start(&node);
    // Namespaces come seconds after the pods, by client-go's backoff; nothing happens to the node before.
    node.lab.kubernetes.wait_for(On::List(Kind::Namespace), 2);
    assert_eq!(node.lab.kubernetes.count(On::Get(Kind::Node)), 0);
    agent.wait_for_log("took the taint off");
    assert_eq!(node.lab.kubernetes.taints("node-1"), ["dedicated"]);
    let seen = node.lab.kubernetes.seen();
    let at = |wanted| seen.iter().position(|seen| seen.on == Some(wanted)).unwrap();
    let last_list = seen.iter().rposition(|seen| seen.on == Some(On::List(Kind::Namespace))).unwrap();
    assert!(last_list < at(On::Get(Kind::Node)) && at(On::Get(Kind::Node)) < at(On::Patch(Kind::Node)));
    retire(&mut agent);
}

#[test]
fn a_node_without_the_taint_is_not_touched() {
    let node = Node::set_up();
    node.lab.kubernetes.add_node("node-1", &[OTHER]);
    let mut agent = start(&node);
    agent.wait_for_log("there is no taint to take off");
    assert_eq!(node.lab.kubernetes.count(On::Patch(Kind::Node)), 0);
    retire(&mut agent);
}

#[test]
fn taints_that_others_change_meanwhile_are_not_lost() {
    let node = tainted();
    node.lab.kubernetes.meddle("node-1", &[("new", "NoSchedule"), (KEY, "NoSchedule"), OTHER]);
    let mut agent = start(&node);
    agent.wait_for_log("took the taint off");
    assert_eq!(node.lab.kubernetes.taints("node-1"), ["new", "dedicated"]);
    assert_eq!(node.lab.kubernetes.count(On::Patch(Kind::Node)), 2);
    retire(&mut agent);
}

#[test]
fn a_missing_right_is_named_and_waited_for() {
    for (on, verb) in [(On::Get(Kind::Node), "get"), (On::Patch(Kind::Node), "patch")] {
        let node = tainted();
        node.lab.kubernetes.refuse(on, Refusal::Status { code: 403, retry_after_s: None }, Times::Always);
        let mut agent = start(&node);
        let line = agent.wait_for_log(&format!("ClusterRole lacks the verb `{verb}` on `nodes`"));
        assert!(line.contains("level=error") && line.contains("node-1"), "{line}");
        assert_eq!(node.lab.kubernetes.taints("node-1").len(), 3);
        node.lab.kubernetes.clear_refusals();
        agent.wait_for_log("took the taint off");
        retire(&mut agent);
    }
}

#[test]
fn an_api_server_in_trouble_is_asked_again() {
    let node = tainted();
    for refusal in [Refusal::Close, Refusal::HalfBody, Refusal::Garbage] {
        node.lab.kubernetes.refuse(On::Get(Kind::Node), refusal, Times::Next(1));
    }
    node.lab.kubernetes.refuse(
        On::Patch(Kind::Node),
        Refusal::Status { code: 409, retry_after_s: None },
        Times::Next(1),
    );
    let mut agent = start(&node);
    agent.wait_for_log("took the taint off");
    retire(&mut agent);
}
