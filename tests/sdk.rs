//! Unmodified AWS SDKs behind the agent, the agent before an STS that checks signatures: whoever gets an answer here
//! has signed with working credentials, and the answer says as whom.
//!
//! Needs `python3` with `venv`, and a package index for the first run; see `sdk/python.rs` for machines without.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails loudly and has a clock of its own"
)]

#[path = "sdk/carried.rs"]
mod carried;
#[path = "sdk/moto.rs"]
mod moto;
#[path = "sdk/python.rs"]
mod python;
#[path = "standins/mod.rs"]
mod standins;

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use moto::Moto;
use python::Python;
use standins::Lab;
use standins::agent::Agent;
use standins::client::Ask;
use standins::exchange::Reply;
use standins::kubernetes::PodSpec;
use standins::process::run_well;
use standins::wire::Wire;

/// A pod at 127.0.0.1, where the SDKs here speak from, with the role `app`.
struct Site {
    python: Python,
    moto: Moto,
    lab: Lab,
    agent: Agent,
}

impl Site {
    fn open() -> Option<Self> {
        let python = Python::prepare()?;
        let moto = Moto::start(&python);
        let lab = Lab::start();
        lab.kubernetes.add_pod(PodSpec::new("default", "sdk").ip("127.0.0.1").role("app"));
        let agent = lab
            .setup()
            .flags(&["--base-role-arn=arn:aws:iam::123456789012:role/"])
            .set("AWS_ENDPOINT_URL_STS", &moto.url())
            .set("AWS_ACCESS_KEY_ID", &moto.access_key_id)
            .set("AWS_SECRET_ACCESS_KEY", &moto.secret_access_key)
            .start();
        Some(Self { python, moto, lab, agent })
    }

    /// A program of a pod: it knows where metadata and STS are, nothing else.
    fn program(&self, name: &str, metadata: SocketAddr) -> Command {
        let mut command = self.python.command(name);
        command
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{metadata}"))
            .env("AWS_ENDPOINT_URL", self.moto.url())
            .env("AWS_DEFAULT_REGION", "eu-west-1");
        command
    }

    fn boto3(&self, metadata: SocketAddr) -> Command {
        let mut command = self.program("python", metadata);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/who_am_i.py"));
        command
    }

    fn aws_cli(&self, metadata: SocketAddr) -> Command {
        let mut command = self.program("aws", metadata);
        command.args(["sts", "get-caller-identity", "--query", "Arn", "--output", "text"]);
        command
    }

    fn assert_is_pod(&self, command: &mut Command) {
        let arn = run_well(command, SDK_LIMIT)
            .unwrap_or_else(|cause| panic!("{cause}\nthe agent's log:\n{}", self.agent.log().join("\n")));
        assert!(arn.starts_with("arn:aws:sts::123456789012:assumed-role/app/"), "landed in `{arn}`");
    }

    fn assert_log_is_clean(&self) {
        self.lab.assert_log_is_clean(&self.agent);
        let log = self.agent.log().join("\n");
        assert!(!log.contains(&self.moto.secret_access_key), "the log holds the node's secret:\n{log}");
    }
}

/// A way to the agent that refuses token requests as the first version of the protocol does, so that an SDK has to
/// speak it.
fn first_version_only(agent: SocketAddr) -> (Wire, Arc<AtomicUsize>) {
    let refused = Arc::new(AtomicUsize::new(0));
    let counter = refused.clone();
    let wire = Wire::start("v1", move |exchange| {
        if exchange.method() != "GET" {
            counter.fetch_add(1, Ordering::Relaxed);
            return exchange.answer(Reply::new(405, "text/plain", ""));
        }
        let answer = Ask::get(exchange.target()).send(agent, "127.0.0.1");
        exchange.answer(Reply::new(answer.status, "text/plain", answer.body));
    });
    (wire, refused)
}

fn check_both_versions(site: &Site, program: impl Fn(&Site, SocketAddr) -> Command) {
    let agent = site.agent.addr();
    site.assert_is_pod(program(site, agent).env("AWS_EC2_METADATA_V1_DISABLED", "true"));
    let (first, refused) = first_version_only(agent);
    site.assert_is_pod(&mut program(site, first.address()));
    assert!(refused.load(Ordering::Relaxed) > 0, "the SDK never asked for a token");
    site.assert_log_is_clean();
}

#[test]
fn boto3_lands_in_the_pods_role() {
    let Some(site) = Site::open() else { return };
    check_both_versions(&site, Site::boto3);
}

#[test]
fn aws_cli_lands_in_the_pods_role() {
    let Some(site) = Site::open() else { return };
    check_both_versions(&site, Site::aws_cli);
}

/// Without this, the two above would prove little.
#[test]
fn a_wrong_signature_is_refused_here() {
    let Some(python) = Python::prepare() else { return };
    let moto = Moto::start(&python);
    let ask = |secret: &str| {
        let mut command = python.command("aws");
        command.args(["sts", "get-caller-identity"]).env("AWS_ENDPOINT_URL", moto.url());
        command.env("AWS_ACCESS_KEY_ID", &moto.access_key_id).env("AWS_SECRET_ACCESS_KEY", secret);
        run_well(command.env("AWS_DEFAULT_REGION", "eu-west-1"), SDK_LIMIT)
    };
    assert!(ask("wrong").unwrap_err().contains("SignatureDoesNotMatch"));
    assert!(ask(&moto.secret_access_key).is_ok());
}

/// An SDK that starts cold on a busy machine.
const SDK_LIMIT: Duration = Duration::from_secs(60);
