//! The lab with the real agent on its node, among stand-ins for the API server and STS, which listen on the node's
//! loopback. Pod n has the role `app-n`. The agent has the one capability that it asks for in a cluster.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;

use crate::lab::Lab;
use crate::standins::agent::{Agent, Outcome, Setup, test_binary};
use crate::standins::client::{Answer, Ask};
use crate::standins::kubernetes::PodSpec;
use crate::standins::{self, sts::Grant};

/// Where the agent listens, on the node.
pub(crate) const PORT: u16 = 8181;
pub(crate) const ROLE_LIST: &str = "/latest/meta-data/iam/security-credentials/";

pub(crate) struct Site {
    lab: Lab,
    /// `None` only while it is dropped.
    standins: Option<standins::Lab>,
}

/// What a process may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capability {
    NetAdmin,
    Nothing,
}

impl Site {
    pub(crate) fn new(interfaces: &[&str]) -> Self {
        let lab = Lab::new(interfaces);
        let standins = lab.node(standins::Lab::start);
        for number in 1..=interfaces.len() {
            let pod = PodSpec::new("default", &format!("pod{number}")).role(&format!("app-{number}"));
            standins.kubernetes.add_pod(pod.ip(&v4(number)).ip(&v6(number)));
        }
        Self { lab, standins: Some(standins) }
    }

    pub(crate) fn standins(&self) -> &standins::Lab {
        self.standins.as_ref().unwrap()
    }

    /// The agent as it runs in a cluster.
    pub(crate) fn setup(&self, capability: Capability) -> Setup {
        let program = self.standins().configure(confined(capability));
        program.flags(&["--iptables", "--base-role-arn=arn:aws:iam::123456789012:role/"]).port(PORT)
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn agent(&self, flags: &[&str]) -> Agent {
        self.start(self.setup(Capability::NetAdmin).flags(flags))
    }

    pub(crate) fn start(&self, setup: Setup) -> Agent {
        self.lab.node(|| setup.start())
    }

    /// A command of the binary, run on the node to its end.
    pub(crate) fn command(&self, words: &[&str]) -> Outcome {
        self.lab.node(|| confined(Capability::NetAdmin).flags(words).run())
    }

    /// Pod `number` asks the metadata service.
    pub(crate) fn send(&self, number: usize, metadata: &str, ask: &Ask) -> Answer {
        let metadata: SocketAddr = metadata.parse().unwrap();
        let own = if metadata.is_ipv4() { v4(number) } else { v6(number) };
        self.lab.inside(&format!("pod{number}"), || ask.send(metadata, &own))
    }

    /// What the agent tells those on its own node.
    pub(crate) fn page(&self, path: &str) -> Answer {
        self.lab.node(|| Ask::get(path).host("localhost").send(SocketAddr::from(([127, 0, 0, 1], PORT)), "127.0.0.1"))
    }

    pub(crate) fn role_of(&self, number: usize, metadata: &str) -> String {
        self.send(number, metadata, &Ask::get(ROLE_LIST)).text()
    }

    /// What STS gave out for the role of pod `number`, the last time.
    pub(crate) fn grant(&self, number: usize) -> Grant {
        let role = format!("arn:aws:iam::123456789012:role/app-{number}");
        let calls = self.standins().sts.calls();
        let mut grants = calls.into_iter().filter(|call| call.field("RoleArn") == role).filter_map(|call| call.granted);
        grants.next_back().unwrap_or_else(|| panic!("{role} was never assumed"))
    }
}

/// The binary with at most that capability; its flags follow.
pub(crate) fn confined(capability: Capability) -> Setup {
    let bounds = match capability {
        Capability::NetAdmin => "--bounding-set=-all,+net_admin",
        Capability::Nothing => "--bounding-set=-all",
    };
    let binary = test_binary().to_str().unwrap();
    Setup::of(Path::new("/usr/bin/setpriv")).flags(&[bounds, "--inh-caps=-all", "--ambient-caps=-all", binary])
}

pub(crate) fn v4(number: usize) -> String {
    format!("10.{}.0.2", 80 + number)
}

pub(crate) fn v6(number: usize) -> String {
    format!("fd{}::2", 80 + number)
}

impl Deref for Site {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.lab
    }
}

/// The stand-ins wake their own threads by a connection, which finds them on the node only.
impl Drop for Site {
    fn drop(&mut self) {
        let standins = self.standins.take();
        self.lab.node(move || drop(standins));
    }
}
