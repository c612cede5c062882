//! The threads that work beside the requests: watches, calls to STS, housekeeping, health.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use log::{debug, error, info, warn};

use super::build::Rooms;
use super::prefetch::prefetch;
use crate::edge::imds::discovery;
use crate::edge::memory;
use crate::logic::kubernetes::{KubernetesFailureKind, Resource};
use crate::logic::policy::{self, Permitted};
use crate::logic::sts::AssumeRole;
use crate::logic::watch::Note;
use crate::ports::Waited;
use crate::reflect::Reflector;

/// Keeps the picture of service accounts, if they name roles.
pub(super) fn watch_accounts(rooms: &Rooms) {
    if rooms.config.roles.service_account_roles {
        watch(rooms, Resource::ServiceAccounts);
    }
}

/// Keeps the picture of one resource, from the moment that the rules are known.
pub(super) fn watch(rooms: &Rooms, resource: Resource) {
    while rooms.registry.read(|_, rules| rules.is_none()) {
        if rooms.latch.wait(rooms.clock.now().mono.after(RULES_POLL)) == Waited::ShutDown {
            return;
        }
    }
    let apply = |event| {
        let change = rooms.registry.apply(resource, event);
        rooms.telemetry.changed(&change);
        if rooms.config.operation.shadow.is_none() {
            prefetch(rooms, &change);
        }
    };
    Reflector {
        kubernetes: &*rooms.kubernetes,
        resource,
        keys: &rooms.config.kubernetes.keys,
        clock: &*rooms.clock,
        // Not at the first sign of shutdown: an answer in progress may be waiting for its pod to appear.
        wait: &|until| rooms.drained.wait(until),
        dice: &|| rooms.dice.number(),
        apply: &apply,
        note: &|note| tell(rooms, resource, note),
    }
    .run();
}

fn tell(rooms: &Rooms, resource: Resource, note: Note) {
    let label = label(resource);
    match &note {
        Note::BackedOff { .. } => rooms.registry.has_failed(resource),
        Note::Heard | Note::Listed { .. } | Note::Watching => rooms.registry.gets_through(resource),
        _ => {}
    }
    let count = |event: &str| rooms.telemetry.metrics.watch_events.with_label_values(&[label, event]).inc();
    match note {
        Note::Heard => {
            count("heard");
            rooms.telemetry.metrics.heard(label, rooms.clock.now().mono);
        }
        Note::Listed { items, unreadable } => {
            count("listed");
            rooms.telemetry.metrics.heard(label, rooms.clock.now().mono);
            info!("resource" = label, "items" = items, "unreadable" = unreadable; "listed {items} {label}");
        }
        Note::Watching => debug!("resource" = label; "watching {label}"),
        Note::Ended { cause, .. } => {
            count("ended");
            debug!("resource" = label; "the watch of {label} ended: {}", cause.as_deref().unwrap_or("in good order"));
        }
        Note::BackedOff { failure, rest } => {
            count("refused");
            let action = match failure.kind {
                KubernetesFailureKind::Forbidden => "; the agent may not list or watch them: see its ClusterRole",
                KubernetesFailureKind::Unauthorized => "; the API server doesn't know the agent's token",
                _ => "",
            };
            let age = rooms.telemetry.metrics.silence(label, rooms.clock.now().mono);
            let age = age
                .map_or("there is no picture yet".to_owned(), |age| format!("the picture is {} s old", age.as_secs()));
            warn!("resource" = label, "retry.ms" = rest.as_millis(); "failed to read {label}: {}{action}; {age}", failure.cause);
        }
        Note::Relisting { why, .. } => {
            count("relisted");
            info!("resource" = label; "listing {label} anew: {why:?}");
        }
        Note::Unreadable { why, nth } => {
            count("unreadable");
            if nth == 1 {
                error!("resource" = label; "skipped a line of the watch of {label} that can't be read, and will any other: {why}");
            }
        }
    }
}

