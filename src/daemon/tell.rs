//! The threads that tell people: Events on refused pods, doubts about the namespaces' lists.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use log::{info, warn};

use super::build::Rooms;
use crate::config::Config;
use crate::edge::kubernetes::Earnest;
use crate::logic::events::{EventBook, Refused};
use crate::logic::kubernetes::KubernetesFailureKind;
use crate::logic::lint::{Doubt, lint};
use crate::logic::time::Mono;
use crate::ports::Waited;

/// Where refusals wait to become Events; both `None` without `--events`.
pub(super) fn queue(config: &Config) -> (Option<Sender<Refused>>, Option<Receiver<Refused>>) {
    if !config.operation.events {
        return (None, None);
    }
    let (sender, receiver) = bounded(MOST_WAITING);
    (Some(sender), Some(receiver))
}

/// Writes Events until shutdown.
pub(super) fn write_events(rooms: &Rooms) {
    let Some(refusals) = &rooms.refusals else { return };
    let config = &rooms.config.kubernetes;
    let node = config.node.clone().unwrap_or_default();
    let mut book = EventBook::new(config.keys.clone(), node, rooms.clock.now().mono);
    let mut silent_until = Mono::default();
    while !rooms.latch.is_closed() {
        let refused = match refusals.recv_timeout(LATCH_LOOK) {
            Ok(refused) => refused,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let now = rooms.clock.now();
        if now.mono < silent_until {
            count(rooms, "held_back");
            continue;
        }
        let Some(notice) = book.note(&refused, now) else {
            count(rooms, "counted");
            continue;
        };
        match rooms.kubernetes.write_event(&notice, Earnest::Done) {
            Ok(()) => count(rooms, "written"),
            Err(failure) => {
                count(rooms, "failed");
                let hint = match failure.kind {
                    KubernetesFailureKind::Forbidden => "; the agent may not: see the RBAC that --events needs",
                    _ => "",
                };
                warn!("pod.namespace" = notice.namespace.as_str(); "{}{hint}", failure.cause);
                silent_until = now.mono.after(AFTER_FAILURE);
            }
        }
    }
}

fn count(rooms: &Rooms, outcome: &str) {
    rooms.telemetry.metrics.events.with_label_values(&[outcome]).inc();
}

/// Says what is doubtful about the lists, once for each doubt until it is gone.
pub(super) fn doubt(rooms: &Rooms) {
    let mut known = BTreeSet::new();
    let (mut seen, mut looked) = (None, false);
    loop {
        let changed = rooms.registry.seen();
        if seen != Some(changed) {
            seen = Some(changed);
            let doubts =
                rooms.registry.read(|world, rules| rules.filter(|_| world.is_ready()).map(|rules| lint(world, rules)));
            if let Some(doubts) = doubts {
                looked = true;
                say(rooms, &doubts, &known);
                known = doubts;
            }
        }
        let pause = if looked { LOOK_AGAIN } else { UNTIL_READY };
        if rooms.latch.wait(rooms.clock.now().mono.after(pause)) == Waited::ShutDown {
            return;
        }
    }
}

fn say(rooms: &Rooms, doubts: &BTreeSet<Doubt>, known: &BTreeSet<Doubt>) {
    rooms.telemetry.metrics.policy_doubts.set(f64::from(u32::try_from(doubts.len()).unwrap_or(u32::MAX)));
    let fresh: Vec<&Doubt> = doubts.difference(known).collect();
    for doubt in fresh.iter().take(MOST_SAID) {
        warn!("ns.name" = doubt.namespace.as_str(), "lint" = "policy"; "namespace `{}`: {}", doubt.namespace, doubt.text);
    }
    if fresh.len() > MOST_SAID {
        warn!("lint" = "policy"; "{} more doubts about namespaces' lists", fresh.len() - MOST_SAID);
    }
    if doubts.is_empty() && !known.is_empty() {
        info!("lint" = "policy"; "no namespace's list is doubtful any more");
    }
}

/// Hands refusals to the queue. A full one loses some: an Event is told again as long as its cause is there.
pub(super) fn sink(sender: Sender<Refused>) -> Arc<dyn Fn(Refused) + Send + Sync> {
    Arc::new(move |refused| drop(sender.try_send(refused)))
}

/// Refusals that wait for the API server.
const MOST_WAITING: usize = 256;
/// How soon the end of the agent is noticed.
const LATCH_LOOK: Duration = Duration::from_millis(250);
/// A server that refused is left alone for so long.
const AFTER_FAILURE: Duration = Duration::from_secs(60);
/// Lists are looked at again so long after a change at the latest.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How often the end of the first lists is looked for.
const UNTIL_READY: Duration = Duration::from_millis(100);
/// Lines of one look.
const MOST_SAID: usize = 50;
