//! The threads that keep the World current: one watch for each resource.

use std::cell::Cell;
use std::time::Duration;

use log::{debug, info, warn};

use crate::agent::prefetch::prefetch;
use crate::agent::tasks::watch::Reflector;
use crate::agent::wiring::Rooms;
use crate::logic::base::time::Mono;
use crate::logic::cluster::kubernetes::{Event, KubernetesFailure, KubernetesFailureKind, Resource};
use crate::logic::cluster::watch::{Cut, Logged, Note, Relist};
use crate::ports::Waited;

/// Keeps the World of service accounts, if they name roles.
pub(crate) fn watch_accounts(rooms: &Rooms) {
    if rooms.config.roles.service_account_roles {
        watch(rooms, Resource::ServiceAccounts);
    }
}

/// Keeps the World of one resource, from the moment that the rules are known.
pub(crate) fn watch(rooms: &Rooms, resource: Resource) {
    while rooms.registry.read(|_, rules| rules.is_none()) {
        if rooms.latch.wait(rooms.clock.now().mono.after(RULES_POLL)) == Waited::ShutDown {
            return;
        }
    }
    let watcher = Watcher { rooms, resource, nudges: Cell::new(0) };
    Reflector {
        kubernetes: &*rooms.kubernetes,
        resource,
        clock: &*rooms.clock,
        wait: &|until, cut| watcher.wait(until, cut),
        dice: &|| rooms.dice.number(),
        apply: &|event| watcher.apply(event),
        note: &|note| watcher.note(note),
    }
    .run();
}

struct Watcher<'a> {
    rooms: &'a Rooms,
    resource: Resource,
    /// How often watches had got through again before the last try of this one
    nudges: Cell<u64>,
}

impl Watcher<'_> {
    /// Not until the first sign of shutdown, but until the last answers are out: one may be waiting for its pod.
    fn wait(&self, until: Mono, cut: Cut) -> Waited {
        let drained = &self.rooms.drained;
        match cut {
            Cut::WhenOthersGetThrough => drained.wait_unless_nudged(self.nudges.get(), until),
            Cut::Never => {
                self.nudges.set(drained.nudges());
                drained.wait(until)
            }
        }
    }

    fn apply(&self, event: Event) {
        let change = self.rooms.registry.apply(self.resource, event);
        self.rooms.telemetry.changed(&change);
        prefetch(self.rooms, &change);
    }

    fn note(&self, note: Note) {
        let resource = self.resource;
        let label = label(resource);
        match note {
            Note::Heard => {
                self.count("heard");
                self.confirm();
            }
            Note::Listed { items, unreadable } => {
                self.count("listed");
                self.confirm();
                info!("resource" = label, "items" = items, "unreadable" = unreadable; "listed {items} {label}");
            }
            Note::Watching => {
                self.clear_failure();
                debug!("resource" = label; "watching {label}");
            }
            Note::Ended { cause, .. } => {
                self.count("ended");
                debug!("resource" = label; "the watch of {label} ended: {}", cause.as_deref().unwrap_or("in good order"));
            }
            Note::BackedOff { failure, rest, nth } => self.backed_off(&failure, rest, nth),
            Note::Relisting { why, .. } => self.relisting(&why),
            Note::Unreadable { object, logged } => {
                self.rooms.telemetry.metrics.unreadable.with_label_values(&[label]).inc();
                if logged == Logged::No {
                    let (name, why) = (object.identity.to_string(), &object.why);
                    warn!(
                        "resource" = label, "object" = name.as_str();
                        "skipped `{name}` of {label}, which can't be read, and forgot what was known of it: {why}"
                    );
                }
            }
        }
    }

    /// The World of this resource is as new as this moment.
    fn confirm(&self) {
        self.clear_failure();
        self.rooms.registry.confirm(self.resource, self.rooms.clock.now().mono);
    }

    /// Where one watch gets through after a failure, the others may too.
    fn clear_failure(&self) {
        if self.rooms.registry.clear_failure(self.resource) {
            self.rooms.drained.nudge();
        }
    }

    fn backed_off(&self, failure: &KubernetesFailure, rest: Duration, nth: u32) {
        self.count("refused");
        let age = self.failed(failure);
        let (label, server) = (label(self.resource), self.rooms.kubernetes.server());
        if failure.kind.is_refusal() && nth < REFUSALS_OF_A_START {
            debug!("resource" = label, "server" = server, "retry.ms" = rest.as_millis(); "{}", failure.cause);
            return;
        }
        let action = match failure.kind {
            KubernetesFailureKind::Forbidden => "; the agent may not list or watch them: see its ClusterRole",
            KubernetesFailureKind::Unauthorized => "; the API server doesn't know the agent's token",
            _ => "",
        };
        warn!(
            "resource" = label, "server" = server, "retry.ms" = rest.as_millis();
            "{} (API server `{server}`){action}; {age}", failure.cause
        );
    }

    fn relisting(&self, why: &Relist) {
        self.count("relisted");
        let (label, server) = (label(self.resource), self.rooms.kubernetes.server());
        if let Relist::Unreadable(_) = why {
            self.rooms.telemetry.metrics.unreadable.with_label_values(&[label]).inc();
            warn!("resource" = label, "server" = server; "listing {label} of `{server}` anew: {why}");
        } else {
            info!("resource" = label, "server" = server; "listing {label} of `{server}` anew: {why}");
        }
        // No older version can be watched: until the list is in the World is as old as its last line.
        let kind = KubernetesFailureKind::Unavailable { retry_after_s: None };
        self.failed(&KubernetesFailure { kind, cause: format!("listing anew: {why}") });
    }

    /// Records why nothing new is known, and says how old what is known is.
    fn failed(&self, failure: &KubernetesFailure) -> String {
        let now = self.rooms.clock.now().mono;
        self.rooms.registry.record_failure(self.resource, failure, now);
        self.rooms.registry.read(|world, _| match world.is_listed(self.resource) {
            true => format!("what is known of them is {} s old", world.age(self.resource, now).as_secs()),
            false => format!("no {} loaded yet", label(self.resource)),
        })
    }

    fn count(&self, event: &str) {
        self.rooms.telemetry.metrics.watch_events.with_label_values(&[label(self.resource), event]).inc();
    }
}

pub(super) const fn label(resource: Resource) -> &'static str {
    match resource {
        Resource::Pods => "pods",
        Resource::Namespaces => "namespaces",
        Resource::ServiceAccounts => "serviceaccounts",
    }
}

/// How soon the watches notice that the rules are known.
const RULES_POLL: Duration = Duration::from_millis(20);
/// A server that has just started refuses until its own rights are loaded, which takes a few seconds: by this refusal in
/// a row 2.8 to 5.6 s have passed since the first one.
const REFUSALS_OF_A_START: u32 = 4;
