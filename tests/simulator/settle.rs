//! When trouble is over: the picture becomes the truth, every pod is answered, every limit was kept.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use kube2iam::for_tests::{Mono, NamedRole, World};

use crate::agent::Agent;
use crate::cluster::Pod;
use crate::pods::{ask_document, likely_role};
use crate::sim::Sim;
use crate::truth::{Due, due};

pub fn settle(sim: &Arc<Sim>) {
    sim.stage.note("no more trouble");
    // A machine that is about to sleep does so now, not in the calm.
    sim.stage.pause(1);
    sim.stage.pause(CALM);
    let serving = sim.serving();
    let [agent] = serving.as_slice() else { return sim.stage.blame("one agent is left", "") };
    let (painted, real) = (agent.state.world.read(|world, _| painted(world)), real(sim));
    if painted != real {
        let differing: Vec<&String> = painted.symmetric_difference(&real).collect();
        sim.stage.blame("the picture becomes the truth", &format!("{differing:?}"));
    }
    sim.addresses().into_iter().for_each(|address| expect(sim, agent, address));
    keeps_budget(sim);
    let counts = agent.state.sessions.counts();
    if counts.queued + counts.in_flight > 0 {
        // Renewals may be under way; nothing may be stuck.
        sim.stage.pause(60_000_000);
        let later = agent.state.sessions.counts();
        let stuck = later.queued > 0 && agent.state.sessions.budget().0 >= 1.0 && later.in_flight == 0;
        if stuck {
            sim.stage.blame("nobody is stranded", &format!("{later:?}"));
        }
    }
}

/// Pods and namespaces as the agent sees them.
fn painted(world: &World) -> BTreeSet<String> {
    let written = |role: Option<&NamedRole>| role.map(|role| role.written().into_owned());
    let pods =
        world.pods().map(|pod| format!("{} {:?} {:?} {}", pod.uid, written(pod.role()), pod.addresses, pod.deleting));
    let namespaces =
        world.namespaces().map(|(name, namespace)| format!("{name} {:?}", written(namespace.default_role.as_ref())));
    pods.chain(namespaces).collect()
}

fn real(sim: &Sim) -> BTreeSet<String> {
    let truth = sim.truth.lock();
    let pods = truth.cluster.living().filter(|(_, pod)| !pod.fat);
    // Of a pod that can't ask nothing is kept that it could ask for.
    let role = |pod: &Pod| pod.role.clone().filter(|_| !pod.finished && (sim.swarm.by_token || !pod.host_network));
    let pods = pods.map(|(uid, pod)| format!("{uid} {:?} {:?} {}", role(pod), pod.addresses, pod.deleting));
    let namespaces = truth.cluster.living_namespaces().filter(|(_, namespace)| !namespace.fat);
    let namespaces = namespaces.map(|(name, namespace)| format!("{name} {:?}", namespace.default_role));
    pods.chain(namespaces).collect()
}

/// Asks from an address and compares with what the rules say of the one pod that holds it.
fn expect(sim: &Sim, agent: &Agent, address: IpAddr) {
    let role = likely_role(sim, address);
    let wanted = {
        let truth = sim.truth.lock();
        let holders: Vec<_> = truth.cluster.living().filter(|(_, pod)| pod.holds(address)).collect();
        let [(uid, pod)] = holders.as_slice() else { return };
        due(&sim.swarm, uid, pod, truth.cluster.namespace(&pod.namespace))
    };
    let before = sim.stage.now();
    let (status, word) = ask_document(sim, agent, address, &role);
    let took = sim.stage.now() - before;
    let is_well = match wanted {
        Due::Session { .. } => status == 200,
        Due::Nothing => status == 404 || status == 403,
    };
    if !is_well || took > IN_CALM {
        let text = format!("{address} gets {status} {word} after {took} us instead of {wanted:?}");
        sim.stage.blame("in calm every pod is answered", &text);
    }
}

/// Over every span of time, renewals and prefetches of each agent keep to their pace.
fn keeps_budget(sim: &Sim) {
    let truth = sim.truth.lock();
    let refill = sim.swarm.calls_per_second;
    let burst = (refill * 2.0).max(1.0);
    for began in truth.unasked.values() {
        for (first, from) in began.iter().enumerate() {
            for (count, until) in (1_u32..).zip(began[first..].iter().take(60)) {
                let seconds = Mono::from_micros(*until).since(Mono::from_micros(*from)).as_secs_f64();
                if f64::from(count) > burst + refill * seconds + 0.01 {
                    sim.stage.blame("the budget of STS is kept", &format!("{count} calls in {seconds} s"));
                    return;
                }
            }
        }
    }
}

/// Longer than the longest silence after which a picture is listed anew, and the longest rest after that.
const CALM: u64 = 1_200_000_000;
/// Nobody needs longer when nothing is wrong: one call to STS, if even that.
const IN_CALM: u64 = 1_000_000;
