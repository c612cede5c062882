//! Shadow mode: beside a running kube2iam, comparing, serving nobody.

use std::net::IpAddr;
use std::time::Duration;

use log::{info, warn};

use crate::agent::wiring::AgentState;
use crate::clients::kube2iam::Kube2iam;
use crate::logic::operator::compare::{Comparison, Difference, DifferenceKind, Known, compare, their_answers};
use crate::ports::Waited;

/// Compares until shutdown.
pub(super) fn compare_all(agent: &AgentState) {
    let Some(url) = &agent.config.operation.shadow else { return };
    let kube2iam = match Kube2iam::at(url) {
        Ok(kube2iam) => kube2iam,
        Err(cause) => return warn!("failed to compare with kube2iam at `{url}`: {cause}"),
    };
    info!("comparing with kube2iam at `{url}`; nobody is served, and both must have the same flags");
    let (mut known, mut summary, mut complaint) = (Known::default(), String::new(), String::new());
    loop {
        let pause = match round(agent, &kube2iam) {
            None => UNTIL_READY,
            Some(Ok(comparison)) => {
                complaint.clear();
                let text = take_up(agent, url, &mut known, comparison);
                if text != summary && !known.is_unsure() {
                    info!("{text}");
                    summary = text;
                }
                if known.is_unsure() { LOOK_TWICE } else { LOOK_AGAIN }
            }
            Some(Err(cause)) => {
                agent.telemetry.metrics.operator.shadow_failures.inc();
                if cause != complaint {
                    warn!("{cause}");
                    complaint = cause;
                }
                LOOK_AGAIN
            }
        };
        if agent.latch.wait(agent.clock.now().mono.after(pause)) == Waited::ShutDown {
            return;
        }
    }
}

/// `None`: our own picture isn't whole yet. Theirs is read first: what comes meanwhile is newer in ours.
fn round(agent: &AgentState, kube2iam: &Kube2iam) -> Option<Result<Comparison, String>> {
    if !agent.world.read(|world, rules| world.is_ready() && rules.is_some()) {
        return None;
    }
    let store = match kube2iam.store() {
        Ok(store) => store,
        Err(cause) => return Some(Err(cause)),
    };
    let (keys, now) = (agent.keys.current(), agent.clock.now().wall);
    let rules = agent.world.read(|_, rules| rules.cloned())?;
    let theirs = their_answers(&store, &rules);
    agent.world.read(|world, rules| rules.map(|rules| Ok(compare(world, rules, &keys, &theirs, now))))
}

fn take_up(agent: &AgentState, url: &str, known: &mut Known, comparison: Comparison) -> String {
    let alike = comparison.alike;
    let (fresh, gone) = known.note(comparison);
    fresh.iter().for_each(|(address, difference)| say(*address, difference));
    for address in gone {
        info!("address":% = address; "{address}: both agree by now");
    }
    let gauge = |outcome: &str, count: usize| {
        let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        agent.telemetry.metrics.operator.shadow_addresses.with_label_values(&[outcome]).set(count);
    };
    gauge("alike", alike);
    for kind in DifferenceKind::ALL {
        gauge(kind.word(), known.said().iter().filter(|(_, difference)| difference.kind == kind).count());
    }
    let different = known.said().len();
    format!("compared with kube2iam at `{url}`: {alike} addresses alike, {different} different")
}

fn say(address: IpAddr, difference: &Difference) {
    let pod = difference.pod.as_deref().unwrap_or_default();
    warn!(
        "address":% = address, "pod" = pod, "difference" = difference.kind.word();
        "{address}: {}", difference.text
    );
}

const UNTIL_READY: Duration = Duration::from_millis(200);
/// A pod that comes or goes has reached both by then.
const LOOK_TWICE: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_secs(5);
