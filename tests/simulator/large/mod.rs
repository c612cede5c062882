//! A large cluster, in figures: a share of its nodes with their real caches, a share of the account's quota of STS,
//! a day in virtual time. `manifests/docs/scale.md` holds what comes out.
//!
//! `KUBE2IAM_WRITE_README=1 cargo test --test simulator scale` writes its tables anew.

mod fleet;

use std::fs;
use std::path::{Path, PathBuf};

use fleet::Fleet;

#[derive(Clone, Copy, Debug)]
pub struct Flags {
    pub prefetch: bool,
    pub calls_per_second: f64,
    pub error_ttl_s: Option<u64>,
    pub asked_s: u64,
    pub jitter: bool,
    /// Of the account, for all nodes
    pub quota: Option<u64>,
}

impl Default for Flags {
    fn default() -> Self {
        let asked_s = 3_600;
        Self { prefetch: true, calls_per_second: 10.0, error_ttl_s: None, asked_s, jitter: true, quota: Some(QUOTA) }
    }
}

#[derive(Debug, Default)]
pub struct Tally {
    /// Calls to STS, by the second
    pub per_second: Vec<u64>,
    pub throttled: u64,
    /// Pods that heard 503 at least once
    pub pods_refused: u64,
    /// When every pod had its credentials and every session was there
    pub complete_s: Option<u64>,
    /// Pods that had to work with credentials that had ended
    pub expired: u64,
}

impl Tally {
    pub fn calls_since(&self, second: u64) -> u64 {
        self.per_second[index(second)..].iter().sum()
    }
}

/// What the figures are about.
const NODES: u64 = 5_000;
const PODS_PER_NODE: u64 = 110;
const ROLES_PER_NODE: u64 = 20;
/// STS answers so many calls a second for an account in a region (IAM user guide, "AWS STS request quotas").
const QUOTA: u64 = 600;
/// Nodes that are simulated; each stands for as many of the others.
const SAMPLE: u64 = 50;
const QUIET_SAMPLE: u64 = 10;
const HOUR_S: u64 = 3_600;

#[test]
fn the_page_on_scale_says_of_a_large_cluster_what_the_simulation_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/docs/scale.md");
    let mut page = fs::read_to_string(&path).unwrap();
    let written = std::env::var_os("KUBE2IAM_WRITE_README").is_some();
    for (head, rows) in
        [(STS_HEAD, sts_rows()), (START_HEAD, start_rows()), (JITTER_HEAD, jitter_rows()), (API_HEAD, api_rows())]
    {
        let from = page.find(head).unwrap_or_else(|| panic!("the page has no table `{head}`"));
        let until = page[from..].find("\n\n").map_or(page.len(), |length| from + length + 1);
        let table = format!("{head}{rows}");
        if written {
            page.replace_range(from..until, &table);
        } else {
            assert_eq!(&page[from..until], table, "KUBE2IAM_WRITE_README=1 writes it anew");
        }
    }
    if written {
        fs::write(path, page).unwrap();
    }
}

const STS_HEAD: &str =
    "| in a quiet day | sessions | calls to STS an hour | a second | of the quota |\n|---|---|---|---|---|\n";

fn sts_rows() -> String {
    let rows = [
        ("20 roles on each node", ROLES_PER_NODE, Flags::default()),
        (
            "`--iam-role-session-ttl=2h`, where the roles allow 4 hours",
            ROLES_PER_NODE,
            Flags { asked_s: 14_400, ..Flags::default() },
        ),
        ("`--session-tags`: a session for each pod", PODS_PER_NODE, Flags::default()),
    ];
    let row = |(what, sessions, flags): (&str, u64, Flags)| {
        // So few nodes share so small a quota that chance would exceed it.
        let mut fleet = Fleet::new(QUIET_SAMPLE, sessions, Flags { quota: None, ..flags });
        fleet.begin_warm();
        fleet.run(8 * HOUR_S);
        let calls = fleet.tally().calls_since(4 * HOUR_S) * (NODES / QUIET_SAMPLE) / 4;
        let a_second = calls / HOUR_S;
        let sessions = thousands(sessions * NODES);
        format!("| {what} | {sessions} | {} | {a_second} | {} % |\n", thousands(rounded(calls)), a_second * 100 / QUOTA)
    };
    rows.map(row).concat()
}

const START_HEAD: &str = "| at once | calls in the first second | calls until all is well | refused by STS | all sessions are there after | pods that heard 503 |\n|---|---|---|---|---|---|\n";

