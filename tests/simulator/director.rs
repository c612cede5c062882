//! The script of a run: agents start, the cluster lives, trouble comes and goes; then everything calms down, and
//! whoever is still there must be well.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::agent::Agent;
use crate::cluster::{Namespace, Pod};
use crate::dice::Dice;
use crate::pods;
use crate::settle::settle;
use crate::sim::Sim;
use crate::swarm::Pace;
use crate::time::NodeStore;
use crate::truth::OWN_ROLE;

pub fn direct(sim: &Arc<Sim>, mut dice: Dice) {
    let store = Arc::new(NodeStore::default());
    NAMESPACES.iter().for_each(|name| change_namespace(sim, &mut dice, name));
    (0..sim.swarm.pods / 2).for_each(|_| new_pod(sim, &mut dice));
    Agent::start(sim, &store);
    for number in 0..ASKING {
        let (asking, dice) = (sim.clone(), dice.split());
        sim.stage.enter(&format!("pod-{number}"), move || pods::ask_away(&asking, dice));
    }
    for _ in 0..sim.swarm.actions {
        sim.stage.pause(sim.swarm.gap(&mut dice));
        if sim.stage.is_blamed() {
            break;
        }
        act(sim, &mut dice, &store);
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

fn act(sim: &Arc<Sim>, dice: &mut Dice, store: &Arc<NodeStore>) {
    match dice.roll(32) {
        0..6 => new_pod(sim, dice),
        6..10 => change_pod(sim, dice, "is being deleted", |_, pod| pod.deleting = true),
        10..14 => remove_pod(sim, dice),
        14..16 => change_pod(sim, dice, "finishes", |_, pod| pod.finished = true),
        16..18 => {
            let address = *dice.pick(&sim.addresses());
            change_pod(sim, dice, "moves", |_, pod| pod.addresses = vec![address]);
        }
        18..21 => change_pod(sim, dice, "wants another role", |dice, pod| {
            (pod.role, pod.external_id) = (any_role(dice), any_external_id(dice));
        }),
        21..24 => {
            let name = *dice.pick(&NAMESPACES);
            change_namespace(sim, dice, name);
        }
        24 => {
            let name = *dice.pick(&NAMESPACES);
            sim.change(&format!("namespace {name} goes"), |cluster, at| cluster.set_namespace(name, None, at));
        }
        25 => {
            let mut truth = sim.truth.lock();
            truth.cluster.compacted = truth.cluster.version;
        }
        26 if sim.swarm.clock_jumps => {
            let jump = *dice.pick(&[-3_600_000, -1_000, 1_000, 300_000, 86_400_000]);
            sim.stage.note(&format!("the clock jumps by {jump} ms"));
            sim.stage.jump_wall(jump);
        }
        27 if sim.swarm.naps => {
            let nap = if sim.swarm.pace == Pace::Day { dice.roll(1_800_000_000) } else { dice.roll(20_000_000) };
            sim.stage.note(&format!("the machine sleeps for {nap} us"));
            sim.stage.nap(nap);
        }
        28 if sim.swarm.restarts => restart(sim, dice, store),
        29 if sim.swarm.fat && dice.one_in(3) => {
            let name = *dice.pick(&NAMESPACES);
            let namespace = sim.truth.lock().cluster.namespace(name).cloned();
            let Some(mut namespace) = namespace else { return };
            namespace.fat = !namespace.fat;
            let what = format!("namespace {name}: fat is {}", namespace.fat);
            sim.change(&what, |cluster, at| cluster.set_namespace(name, Some(namespace), at));
        }
        29 if sim.swarm.fat => change_pod(sim, dice, "grows or shrinks", |_, pod| pod.fat = !pod.fat),
        30 if sim.swarm.replaces => replace_pod(sim, dice),
        31 if sim.swarm.replaces => {
            let name = *dice.pick(&NAMESPACES);
            set_namespace(sim, dice, name, None);
        }
        _ => {}
    }
}

fn restart(sim: &Arc<Sim>, dice: &mut Dice, store: &Arc<NodeStore>) {
    let before = sim.serving();
    let is_surge = dice.one_in(2);
    if !is_surge {
        before.iter().for_each(|agent| agent.end(sim));
        sim.stage.pause(dice.roll(2_000_000));
    }
    Agent::start(sim, store);
    if is_surge {
        sim.stage.pause(dice.roll(4_000_000));
        before.iter().for_each(|agent| agent.end(sim));
    }
}

/// A pod comes, often at an address that another is about to leave.
fn new_pod(sim: &Sim, dice: &mut Dice) {
    let addresses = sim.addresses();
    let address = {
        let truth = sim.truth.lock();
        let is_free = |pods: &[&Pod], address| !pods.iter().any(|pod| pod.holds(address) && !pod.deleting);
        let living: Vec<&Pod> = truth.cluster.living().map(|(_, pod)| pod).collect();
        let leaving: Vec<_> = living.iter().filter(|pod| pod.deleting).flat_map(|pod| pod.addresses.clone()).collect();
        let free: Vec<_> = addresses.iter().copied().filter(|address| is_free(&living, *address)).collect();
        let soon_free: Vec<_> = leaving.into_iter().filter(|address| is_free(&living, *address)).collect();
        match dice.roll(10) {
            // Two at one address, as a kubelet that lags behind reports them
            0 => *dice.pick(&addresses),
            1..6 if !soon_free.is_empty() => *dice.pick(&soon_free),
            _ if free.is_empty() => return,
            _ => *dice.pick(&free),
        }
    };
    new_pod_at(sim, dice, address);
}

fn new_pod_at(sim: &Sim, dice: &mut Dice, address: IpAddr) {
    let number = dice.number();
    let pod = Pod {
        name: format!("pod-{number:04x}").chars().take(10).collect(),
        namespace: (*dice.pick(&NAMESPACES)).to_owned(),
        role: any_role(dice),
        external_id: any_external_id(dice),
        addresses: vec![address],
        finished: false,
        host_network: dice.one_in(16),
        deleting: false,
        fat: sim.swarm.fat && dice.one_in(16),
    };
    let what = format!("pod {number:016x} at {address} with {:?} {:?}", pod.role, pod.external_id);
    sim.change(&what, |cluster, at| cluster.set_pod(&format!("{number:016x}"), Some(pod), at));
}

/// A pod is made anew under its name, elsewhere; another may come to its old address.
fn replace_pod(sim: &Sim, dice: &mut Dice) {
    let Some((old, pod)) = some_pod(sim, dice, |_| true) else { return };
    let (uid, address) = (format!("{:016x}", dice.number()), *dice.pick(&sim.addresses()));
    let (role, external_id) = (any_role(dice), any_external_id(dice));
    let left = pod.addresses[0];
    let pod = Pod { role, external_id, addresses: vec![address], finished: false, deleting: false, fat: false, ..pod };
    let what = format!("pod {old} is made anew as {uid} at {address} with {:?} {:?}", pod.role, pod.external_id);
    sim.change(&what, |cluster, at| cluster.replace_pod(&old, &uid, pod, at));
    if dice.one_in(2) {
        new_pod_at(sim, dice, left);
    }
}

fn change_pod(sim: &Sim, dice: &mut Dice, what: &str, change: impl FnOnce(&mut Dice, &mut Pod)) {
    let Some((uid, mut pod)) = some_pod(sim, dice, |_| true) else { return };
    change(dice, &mut pod);
    sim.change(&format!("pod {uid} {what}"), |cluster, at| cluster.set_pod(&uid, Some(pod), at));
}

fn remove_pod(sim: &Sim, dice: &mut Dice) {
    let leaving = some_pod(sim, dice, |pod| pod.deleting || pod.finished);
    let Some((uid, _)) = leaving.or_else(|| some_pod(sim, dice, |_| true)) else { return };
    sim.change(&format!("pod {uid} goes"), |cluster, at| cluster.set_pod(&uid, None, at));
}

fn some_pod(sim: &Sim, dice: &mut Dice, wanted: impl Fn(&Pod) -> bool) -> Option<(String, Pod)> {
    let truth = sim.truth.lock();
    let pods: Vec<(&str, &Pod)> = truth.cluster.living().filter(|(_, pod)| wanted(pod)).collect();
    if pods.is_empty() {
        return None;
    }
    let (uid, pod) = dice.pick(&pods);
    Some(((*uid).to_owned(), (*pod).clone()))
}

fn change_namespace(sim: &Sim, dice: &mut Dice, name: &str) {
    let uid = {
        let truth = sim.truth.lock();
        truth.cluster.namespace(name).map(|namespace| namespace.uid.clone())
    };
    set_namespace(sim, dice, name, uid);
}

/// Without `uid` the namespace is made anew.
fn set_namespace(sim: &Sim, dice: &mut Dice, name: &str, uid: Option<String>) {
    let some: Vec<String> = ROLES.iter().filter(|_| !dice.one_in(3)).map(|role| (*role).to_owned()).collect();
    let namespace = Namespace {
        uid: uid.unwrap_or_else(|| format!("{:016x}", dice.number())),
        allowed: (!dice.one_in(6)).then_some(some),
        default_role: dice.one_in(3).then(|| (*dice.pick(&ROLES)).to_owned()),
        fat: false,
    };
    let what = format!("namespace {name}: {:?}, {:?}", namespace.allowed, namespace.default_role);
    sim.change(&what, |cluster, at| cluster.set_namespace(name, Some(namespace), at));
}

fn any_role(dice: &mut Dice) -> Option<String> {
    let roles = if dice.one_in(8) { &ROLES } else { &ROLES[..ROLES.len() - 1] };
    (!dice.one_in(6)).then(|| (*dice.pick(roles)).to_owned())
}

fn any_external_id(dice: &mut Dice) -> Option<String> {
    dice.one_in(3).then(|| (*dice.pick(&["tenant-1", "tenant-2"])).to_owned())
}

const NAMESPACES: [&str; 2] = ["shop", "batch"];
/// The last is the agent's own.
pub const ROLES: [&str; 4] = ["app", "db", "team/web", OWN_ROLE];
/// Programs that ask
const ASKING: usize = 8;
