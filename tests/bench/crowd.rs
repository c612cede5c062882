//! A node that starts: a thousand pods with a hundred roles ask at the same time.

use std::time::Instant;

use crate::report::{Report, Target};
use crate::standins::Lab;
use crate::standins::client::{Ask, Connection};
use crate::standins::kubernetes::PodSpec;
use crate::subject::{address, setup};

pub fn run(report: &mut Report) {
    let lab = Lab::start();
    for index in 0..PODS {
        let pod = PodSpec::new("default", &format!("pod-{index}")).ip(&address(index));
        lab.kubernetes.add_pod(pod.role(&format!("role-{}", index % ROLES)));
    }
    let agent = setup(&lab).flags(&["--prefetch=false"]).start();
    let began = Instant::now();
    let asked: Vec<Connection> = (0..PODS).map(|index| ask(&agent, index)).collect();
    let answers: Vec<u16> = asked.into_iter().map(|mut asked| asked.read_answer().unwrap().status).collect();
    let took = began.elapsed();
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    let calls = lab.sts.calls().iter().filter(|call| call.action == "AssumeRole").count();
    #[allow(clippy::cast_precision_loss, reason = "a hundred or so")]
    report.number("1,000 pods of 100 roles at once: calls to STS", calls as f64, "", Target::AtMost(100.0));
    report.number("all of them answered after", took.as_secs_f64() * 1e3, "ms", Target::None);
}

fn ask(agent: &crate::standins::agent::Agent, index: usize) -> Connection {
    let mut connection = Connection::open(agent.addr(), &address(index));
    let path = format!("/latest/meta-data/iam/security-credentials/role-{}", index % ROLES);
    connection.send(&Ask::get(&path).to_bytes());
    connection
}

const PODS: usize = 1_000;
const ROLES: usize = 100;
