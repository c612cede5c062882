//! The agent and a real API server: `KUBE2IAM_TEST_KUBECONFIG` names a kubeconfig whose user may do everything.
//!
//! With kind:
//!
//! ```sh
//! kind create cluster --name kube2iam --kubeconfig /tmp/kube2iam.kubeconfig
//! KUBE2IAM_TEST_KUBECONFIG=/tmp/kube2iam.kubeconfig cargo test --test cluster
//! kind delete cluster --name kube2iam
//! ```
//!
//! Or with a bare server beside etcd, authorization by RBAC, no controllers, no nodes: all that is needed is the API.
//! STS, the metadata service and the pods' clients are stand-ins on loopback. No kubelet runs the pods of the scenes: they
//! name a scheduler that isn't there, and what a kubelet would tell of them, phase and address, is written to
//! `pods/status` by the test. What is created has a name that begins with `kube2iam-test-`, and is deleted at the end.
//!
//! The kubeconfig must have what the agent takes (no `exec`, no `auth-provider`) and paths in it must be absolute. Cutting
//! the watch needs a server at a loopback address, as kind's is; elsewhere that scene says so and is left out.
//!
//! Without the variable the scenes run against the stand-in alone, over the same HTTP.

#![allow(
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails loudly and has a clock of its own, and uses a part of what it shares with others"
)]

mod api;
mod beside_pods;
#[path = "../chaos/random.rs"]
mod random;
#[path = "../chaos/relay.rs"]
mod relay;
mod rights;
mod scenes;
mod stage;
#[path = "../standins/mod.rs"]
mod standins;

use std::io::Write;

use stage::{Cluster, Stage};

/// Names the kubeconfig of a cluster that may be written to.
const WISH: &str = "KUBE2IAM_TEST_KUBECONFIG";

/// A scene, and what it shows.
type Scene = (&'static str, fn(&Stage));

const SCENES: [Scene; 11] = [
    ("role by annotation", scenes::role_by_annotation),
    ("another annotation", scenes::another_annotation),
    ("namespace restrictions change", scenes::restrictions_change),
    ("a finished pod", scenes::finished_pod),
    ("an address used again", scenes::address_used_again),
    ("more pods than a page holds", scenes::more_than_a_page),
    ("the watch is cut", scenes::watch_is_cut),
    ("no rights", rights::no_rights),
    ("a service account's role", beside_pods::service_accounts_role),
    ("an Event on a refused pod", beside_pods::event_on_a_refused_pod),
    ("a node's taint", beside_pods::nodes_taint),
];

fn play(cluster: &Cluster) {
    for (number, (name, scene)) in SCENES.iter().enumerate() {
        println!("scene: {name}");
        scene(&Stage::set(cluster, number));
    }
}

#[test]
fn scenes_on_the_stand_in() {
    play(&Cluster::StandIn);
}

#[test]
fn scenes_on_a_cluster() {
    match std::env::var_os(WISH) {
        Some(path) => play(&Cluster::Given(path.into())),
        // Past the capture of test output: it must be heard. No machine is asked to have a cluster, CI's neither.
        None => drop(writeln!(
            std::io::stderr().lock(),
            "\nSKIPPED, not tested here: the scenes on a real API server ({WISH} isn't set)\n"
        )),
    }
}
