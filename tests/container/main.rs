//! Container credentials of the real binary: what pods get that show a token, and where tokens and keys go.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails loudly and has a clock of its own"
)]

mod keys;
mod operator;
mod secrets;
mod shares;
#[path = "../standins/mod.rs"]
mod standins;
mod web_identity;

use std::net::SocketAddr;

use standins::Lab;
use standins::agent::Agent;
use standins::client::{Answer, Ask};
use standins::kubernetes::{Kind, PodSpec};

/// The pod `shop/web` with the role `web` is at [`POD`], `shop/other` at [`OTHER`]; two are on the node's network.
pub struct Site {
    pub lab: Lab,
}

impl Site {
    pub fn open() -> Self {
        let lab = Lab::start();
        for (name, address) in [("web", POD), ("other", OTHER)] {
            lab.kubernetes.add_pod(PodSpec::new("shop", name).ip(address).role(name));
        }
        for name in ["host-1", "host-2"] {
            lab.kubernetes.add_pod(PodSpec::new("shop", name).ip(NODE).role(name).host_network());
        }
        lab.kubernetes.add_namespace("shop", &[]);
        Self { lab }
    }

    pub fn agent(&self, flags: &[&str]) -> Agent {
        self.lab.setup().flags(&["--container-credentials", BASE]).flags(flags).start()
    }
}

/// Asks as SDKs do.
pub fn ask(agent: SocketAddr, token: &str, from: &str) -> Answer {
    request(token).send(agent, from)
}

pub fn request(token: &str) -> Ask {
    Ask::get("/v1/credentials").host("127.0.0.1:8181").header("Authorization", token)
}

/// The status, and the role or the reason.
pub fn outcome(answer: &Answer) -> (u16, String) {
    let body = answer.json();
    let role = body["RoleArn"].as_str().and_then(|arn| arn.rsplit('/').next());
    (answer.status, role.or(body["code"].as_str()).unwrap_or_default().to_owned())
}

#[test]
fn pods_of_the_nodes_network_are_told_apart_by_their_tokens() {
    let site = Site::open();
    let agent = site.agent(&[]);
    for name in ["host-1", "host-2"] {
        let answer = ask(agent.addr(), &site.lab.kubernetes.token("shop", name), NODE);
        assert_eq!(outcome(&answer), (200, name.to_owned()));
    }
    site.lab.assert_log_is_clean(&agent);
}

#[test]
fn a_token_ends_with_its_pod() {
    let site = Site::open();
    let agent = site.agent(&[]);
    let token = site.lab.kubernetes.token("shop", "web");
    assert_eq!(outcome(&ask(agent.addr(), &token, POD)), (200, "web".to_owned()));
    let old = site.lab.kubernetes.claims("shop", "web");
    site.lab.kubernetes.delete_pod("shop", "web");
    site.lab.kubernetes.add_pod(PodSpec::new("shop", "web").ip(POD).role("web"));
    assert_ne!(site.lab.kubernetes.claims("shop", "web")["kubernetes.io"], old["kubernetes.io"]);
    // The token of the new pod waits for it, and by then the old one is known to be gone.
    let anew = site.lab.kubernetes.token("shop", "web");
    assert_eq!(outcome(&ask(agent.addr(), &anew, POD)), (200, "web".to_owned()));
    assert_eq!(outcome(&ask(agent.addr(), &token, POD)), (403, "token_pod_mismatch".to_owned()));
    assert_eq!(site.lab.kubernetes.open_watches(Kind::Pod), 1);
}

pub const POD: &str = "127.0.9.1";
pub const OTHER: &str = "127.0.9.2";
pub const NODE: &str = "127.0.0.1";
pub const BASE: &str = "--base-role-arn=arn:aws:iam::123456789012:role/";
