//! The threads that tell people: Events on refused pods, doubts about the namespaces' lists.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use log::{info, warn};
use parking_lot::Mutex;

use crate::agent::wiring::Rooms;
use crate::logic::base::time::Mono;
use crate::logic::cluster::kubernetes::KubernetesFailureKind;
use crate::logic::operator::advice::Base;
use crate::logic::operator::events::{EventBook, Refused};
use crate::logic::operator::lint::{Doubt, lint};
use crate::ports::{Bell, Events, Time, Waited};
use crate::telemetry::RefusalSink;

/// Where refusals wait to become Events.
pub(super) struct Refusals {
    waiting: Arc<Mutex<VecDeque<Refused>>>,
    bell: Arc<dyn Bell>,
}

impl Refusals {
    pub(super) fn new(time: &dyn Time) -> Self {
        Self { waiting: Arc::default(), bell: time.bell() }
    }

    /// Takes refusals. When too many wait some are lost: an Event is told again as long as its cause is there.
    pub(super) fn sink(&self) -> RefusalSink {
        let (waiting, bell) = (self.waiting.clone(), self.bell.clone());
        Arc::new(move |refused| {
            let mut waiting = waiting.lock();
            if waiting.len() < MOST_WAITING {
                waiting.push_back(refused);
                drop(waiting);
                bell.ring();
            }
        })
    }
}

/// Writes Events until shutdown; nothing without `--events`.
pub(super) fn write_events(rooms: &Rooms) {
    let (Some(refusals), Some(events)) = (&rooms.refusals, &rooms.events) else { return };
    let config = &rooms.config.kubernetes;
    let node = config.node.clone().unwrap_or_default();
    let book = EventBook::new(config.keys.clone(), node, rooms.clock.now().mono);
    let mut writer = Writer { rooms, events: &**events, book, silent_until: Mono::default() };
    while !rooms.latch.is_closed() {
        let rung = refusals.bell.rung();
        let next = refusals.waiting.lock().pop_front();
        match next {
            Some(refused) => writer.take(&refused),
            None => refusals.bell.wait(rung, rooms.clock.now().mono.after(LATCH_LOOK)),
        }
    }
}

struct Writer<'a> {
    rooms: &'a Rooms,
    events: &'a dyn Events,
    book: EventBook,
    /// A server that refused is left alone until then.
    silent_until: Mono,
}

impl Writer<'_> {
    fn take(&mut self, refused: &Refused) {
        let outcome = self.write(refused);
        self.rooms.telemetry.metrics.operator.events.with_label_values(&[outcome]).inc();
    }

    /// Says what became of it, for the metric.
    fn write(&mut self, refused: &Refused) -> &'static str {
        let now = self.rooms.clock.now();
        if now.mono < self.silent_until {
            return "held_back";
        }
        self.book.set_base(self.rooms.registry.read(|_, rules| Base::of(rules.map(|rules| &rules.base))));
        let Some(notice) = self.book.note(refused, now) else { return "counted" };
        let Err(failure) = self.events.write(&notice) else { return "written" };
        let hint = match failure.kind {
            KubernetesFailureKind::Forbidden => "; the agent may not: see the RBAC that --events needs",
            _ => "",
        };
        warn!("pod.namespace" = notice.namespace.as_str(); "{}{hint}", failure.cause);
        self.silent_until = now.mono.after(AFTER_FAILURE);
        "failed"
    }
}

/// Logs what is doubtful about lists and annotations, once for each doubt until it is gone.
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
    rooms.telemetry.metrics.operator.policy_doubts.set(f64::from(u32::try_from(doubts.len()).unwrap_or(u32::MAX)));
    let fresh: Vec<&Doubt> = doubts.difference(known).collect();
    for doubt in fresh.iter().take(MOST_SAID) {
        warn!("ns.name" = doubt.namespace.as_str(), "lint" = "policy"; "namespace `{}`: {}", doubt.namespace, doubt.text);
    }
    if fresh.len() > MOST_SAID {
        warn!("lint" = "policy"; "{} more doubts about lists and annotations", fresh.len() - MOST_SAID);
    }
    if doubts.is_empty() && !known.is_empty() {
        info!("lint" = "policy"; "no list and no annotation is doubtful any more");
    }
}

/// Refusals that wait for the API server.
const MOST_WAITING: usize = 256;
/// How soon the end of the agent is noticed.
const LATCH_LOOK: Duration = Duration::from_millis(250);
const AFTER_FAILURE: Duration = Duration::from_secs(60);
/// Lists are looked at again so long after a change at the latest.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How often the end of the first lists is looked for.
const UNTIL_READY: Duration = Duration::from_millis(100);
/// Lines of one look.
const MOST_SAID: usize = 50;