const fn label(resource: Resource) -> &'static str {
    match resource {
        Resource::Pods => "pods",
        Resource::Namespaces => "namespaces",
        Resource::ServiceAccounts => "serviceaccounts",
    }
}

/// Makes calls to STS until the desk closes.
pub(super) fn call_sts(rooms: &Rooms) {
    rooms.desk.work(&*rooms.sts, &|| rooms.dice.number(), &|report| rooms.telemetry.called(report));
}

/// Drops sessions that no pod may use any more, and rotates the keys of the tokens.
pub(super) fn keep_house(rooms: &Rooms) {
    let mut pause = FIRST_HOUSEKEEPING;
    while rooms.latch.wait(rooms.clock.now().mono.after(pause)) == Waited::Elapsed {
        pause = HOUSEKEEPING;
        if let Some(entitled) = entitled(rooms) {
            rooms.desk.sweep(&entitled);
            rooms.telemetry.retain_roles(&entitled.iter().map(|request| request.role.clone()).collect());
        }
        forget_namespaces(rooms);
        if rooms.keys.is_rotation_due() {
            rotate_keys(rooms);
        }
        memory::give_back();
    }
}

/// What pods here may ask of STS, once everything is known. The picture is locked for a few pods at a time.
pub(super) fn entitled(rooms: &Rooms) -> Option<HashSet<AssumeRole>> {
    let pods: Vec<_> = rooms.registry.read(|world, rules| {
        let known = rules.is_some() && world.is_ready();
        known.then(|| world.pods().filter(|pod| pod.counts()).cloned().collect())
    })?;
    let mut entitled = HashSet::new();
    for pods in pods.chunks(PODS_AT_ONCE) {
        rooms.registry.read(|world, rules| {
            let permitted = pods.iter().filter_map(|pod| policy::permit(world, rules?, pod).ok());
            entitled.extend(permitted.map(Permitted::into_request));
        });
    }
    Some(entitled)
}

/// Metrics of namespaces that are gone would pile up where namespaces come and go.
fn forget_namespaces(rooms: &Rooms) {
    let known = rooms.registry.read(|world, _| {
        let listed = world.is_listed(Resource::Namespaces);
        listed.then(|| world.namespaces().map(|(name, _)| Arc::from(name)).collect::<HashSet<Arc<str>>>())
    });
    if let Some(known) = known {
        rooms.telemetry.metrics.retain_namespaces(|name| known.contains(name));
    }
}

fn rotate_keys(rooms: &Rooms) {
    match rooms.dice.secret() {
        Ok(secret) => {
            if let Some(cause) = rooms.keys.rotate(&secret) {
                warn!("session tokens may have to be asked for anew after an upgrade: {cause}");
            }
        }
        Err(cause) => error!("failed to draw a new token key: {cause}"),
    }
}

/// Looks after the metadata service as kube2iam does: `instanceId` of `/healthz` and the gauge.
pub(super) fn watch_health(rooms: &Rooms) {
    loop {
        match discovery::instance_id(&*rooms.imds) {
            Ok(id) => {
                *rooms.facts.instance_id.write() = id;
                rooms.telemetry.metrics.healthcheck_status.set(1.0);
            }
            Err(failure) => {
                debug!("failed to read the instance id: {}", failure.cause);
                rooms.telemetry.metrics.healthcheck_status.set(0.0);
            }
        }
        if rooms.latch.wait(rooms.clock.now().mono.after(HEALTH_CHECK)) == Waited::ShutDown {
            return;
        }
    }
}

/// How soon the watches notice that the rules are known.
const RULES_POLL: Duration = Duration::from_millis(20);
/// By then both lists are in, and what starting up took is free again.
const FIRST_HOUSEKEEPING: Duration = Duration::from_secs(2);
/// Well within the minute after which a session without a pod must be gone.
const HOUSEKEEPING: Duration = Duration::from_secs(20);
/// Pods judged under one lock: well below a millisecond.
const PODS_AT_ONCE: usize = 256;
/// kube2iam's interval.
const HEALTH_CHECK: Duration = Duration::from_secs(30);
