//! A long time of all that is usual: pods that come and go, ask well and badly, sessions that end, watches that are cut.
//! Memory, descriptors and threads stay where they were.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clients::{Clients, Silence, try_get};
use super::limits::{descriptors, status};
use super::random::{self, Random};
use super::site::{Pod, Site, crowd};
use super::standins::agent::Agent;

/// So many seconds, if this is set.
const WISH: &str = "KUBE2IAM_LONG_RUN_S";
const USUAL: Duration = Duration::from_secs(8);
/// Pods that stay and ask, and pods that are there for a while.
const LASTING: usize = 4;
const PASSING: usize = 60;
/// How many passing pods there are in all: names, roles and addresses come again.
const NAMES: u64 = 240;
const TICK: Duration = Duration::from_millis(50);

/// What an agent holds.
#[derive(Clone, Copy, Debug)]
struct Holding {
    memory_kib: u64,
    descriptors: u64,
    threads: u64,
}

impl Holding {
    fn of(agent: &Agent) -> Self {
        let (memory_kib, threads) = (status(agent, "VmRSS"), status(agent, "Threads"));
        Self { memory_kib, descriptors: descriptors(agent).unwrap_or(0), threads }
    }
}

#[test]
fn memory_descriptors_and_threads_stay_flat() {
    let wish = std::env::var(WISH).ok().and_then(|text| text.parse().ok());
    let length = wish.map_or(USUAL, Duration::from_secs);
    let mut random = random::of_run();
    let site = Arc::new(Site::set_up(&mut random));
    let lasting = site.add_pods(LASTING);
    let mut agent = site.setup().flags(&["--namespace-restrictions=false"]).start();
    site.await_all(&agent, &lasting);
    let clients = Clients::start(agent.addr(), &lasting, &site, Silence::Fault);
    let mut passing = Vec::new();
    let mut held = Vec::new();
    let end = Instant::now() + length;
    while Instant::now() < end {
        live_on(&site, &agent, &mut random, &mut passing);
        held.push(Holding::of(&agent));
        std::thread::sleep(TICK);
    }
    let served = clients.end();
    site.await_all(&agent, &lasting);
    site.assert_sound(&mut agent);
    let (early, late) = held[held.len() / 3..].split_at(held.len() / 3);
    println!("{served} served in {length:?}; {} looks", held.len());
    for (what, slack, of) in [
        // What the allocator keeps after a burst; a session or a pod that stayed would be more within a minute.
        ("KiB resident", 3_000, (|held| held.memory_kib) as fn(&Holding) -> u64),
        ("descriptors", 16, |held| held.descriptors),
        ("threads", 16, |held| held.threads),
    ] {
        let [early, late] = [early, late].map(|part| median(part.iter().map(of).collect()));
        println!("{what}: {early} in the second third, {late} in the last");
        assert!(late <= early + slack, "{what}: {early}, later {late}");
    }
}

/// One tick of the life of a node.
fn live_on(site: &Site, agent: &Agent, random: &mut Random, passing: &mut Vec<Pod>) {
    let number = usize::try_from(random.roll(NAMES)).unwrap() + LASTING + 1;
    let newcomer = Pod::number(number);
    if !passing.contains(&newcomer) {
        site.lab.kubernetes.add_pod(newcomer.spec());
        passing.push(newcomer);
    }
    if passing.len() > PASSING {
        let gone = passing.remove(usize::try_from(random.roll(PASSING as u64)).unwrap());
        if random.roll(2) == 0 {
            site.lab.kubernetes.set_phase("default", &gone.role, "Succeeded");
        }
        site.lab.kubernetes.delete_pod("default", &gone.role);
    }
    let asks = &passing[usize::try_from(random.roll(passing.len() as u64)).unwrap()];
    let _ = try_get(agent.addr(), &asks.address, &asks.path());
    match random.roll(40) {
        0 => drop(crowd(agent.addr(), 30)),
        1 => site.api.cut(),
        2 => site.sts.cut(),
        3 => drop(try_get(agent.addr(), "127.9.9.9", "/latest/meta-data/iam/security-credentials/")),
        4 => site.lab.kubernetes.add_namespace(&format!("space-{}", random.roll(20)), &[]),
        _ => {}
    }
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
