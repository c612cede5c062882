//! Stand-ins for everything the agent talks to: the Kubernetes API, STS and the EC2 metadata service; the agent itself
//! as a child process, and a client that speaks as any pod. Shared by the tests and by the playground.
//!
//! Each listens on 127.0.0.1 at a port of its own, in threads of this process, and ends when dropped. Pods are told
//! apart by loopback address: a client that binds 127.0.0.7 is the pod with that address.

#![allow(dead_code, reason = "every test uses another part")]
#![allow(unreachable_pub, reason = "a module of many test crates")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "this is the test's side: it fails loudly, has threads and a clock of its own"
)]

pub mod agent;
pub mod client;
pub mod exchange;
pub mod hostile;
pub mod kubernetes;
pub mod metadata;
pub mod ports;
pub mod process;
pub mod random;
pub mod sts;
pub mod wire;

use std::time::Duration;

use agent::{Agent, Setup};
use kubernetes::{ISSUER, Kubernetes};
use metadata::Metadata;
use sts::{IdentityProvider, Sts};

/// All three stand-ins, and how an agent is started among them.
pub struct Lab {
    pub kubernetes: Kubernetes,
    pub sts: Sts,
    pub metadata: Metadata,
}

impl Lab {
    pub fn start() -> Self {
        Self { kubernetes: Kubernetes::start(), sts: Sts::start(STS_CANARY), metadata: Metadata::start() }
    }

    /// Starts the agent with further flags and waits until it is ready.
    pub fn agent(&self, flags: &[&str]) -> Agent {
        self.setup().flags(flags).start()
    }

    /// The agent as it would be started, to be changed before it is.
    pub fn setup(&self) -> Setup {
        self.configure(Setup::of(agent::test_binary()))
    }

    /// Points a program at these stand-ins.
    pub fn configure(&self, program: Setup) -> Setup {
        let metadata = self.metadata.address();
        program
            .flags(&[
                &format!("--api-server={}", self.kubernetes.url()),
                &format!("--api-token={API_TOKEN}"),
                &format!("--metadata-addr={metadata}"),
                // the default path is one for all agents of this machine
                "--control-socket=",
            ])
            .set("AWS_ENDPOINT_URL_STS", &self.sts.url())
            .set("AWS_EC2_METADATA_SERVICE_ENDPOINT", &format!("http://{metadata}"))
            .set("AWS_REGION", "eu-west-1")
            .set("AWS_ACCESS_KEY_ID", "AKIASTANDINNODE00001")
            .set("AWS_SECRET_ACCESS_KEY", ENVIRONMENT_SECRET)
    }

    /// From now on STS takes the tokens of the cluster's issuer that are for one of these audiences, and nobody's
    /// signature. A role trusts a ServiceAccount of the namespace `shop`.
    pub fn take_only_tokens(&self, audiences: &[&str], trusted: &[(&str, &str)]) {
        let subject = |account: &str| format!("system:serviceaccount:shop:{account}");
        self.sts.take_only_tokens(IdentityProvider {
            issuer: ISSUER.to_owned(),
            audiences: audiences.iter().map(|audience| (*audience).to_owned()).collect(),
            verify: self.kubernetes.verifier(),
            trusted: trusted.iter().map(|(role, account)| ((*role).to_owned(), subject(account))).collect(),
        });
    }

    /// All that must never be in a log, as things stand.
    pub fn secrets(&self) -> Vec<String> {
        let mut secrets = self.sts.secrets();
        // As they came, and as parts that would be enough for a new one.
        for token in self.kubernetes.issued_tokens() {
            secrets.extend(token.split('.').skip(1).map(str::to_owned));
        }
        secrets.extend([metadata::NODE_CANARY, ENVIRONMENT_SECRET, API_TOKEN].map(str::to_owned));
        secrets
    }

    /// Fails the test if the agent's log holds any secret.
    pub fn assert_log_is_clean(&self, agent: &Agent) {
        let log = agent.log().join("\n");
        for secret in self.secrets() {
            assert!(!log.contains(&secret), "the log holds the secret `{secret}`:\n{log}");
        }
    }
}

/// How often something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    Next(u32),
    Always,
}

impl Times {
    /// Counts one; true after the last.
    fn spend(&mut self) -> bool {
        match self {
            Self::Always => false,
            Self::Next(left) => {
                *left = left.saturating_sub(1);
                *left == 0
            }
        }
    }
}

/// In every secret that the STS stand-in gives out.
pub const STS_CANARY: &str = "STS-CANARY";
/// The node's own secret when it comes from the environment.
pub const ENVIRONMENT_SECRET: &str = "ENVIRONMENT-CANARY/secret+access+key";
/// The agent's token for the Kubernetes API.
pub const API_TOKEN: &str = "API-TOKEN-CANARY";
/// How long a test waits for what must happen before it fails: much longer than it takes on a machine that does ten other
/// things, shorter than the 30 s after which the agent looks at its redirect and its calls anyway.
pub const PATIENCE: Duration = Duration::from_secs(20);
