//! Unmodified AWS SDKs behind the agent, the agent before an STS that checks signatures: whoever gets an answer here
//! has signed with working credentials, and the answer says as whom.
//!
//! Needs `python3` with `venv`, and on the first run the indexes of PyPI, npm and crates.io. What is missing is said
//! aloud and left out; with `CI` set that is a failure.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails loudly and has a clock of its own"
)]

#[path = "sdk/carried.rs"]
mod carried;
#[path = "sdk/clients.rs"]
mod clients;
#[path = "sdk/container.rs"]
mod container;
#[path = "sdk/counter.rs"]
mod counter;
#[path = "sdk/expected.rs"]
mod expected;
#[path = "sdk/kit.rs"]
mod kit;
#[path = "sdk/moto.rs"]
mod moto;
#[path = "sdk/passage.rs"]
mod passage;
#[path = "sdk/python.rs"]
mod python;
#[path = "sdk/scenes.rs"]
mod scenes;
#[path = "standins/mod.rs"]
mod standins;
#[path = "sdk/table.rs"]
mod table;
#[path = "tools/mod.rs"]
mod tools;
#[path = "sdk/web_identity.rs"]
mod web_identity;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use clients::{Client, Kits};
use moto::{Moto, Seed};
use scenes::SCENES;
use standins::Lab;
use standins::agent::{Agent, Setup};

/// The SDKs, and what agents are placed among.
struct Site {
    kits: Kits,
    moto: Moto,
    lab: Arc<Lab>,
}

impl Site {
    fn open() -> Option<Self> {
        let kits = Kits::prepare()?;
        let moto = Moto::start(&kits.python, &Seed::roles());
        Some(Self { kits, moto, lab: Arc::new(Lab::start()) })
    }

    /// An agent with the node's key for moto, at `sts`.
    fn setup(&self, sts: &str) -> Setup {
        self.lab
            .setup()
            .flags(&["--base-role-arn=arn:aws:iam::123456789012:role/"])
            .set("AWS_ENDPOINT_URL_STS", sts)
            .set("AWS_ACCESS_KEY_ID", &self.moto.access_key_id)
            .set("AWS_SECRET_ACCESS_KEY", &self.moto.secret_access_key)
    }

    fn assert_log_is_clean(&self, agent: &Agent) {
        self.lab.assert_log_is_clean(agent);
        let log = agent.log().join("\n");
        assert!(!log.contains(&self.moto.secret_access_key), "the log holds the node's secret:\n{log}");
    }

    /// Plays every scene with every SDK that is here, some at a time.
    fn play_all(&self) -> Vec<Told> {
        let here = Client::ALL.into_iter().filter(|client| self.kits.have(*client));
        let jobs: Vec<_> = here.flat_map(|client| (0..SCENES.len()).map(move |scene| (scene, client))).collect();
        let (next, told) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..AT_A_TIME {
                scope.spawn(|| {
                    while let Some(&(scene, client)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let text = scenes::play(self, scene, client);
                        told.lock().push(Told { scene, client, text });
                    }
                });
            }
        });
        told.into_inner()
    }
}

/// How a scene went with an SDK.
struct Told {
    scene: usize,
    client: Client,
    text: String,
}

#[test]
fn every_sdk_does_what_is_expected_in_every_scene() {
    let Some(site) = Site::open() else { return };
    let told = site.play_all();
    let faults: Vec<String> = told.iter().filter_map(expected::fault).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    if Client::ALL.into_iter().all(|client| site.kits.have(client)) {
        table::compare(&told);
    }
}

/// Without this, all the others would prove little.
#[test]
fn a_wrong_signature_is_refused_here() {
    let Some(site) = Site::open() else { return };
    let moto = &site.moto;
    for client in Client::ALL.into_iter().filter(|client| site.kits.have(*client)) {
        let ask = |secret| site.kits.start_with_key(client, &moto.url(), &moto.access_key_id, secret).who();
        let refused = ask("wrong");
        assert!(refused.contains("SignatureDoesNotMatch"), "{client:?}: {refused}");
        assert_eq!(ask(&moto.secret_access_key), "arn:aws:iam::123456789012:user/node", "{client:?}");
    }
}

const AT_A_TIME: usize = 3;
