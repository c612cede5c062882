//! The agent that is measured, among stand-ins.

use std::path::PathBuf;

use crate::standins::Lab;
use crate::standins::agent::{Agent, Setup, test_binary};
use crate::standins::client::get;
use crate::standins::kubernetes::PodSpec;

pub const BASE: &str = "--base-role-arn=arn:aws:iam::123456789012:role/";
/// Where wrk speaks from.
pub const FIRST_POD: &str = "127.0.0.1";
pub const DOCUMENT: &str = "/latest/meta-data/iam/security-credentials/app";

/// The binary to measure.
pub fn binary() -> PathBuf {
    std::env::var_os("KUBE2IAM_BENCH_BINARY").map_or_else(|| test_binary().to_owned(), PathBuf::from)
}

/// An agent to be, whose log nobody reads: reading it costs more than writing it.
pub fn setup(lab: &Lab) -> Setup {
    lab.configure(Setup::of(&binary())).flags(&[BASE, "--node=node-1"]).no_trace()
}

/// So many pods on the node, the first of them at [`FIRST_POD`] with the role `app`; every second one has a role.
pub fn populate(lab: &Lab, pods: usize) {
    lab.kubernetes.add_pod(PodSpec::new("default", "first").ip(FIRST_POD).role("app"));
    for index in 1..pods {
        lab.kubernetes.add_pod(pod(index));
    }
}

/// The pod with this number, from 1.
pub fn pod(index: usize) -> PodSpec {
    let pod = PodSpec::new("default", &format!("pod-{index}")).ip(&address(index));
    if index.is_multiple_of(2) { pod.role(&format!("role-{}", index % 100)) } else { pod }
}

/// The address of the pod with this number: all of 127.1/16 and on.
pub fn address(index: usize) -> String {
    format!("127.{}.{}.{}", 1 + index / 50_000, index / 200 % 250, index % 200 + 1)
}

/// A running agent whose first pod's credentials are held.
pub fn serving(lab: &Lab, pods: usize) -> Agent {
    populate(lab, pods);
    let agent = setup(lab).start();
    let answer = get(agent.addr(), FIRST_POD, DOCUMENT);
    assert_eq!(answer.status, 200, "{}", answer.text());
    agent
}
