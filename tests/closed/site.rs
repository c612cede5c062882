//! An agent among stand-ins, with pods to ask as.

use std::net::SocketAddr;

use crate::standins::Lab;
use crate::standins::agent::Agent;
use crate::standins::client::{self, Answer, Ask};
use crate::standins::kubernetes::PodSpec;

/// The pod `default/web` with the role `app` is at [`POD`]; nobody is at [`NOBODY`].
pub struct Site {
    pub lab: Lab,
    pub agent: Agent,
}

impl Site {
    pub fn open(flags: &[&str]) -> Self {
        let lab = Lab::start();
        lab.kubernetes.add_pod(PodSpec::new("default", "web").ip(POD).role("app"));
        let agent = lab.setup().flags(&[BASE]).flags(flags).start();
        Self { lab, agent }
    }

    pub fn addr(&self) -> SocketAddr {
        self.agent.addr()
    }

    pub fn get(&self, path: &str) -> Answer {
        client::get(self.addr(), POD, path)
    }

    pub fn ask(&self, ask: &Ask) -> Answer {
        ask.send(self.addr(), POD)
    }

    /// The value of a metric, by its name with labels.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let page = client::get_as_operator(self.addr(), "/metrics").text();
        page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// How often something was fetched of the metadata service, in whatever spelling.
    pub fn fetched(&self, path: &str) -> usize {
        self.lab.metadata.seen().iter().filter(|seen| seen.method != "PUT" && seen.path() == path).count()
    }
}

pub const POD: &str = "127.0.0.7";
pub const NOBODY: &str = "127.0.0.99";
pub const BASE: &str = "--base-role-arn=arn:aws:iam::123456789012:role/";
pub const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
pub const OWN: &str = "/latest/meta-data/iam/security-credentials/app";
pub const REGION: &str = "/latest/meta-data/placement/region";
