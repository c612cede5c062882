//! Many pods at once.

use super::standins::Lab;
use super::standins::client::{Ask, Connection};
use super::{BASE, key_id, pod};

const PODS: usize = 1_000;
const ROLES: usize = 100;

fn address(pod: usize) -> String {
    format!("127.1.{}.{}", pod / 250, pod % 250 + 1)
}

/// Sends a request without waiting for its answer.
fn ask(agent: &super::Agent, pod: usize, role: usize) -> Connection {
    let mut connection = Connection::open(agent.addr(), &address(pod));
    connection.send(&Ask::get(&format!("/latest/meta-data/iam/security-credentials/r{role}")).to_bytes());
    connection
}

#[test]
fn a_thousand_pods_of_a_hundred_roles_make_a_hundred_calls() {
    let lab = Lab::start();
    (0..PODS).for_each(|index| {
        lab.kubernetes.add_pod(pod(&format!("p{index}"), &address(index), &format!("r{}", index % ROLES)));
    });
    let agent = lab.agent(&[BASE]);
    let open: Vec<Connection> = (0..PODS).map(|index| ask(&agent, index, index % ROLES)).collect();
    let answers: Vec<_> = open.into_iter().map(|mut connection| connection.read_answer().unwrap()).collect();
    let mut keys: Vec<Vec<String>> = vec![Vec::new(); ROLES];
    for (index, answer) in answers.iter().enumerate() {
        assert_eq!(answer.status, 200, "{}", answer.text());
        keys[index % ROLES].push(answer.json()["AccessKeyId"].to_string());
    }
    assert!(keys.iter().all(|of_role| of_role.iter().all(|key| *key == of_role[0])));
    let calls = lab.sts.calls().iter().filter(|call| call.action == "AssumeRole").count();
    assert_eq!(calls, ROLES);
    assert!(lab.sts.max_in_flight() <= 9, "{} calls at a time, one of them about the caller", lab.sts.max_in_flight());
}

#[test]
fn answers_from_memory_pass_those_who_wait_for_sts() {
    let lab = Lab::start();
    (0..40).for_each(|index| {
        lab.kubernetes.add_pod(pod(&format!("p{index}"), &address(index), &format!("r{index}")));
    });
    let agent = lab.agent(&[BASE]);
    let held = key_id(&agent, &address(0), "r0");
    // The call about the agent's own role must not be counted among those that wait.
    agent.wait_for_log("calls to STS are made as");
    lab.sts.hold();
    let mut waiting: Vec<Connection> = (1..40).map(|index| ask(&agent, index, index)).collect();
    lab.sts.wait_in_flight(8);
    (0..20).for_each(|_| assert_eq!(key_id(&agent, &address(0), "r0"), held));
    lab.sts.release();
    for connection in &mut waiting {
        let answer = connection.read_answer().unwrap();
        assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
    }
    (1..40).for_each(|index| drop(key_id(&agent, &address(index), &format!("r{index}"))));
}
