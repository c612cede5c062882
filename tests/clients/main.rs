//! Unmodified clients, as Debian, PyPI and npm carry them, in pods: each finds its own credentials at 169.254.169.254
//! through the real redirect, and opens the one bucket that its pod's role may open. moto plays AWS and checks every
//! signature and policy.
//!
//! Runs where `CI` or `KUBE2IAM_TEST_CLIENTS` is set. Needs root, the tools of the redirect's tests, and the clients.
//! What is missing prints SKIPPED; with `CI` set that is a failure.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test fails loudly and has a clock of its own"
)]

mod asked;
mod catalogue;
#[path = "../sdk/kit.rs"]
mod kit;
mod kits;
#[allow(dead_code, reason = "the tests of the redirect use the rest")]
#[path = "../redirect/lab.rs"]
mod lab;
#[path = "../sdk/moto.rs"]
mod moto;
#[path = "../sdk/python.rs"]
mod python;
#[allow(dead_code, reason = "the tests of the redirect use the rest")]
#[path = "../redirect/site.rs"]
mod site;
#[path = "../standins/mod.rs"]
mod standins;
mod table;
#[path = "../tools/mod.rs"]
mod tools;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use asked::Asked;
use catalogue::CLIENTS;
use kits::Kits;
use lab::METADATA_V4;
use moto::{Moto, Seed};
use site::{Capability, Site};
use standins::agent::Agent;
use standins::client::Ask;
use standins::process::run_well;
use tools::{empty_dir, must_not_skip, skip};

/// What is asked, and answered, of one client's pod.
pub struct Row {
    pub client: usize,
    pub asked: Vec<Asked>,
}

/// A pod for each client, and AWS in the cloud.
struct World {
    kits: Kits,
    site: Site,
    /// `None` only while it is dropped.
    moto: Option<Moto>,
}

impl World {
    fn start() -> Option<Self> {
        if !must_not_skip() && std::env::var_os(WISH).is_none() {
            skip(&format!("further clients (250 MB from PyPI and npm; set {WISH}=1)"));
            return None;
        }
        if !lab::ready() {
            return None;
        }
        let kits = Kits::prepare()?;
        let interfaces: Vec<String> = (1..=CLIENTS.len()).map(|number| format!("cali{number}")).collect();
        let site = Site::new(&interfaces.iter().map(String::as_str).collect::<Vec<_>>());
        let seed = Seed {
            host: Ipv4Addr::new(10, 77, 0, 1),
            script: "clients/seed.py",
            arguments: vec![CLIENTS.len().to_string()],
            actions: 3 + 4 * CLIENTS.len(),
        };
        let moto = site.inside("cloud", || Moto::start(&kits.python, &seed));
        Some(Self { kits, site, moto: Some(moto) })
    }

    fn moto(&self) -> &Moto {
        self.moto.as_ref().unwrap()
    }

    fn agent(&self) -> Agent {
        let setup = self.site.setup(Capability::NetAdmin);
        let setup = setup
            .set("AWS_ENDPOINT_URL_STS", &self.moto().url())
            .set("AWS_ACCESS_KEY_ID", &self.moto().access_key_id)
            .set("AWS_SECRET_ACCESS_KEY", &self.moto().secret_access_key);
        self.site.start(setup)
    }

    /// Runs a client in its pod on the bucket of that number.
    fn run(&self, client: usize, bucket: usize) -> Result<String, String> {
        let number = client + 1;
        let mut command = self.kits.command(&CLIENTS[client]);
        let home: PathBuf = empty_dir(&format!("client-{number}-{bucket}"));
        command
            .env("HOME", &home)
            .env("HOST", self.moto().address().to_string())
            .env("BUCKET", format!("bucket-{bucket}"))
            .env("OBJECT", format!("book-{bucket}.csv"))
            .envs([("AWS_REGION", "us-east-1"), ("AWS_DEFAULT_REGION", "us-east-1")]);
        self.site.inside(&format!("pod{number}"), || run_well(command.current_dir(&home), LIMIT))
    }

    /// Runs every client that is here, some at a time, and gives those with what was wrong.
    fn run_all(&self, agent: &Agent) -> (Vec<usize>, Vec<String>) {
        let here: Vec<usize> = (0..CLIENTS.len()).filter(|client| self.kits.have(&CLIENTS[*client])).collect();
        let (next, faults) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..AT_A_TIME {
                scope.spawn(|| {
                    while let Some(client) = here.get(next.fetch_add(1, Ordering::Relaxed)) {
                        faults.lock().extend(self.fault(*client, agent));
                    }
                });
            }
        });
        (here, faults.into_inner())
    }

    fn fault(&self, client: usize, agent: &Agent) -> Option<String> {
        let number = client + 1;
        let wanted = CLIENTS[client].proof.replace('N', &number.to_string());
        let name = CLIENTS[client].name;
        match self.run(client, number) {
            Ok(printed) if printed.contains(&wanted) => None,
            Ok(printed) => Some(format!("{name} doesn't print `{wanted}`: {printed}")),
            Err(cause) => {
                let asked = asked::of(&agent.log(), &site::v4(number));
                Some(format!("{name}: {cause}; it asked: {}", asked::text(&asked)))
            }
        }
    }

    /// The agent's log of all that was asked up to now: its lines come in the order of the requests' ends.
    fn whole_log(&self, agent: &Agent) -> Vec<String> {
        let last = "/latest/meta-data/the-last-request";
        self.site.send(1, METADATA_V4, &Ask::get(last));
        agent.wait_for_log(last);
        agent.log().into_iter().take_while(|line| !line.contains(last)).collect()
    }
}

/// Its threads and children listen in namespaces of the site.
impl Drop for World {
    fn drop(&mut self) {
        let moto = self.moto.take();
        self.site.inside("cloud", move || drop(moto));
    }
}

#[test]
fn unmodified_clients_open_their_pods_bucket_through_the_redirect_and_no_other() {
    let Some(world) = World::start() else { return };
    let agent = world.agent();
    let (here, faults) = world.run_all(&agent);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let log = world.whole_log(&agent);
    let rows: Vec<Row> =
        here.iter().map(|&client| Row { client, asked: asked::of(&log, &site::v4(client + 1)) }).collect();
    if let Some(&client) = here.iter().find(|&&client| CLIENTS[client].proof.contains("book")) {
        let other = world.run(client, 1 + (client + 1) % CLIENTS.len());
        assert!(other.is_err(), "{} opens another pod's bucket: {other:?}", CLIENTS[client].name);
    }
    world.site.standins().assert_log_is_clean(&agent);
    assert!(!log.join("\n").contains(&world.moto().secret_access_key), "the log holds the node's secret");
    if rows.len() == CLIENTS.len() {
        table::compare(&rows);
    }
}

/// Lets it run where `CI` isn't set.
const WISH: &str = "KUBE2IAM_TEST_CLIENTS";
/// A client that starts cold on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);
const AT_A_TIME: usize = 3;
