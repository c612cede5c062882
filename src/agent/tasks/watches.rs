//! The threads that keep the World current: one watch per resource.

use std::cell::Cell;
use std::time::Duration;

use log::{debug, info, warn};

use crate::agent::state::AgentState;
use crate::agent::tasks::prefetch::prefetch;
use crate::agent::tasks::watch::Reflector;
use crate::logic::base::time::Mono;
use crate::logic::cluster::kubernetes::{Event, KubernetesFailure, KubernetesFailureKind, Resource};
use crate::logic::cluster::watch::{Cut, Logged, Relist, WatchNote};
use crate::logic::policy::AccountRoles;
use crate::ports::Waited;

/// Keeps service accounts current, if they can name roles.
pub(crate) fn watch_accounts(agent: &AgentState) {
    if agent.config.roles.account_roles == AccountRoles::Read {
        watch(agent, Resource::ServiceAccounts);
    }
}

/// Keeps one resource current, once the rules are set.
pub(crate) fn watch(agent: &AgentState, resource: Resource) {
    while agent.world.read(|_, rules| rules.is_none()) {
        if agent.latch.wait(agent.clock.now().mono.after(RULES_POLL)) == Waited::ShutDown {
            return;
        }
    }
    let watcher = Watcher { agent, resource, nudges: Cell::new(0) };
    Reflector {
        kubernetes: &*agent.kubernetes,
        resource,
        clock: &*agent.clock,
        wait: &|until, cut| watcher.wait(until, cut),
        random: &|| agent.random.number(),
        apply: &|event| watcher.apply(event),
        note: &|note| watcher.note(note),
    }
    .run();
}

struct Watcher<'a> {
    agent: &'a AgentState,
    resource: Resource,
    /// The latch's nudges before the last attempt
    nudges: Cell<u64>,
}

impl Watcher<'_> {
    /// Waits until the drained latch closes, not until shutdown begins: a response in progress may be waiting for its
    /// pod.
    fn wait(&self, until: Mono, cut: Cut) -> Waited {
        let drained = &self.agent.drained;
        match cut {
            Cut::WhenOthersGetThrough => drained.wait_unless_nudged(self.nudges.get(), until),
            Cut::Never => {
                self.nudges.set(drained.nudges());
                drained.wait(until)
            }
        }
    }

    fn apply(&self, event: Event) {
        let change = self.agent.world.apply(self.resource, event);
        self.agent.telemetry.changed(&change);
        prefetch(self.agent, &change);
    }

    fn note(&self, note: WatchNote) {
        let resource = self.resource;
        let label = label(resource);
        match note {
            WatchNote::Heard => {
                self.count("heard");
                self.confirm();
            }
            WatchNote::Listed { items, unreadable } => {
                self.count("listed");
                self.confirm();
                info!("resource" = label, "items" = items, "unreadable" = unreadable; "listed {items} {label}");
            }
            WatchNote::Watching => {
                self.clear_failure();
                debug!("resource" = label; "watching {label}");
            }
            WatchNote::Ended { cause, .. } => {
                self.count("ended");
                debug!("resource" = label; "the watch of {label} ended: {}", cause.as_deref().unwrap_or("in good order"));
            }
            WatchNote::BackedOff { failure, rest, nth } => self.backed_off(&failure, rest, nth),
            WatchNote::Relisting { why, .. } => self.relisting(&why),
            WatchNote::Unreadable { object, logged } => {
                self.agent.telemetry.metrics.unreadable.with_label_values(&[label]).inc();
                if logged == Logged::No {
                    let (name, why) = (object.identity.to_string(), &object.why);
                    warn!(
                        "resource" = label, "object" = name.as_str();
                        "skipped `{name}` of {label}, which can't be parsed, and dropped its known state: {why}"
                    );
                }
            }
        }
    }

    /// Records that this resource is current.
    fn confirm(&self) {
        self.clear_failure();
        self.agent.world.confirm(self.resource, self.agent.clock.now().mono);
    }

    /// Wakes the other watches from their backoff when this one succeeds after a failure.
    fn clear_failure(&self) {
        if self.agent.world.clear_failure(self.resource) {
            self.agent.drained.nudge();
        }
    }

    fn backed_off(&self, failure: &KubernetesFailure, rest: Duration, nth: u32) {
        self.count("refused");
        let age = self.failed(failure);
        let (label, server) = (label(self.resource), self.agent.kubernetes.server());
        if failure.kind.is_refusal() && nth < REFUSALS_AT_START {
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
        let (label, server) = (label(self.resource), self.agent.kubernetes.server());
        if let Relist::Unreadable(_) = why {
            self.agent.telemetry.metrics.unreadable.with_label_values(&[label]).inc();
            warn!("resource" = label, "server" = server; "listing {label} of `{server}` anew: {why}");
        } else {
            info!("resource" = label, "server" = server; "listing {label} of `{server}` anew: {why}");
        }
        // Older versions can't be watched: until the list is complete, the World is as old as its last update.
        let kind = KubernetesFailureKind::Unavailable { retry_after_s: None };
        self.failed(&KubernetesFailure { kind, cause: format!("listing anew: {why}") });
    }

    /// Records a failure, and describes the age of the known state.
    fn failed(&self, failure: &KubernetesFailure) -> String {
        let now = self.agent.clock.now().mono;
        self.agent.world.record_failure(self.resource, failure, now);
        self.agent.world.read(|world, _| match world.is_listed(self.resource) {
            true => format!("the known state is {} s old", world.age(self.resource, now).as_secs()),
            false => format!("no {} loaded yet", label(self.resource)),
        })
    }

    fn count(&self, event: &str) {
        self.agent.telemetry.metrics.watch_events.with_label_values(&[label(self.resource), event]).inc();
    }
}

pub(super) const fn label(resource: Resource) -> &'static str {
    match resource {
        Resource::Pods => "pods",
        Resource::Namespaces => "namespaces",
        Resource::ServiceAccounts => "serviceaccounts",
    }
}

/// Interval of checks whether the rules are set.
const RULES_POLL: Duration = Duration::from_millis(20);
/// An API server that has just started refuses until its RBAC rules are loaded, which takes a few seconds: at this
/// consecutive refusal, 2.8 to 5.6 s have passed since the first one.
const REFUSALS_AT_START: u32 = 4;