fn start_rows() -> String {
    let rows = [
        ("all agents start anew", Start::Agents, Flags::default()),
        ("the same with `--prefetch=false`", Start::Agents, Flags { prefetch: false, ..Flags::default() }),
        ("the same with `--sts-qps=0.1`", Start::Agents, Flags { calls_per_second: 0.1, ..Flags::default() }),
        ("all agents and all pods start", Start::Everything, Flags::default()),
        (
            "the same with `--iam-role-error-ttl=20s`",
            Start::Everything,
            Flags { error_ttl_s: Some(20), ..Flags::default() },
        ),
    ];
    let row = |(what, start, flags): (&str, Start, Flags)| {
        let mut fleet = Fleet::new(SAMPLE, ROLES_PER_NODE, flags);
        match start {
            Start::Agents => fleet.begin_with_pods_that_have_sessions(),
            Start::Everything => fleet.begin_cold(),
        }
        fleet.run(HOUR_S / 2);
        let tally = fleet.tally();
        let complete_s = tally.complete_s.expect("in half an hour all is well");
        let scaled = |count: u64| thousands(rounded(count * (NODES / SAMPLE)));
        format!(
            "| {what} | {} | {} | {} | {} | {} |\n",
            scaled(tally.per_second[0]),
            scaled(tally.per_second.iter().take(index(complete_s) + 1).sum()),
            scaled(tally.throttled),
            span(complete_s),
            scaled(tally.pods_refused),
        )
    };
    rows.map(row).concat()
}

/// What starts at the same moment.
#[derive(Clone, Copy)]
enum Start {
    Agents,
    Everything,
}

const API_HEAD: &str = "| the API server has | with `--node` | without |\n|---|---|---|\n";

fn api_rows() -> String {
    let (watches, pods) = (NODES * 2, NODES * PODS_PER_NODE);
    // Ended by the server after a time that each agent rolls for itself
    let life_s = constant("WATCH_SECONDS") + constant("WATCH_SECONDS_SPREAD") / 2;
    let events = pods * EVENTS_OF_A_POD / DAY_S;
    let rows = [
        ("watches open", thousands(watches), thousands(watches)),
        ("watches opened a second", (watches / life_s).to_string(), (watches / life_s).to_string()),
        ("bookmarks a second, one a minute each", (watches / 60).to_string(), (watches / 60).to_string()),
        ("changes of pods a second, six in a pod's life of a day", events.to_string(), events.to_string()),
        ("lines about pods sent a second", events.to_string(), thousands(events * NODES)),
        ("lines sent for one change of a namespace", thousands(NODES), thousands(NODES)),
        ("pods listed when all agents start", thousands(pods), millions(pods * NODES)),
    ];
    rows.map(|(what, with, without)| format!("| {what} | {with} | {without} |\n")).concat()
}

const EVENTS_OF_A_POD: u64 = 6;
const DAY_S: u64 = 86_400;

/// The value of a constant of the way to the API server.
fn constant(name: &str) -> u64 {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/clients/kubernetes.rs");
    let text = fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once(&format!("const {name}: u64 = ")).expect("the constant is there");
    rest.split_once(';').unwrap().0.parse().unwrap()
}

const JITTER_HEAD: &str = "| renewals a second in the busiest ten, after all sessions were fetched at once | without jitter | as it is |\n|---|---|---|\n";

/// Without the jitter, sessions that were fetched together would be renewed together for ever.
fn jitter_rows() -> String {
    let peaks = |jitter: bool| {
        let mut fleet = Fleet::new(SAMPLE, ROLES_PER_NODE, Flags { jitter, quota: None, ..Flags::default() });
        fleet.begin_cold();
        fleet.run(4 * HOUR_S);
        [(1_200, 2_400), (3 * HOUR_S, 4 * HOUR_S)].map(|(from_s, until_s)| {
            let seconds = &fleet.tally().per_second[index(from_s)..index(until_s)];
            let busiest = seconds.windows(index(BUSY_S)).map(|window| window.iter().sum::<u64>()).max().unwrap();
            busiest * (NODES / SAMPLE) / BUSY_S
        })
    };
    let ([together, always_together], [first, later]) = (peaks(false), peaks(true));
    assert!(together > 4 * first && later < first, "{together} {first} {later}");
    let row = |when: &str, without, with| {
        format!("| {when} | {} | {} |\n", thousands(rounded(without)), thousands(rounded(with)))
    };
    row("the first time", together, first) + &row("after three hours", always_together, later)
}

/// The busiest span of so many seconds counts: single ones of a sample say little.
const BUSY_S: u64 = 10;

#[test]
fn sessions_die_no_sooner_for_a_throttled_account() {
    let mut fleet = Fleet::new(SAMPLE, ROLES_PER_NODE, Flags::default());
    fleet.begin_cold();
    fleet.run(3 * HOUR_S);
    let Tally { complete_s, expired, .. } = fleet.tally();
    assert!(complete_s.is_some() && *expired == 0, "{complete_s:?} {expired}");
}

fn index(value: u64) -> usize {
    usize::try_from(value).unwrap()
}

/// Two digits count; more would only pretend.
fn rounded(count: u64) -> u64 {
    let unit = 10_u64.pow(count.max(1).ilog10().saturating_sub(1));
    (count + unit / 2) / unit * unit
}

fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}

fn millions(count: u64) -> String {
    format!("{} million", thousands(rounded(count) / 1_000_000))
}

fn span(seconds: u64) -> String {
    match seconds {
        0..10 => format!("{seconds} s"),
        10..120 => format!("{} s", rounded(seconds)),
        _ => format!("{} min", (seconds + 30) / 60),
    }
}
