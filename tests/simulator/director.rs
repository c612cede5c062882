//! The script of a run: agents start, the cluster lives, trouble comes and goes; then everything calms down, and
//! whoever is still there must be well.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::agent::Agent;
use crate::cluster::{Namespace, Pod};
use crate::pods;
use crate::random::Random;
use crate::settle::settle;
use crate::sim::Sim;
use crate::swarm::Pace;
use crate::time::NodeStore;
use crate::truth::OWN_ROLE;

pub fn direct(sim: &Arc<Sim>, mut random: Random) {
    let store = Arc::new(NodeStore::default());
    NAMESPACES.iter().for_each(|name| change_namespace(sim, &mut random, name));
    (0..sim.swarm.pods / 2).for_each(|_| new_pod(sim, &mut random));
    Agent::start(sim, &store);
    for number in 0..ASKING {
        let (asking, random) = (sim.clone(), random.split());
        sim.stage.enter(&format!("pod-{number}"), move || pods::ask_away(&asking, random));
    }
    for _ in 0..sim.swarm.actions {
        sim.stage.pause(sim.swarm.gap(&mut random));
        if sim.stage.is_blamed() {
            break;
        }
        act(sim, &mut random, &store);
    }
    sim.quiet.store(true, Ordering::SeqCst);
    sim.over.store(true, Ordering::SeqCst);
    if !sim.stage.is_blamed() {
        settle(sim);
    }
    sim.serving().iter().for_each(|agent| agent.end(sim));
    // Whoever is in a call to STS comes back from it.
    sim.stage.pause(60_000_000);
}

fn act(sim: &Arc<Sim>, random: &mut Random, store: &Arc<NodeStore>) {
    match random.roll(32) {
        0..6 => new_pod(sim, random),
        6..10 => change_pod(sim, random, "is being deleted", |_, pod| pod.deleting = true),
        10..14 => remove_pod(sim, random),
        14..16 => change_pod(sim, random, "finishes", |_, pod| pod.finished = true),
        16..18 => {
            let address = *random.pick(&sim.addresses());
            change_pod(sim, random, "moves", |_, pod| pod.addresses = vec![address]);
        }
        18..21 => change_pod(sim, random, "wants another role", |random, pod| {
            (pod.role, pod.external_id) = (any_role(random), any_external_id(random));
        }),
        21..24 => {
            let name = *random.pick(&NAMESPACES);
            change_namespace(sim, random, name);
        }
        24 => {
            let name = *random.pick(&NAMESPACES);
            sim.change(&format!("namespace {name} goes"), |cluster, at| cluster.set_namespace(name, None, at));
        }
        25 => {
            let mut truth = sim.truth.lock();
            truth.cluster.compacted = truth.cluster.version;
        }
        26 if sim.swarm.clock_jumps => {
            let jump = *random.pick(&[-3_600_000, -1_000, 1_000, 300_000, 86_400_000]);
            sim.stage.note(&format!("the clock jumps by {jump} ms"));
            sim.stage.jump_wall(jump);
        }
        27 if sim.swarm.naps => {
            let nap = if sim.swarm.pace == Pace::Day { random.roll(1_800_000_000) } else { random.roll(20_000_000) };
            sim.stage.note(&format!("the machine sleeps for {nap} us"));
            sim.stage.nap(nap);
        }
        28 if sim.swarm.restarts => restart(sim, random, store),
        29 if sim.swarm.fat && random.one_in(3) => {
            let name = *random.pick(&NAMESPACES);
            let namespace = sim.truth.lock().cluster.namespace(name).cloned();
            let Some(mut namespace) = namespace else { return };
            namespace.fat = !namespace.fat;
            let what = format!("namespace {name}: fat is {}", namespace.fat);
            sim.change(&what, |cluster, at| cluster.set_namespace(name, Some(namespace), at));
        }
        29 if sim.swarm.fat => change_pod(sim, random, "grows or shrinks", |_, pod| pod.fat = !pod.fat),
        30 if sim.swarm.replaces => replace_pod(sim, random),
        31 if sim.swarm.replaces => {
            let name = *random.pick(&NAMESPACES);
            set_namespace(sim, random, name, None);
        }
        _ => {}
    }
}

fn restart(sim: &Arc<Sim>, random: &mut Random, store: &Arc<NodeStore>) {
    let before = sim.serving();
    let is_surge = random.one_in(2);
    if !is_surge {
        before.iter().for_each(|agent| agent.end(sim));
        sim.stage.pause(random.roll(2_000_000));
    }
    Agent::start(sim, store);
    if is_surge {
        sim.stage.pause(random.roll(4_000_000));
        before.iter().for_each(|agent| agent.end(sim));
    }
}

/// A pod comes, often at an address that another is about to leave.
fn new_pod(sim: &Sim, random: &mut Random) {
    let addresses = sim.addresses();
    let address = {
        let truth = sim.truth.lock();
        let is_free = |pods: &[&Pod], address| !pods.iter().any(|pod| pod.holds(address) && !pod.deleting);
        let living: Vec<&Pod> = truth.cluster.living().map(|(_, pod)| pod).collect();
        let leaving: Vec<_> = living.iter().filter(|pod| pod.deleting).flat_map(|pod| pod.addresses.clone()).collect();
        let free: Vec<_> = addresses.iter().copied().filter(|address| is_free(&living, *address)).collect();
        let soon_free: Vec<_> = leaving.into_iter().filter(|address| is_free(&living, *address)).collect();
        match random.roll(10) {
            // Two at one address, as a kubelet that lags behind reports them
            0 => *random.pick(&addresses),
            1..6 if !soon_free.is_empty() => *random.pick(&soon_free),
            _ if free.is_empty() => return,
            _ => *random.pick(&free),
        }
    };
    new_pod_at(sim, random, address);
}

fn new_pod_at(sim: &Sim, random: &mut Random, address: IpAddr) {
    let number = random.number();
    let pod = Pod {
        name: format!("pod-{number:04x}").chars().take(10).collect(),
        namespace: (*random.pick(&NAMESPACES)).to_owned(),
        role: any_role(random),
        external_id: any_external_id(random),
        addresses: vec![address],
        finished: false,
        host_network: random.one_in(16),
        deleting: false,
        fat: sim.swarm.fat && random.one_in(16),
    };
    let what = format!("pod {number:016x} at {address} with {:?} {:?}", pod.role, pod.external_id);
    sim.change(&what, |cluster, at| cluster.set_pod(&format!("{number:016x}"), Some(pod), at));
}

/// A pod is made anew under its name, elsewhere; another may come to its old address.
fn replace_pod(sim: &Sim, random: &mut Random) {
    let Some((old, pod)) = some_pod(sim, random, |_| true) else { return };
    let (uid, address) = (format!("{:016x}", random.number()), *random.pick(&sim.addresses()));
    let (role, external_id) = (any_role(random), any_external_id(random));
    let left = pod.addresses[0];
    let pod = Pod { role, external_id, addresses: vec![address], finished: false, deleting: false, fat: false, ..pod };
    let what = format!("pod {old} is made anew as {uid} at {address} with {:?} {:?}", pod.role, pod.external_id);
    sim.change(&what, |cluster, at| cluster.replace_pod(&old, &uid, pod, at));
    if random.one_in(2) {
        new_pod_at(sim, random, left);
    }
}

fn change_pod(sim: &Sim, random: &mut Random, what: &str, change: impl FnOnce(&mut Random, &mut Pod)) {
    let Some((uid, mut pod)) = some_pod(sim, random, |_| true) else { return };
    change(random, &mut pod);
    sim.change(&format!("pod {uid} {what}"), |cluster, at| cluster.set_pod(&uid, Some(pod), at));
}

fn remove_pod(sim: &Sim, random: &mut Random) {
    let leaving = some_pod(sim, random, |pod| pod.deleting || pod.finished);
    let Some((uid, _)) = leaving.or_else(|| some_pod(sim, random, |_| true)) else { return };
    sim.change(&format!("pod {uid} goes"), |cluster, at| cluster.set_pod(&uid, None, at));
}

fn some_pod(sim: &Sim, random: &mut Random, wanted: impl Fn(&Pod) -> bool) -> Option<(String, Pod)> {
    let truth = sim.truth.lock();
    let pods: Vec<(&str, &Pod)> = truth.cluster.living().filter(|(_, pod)| wanted(pod)).collect();
    if pods.is_empty() {
        return None;
    }
    let (uid, pod) = random.pick(&pods);
    Some(((*uid).to_owned(), (*pod).clone()))
}

fn change_namespace(sim: &Sim, random: &mut Random, name: &str) {
    let uid = {
        let truth = sim.truth.lock();
        truth.cluster.namespace(name).map(|namespace| namespace.uid.clone())
    };
    set_namespace(sim, random, name, uid);
}

/// Without `uid` the namespace is made anew.
fn set_namespace(sim: &Sim, random: &mut Random, name: &str, uid: Option<String>) {
    let some: Vec<String> = ROLES.iter().filter(|_| !random.one_in(3)).map(|role| (*role).to_owned()).collect();
    let namespace = Namespace {
        uid: uid.unwrap_or_else(|| format!("{:016x}", random.number())),
        allowed: (!random.one_in(6)).then_some(some),
        default_role: random.one_in(3).then(|| (*random.pick(&ROLES)).to_owned()),
        fat: false,
    };
    let what = format!("namespace {name}: {:?}, {:?}", namespace.allowed, namespace.default_role);
    sim.change(&what, |cluster, at| cluster.set_namespace(name, Some(namespace), at));
}

fn any_role(random: &mut Random) -> Option<String> {
    let roles = if random.one_in(8) { &ROLES } else { &ROLES[..ROLES.len() - 1] };
    (!random.one_in(6)).then(|| (*random.pick(roles)).to_owned())
}

fn any_external_id(random: &mut Random) -> Option<String> {
    random.one_in(3).then(|| (*random.pick(&["tenant-1", "tenant-2"])).to_owned())
}

const NAMESPACES: [&str; 2] = ["shop", "batch"];
/// The last is the agent's own.
pub const ROLES: [&str; 4] = ["app", "db", "team/web", OWN_ROLE];
/// Programs that ask
const ASKING: usize = 8;
