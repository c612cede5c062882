//! The age of the World and its consequences, which are decided only here.
//!
//! The age of a resource is the time since its last complete list, event or bookmark. While the API server can't be
//! reached, age doesn't matter: no pod starts without it, so no address changes hands. While it responds with
//! refusals, addresses may have moved to other pods: the agent becomes unready, and later stops serving credentials.
//! A World that became too old in this way stays so when the server then becomes unreachable, until it is current
//! again.

use std::time::Duration;

use super::{Resource, World, index};
use crate::logic::base::time::Mono;
use crate::logic::cluster::kubernetes::KubernetesFailure;

/// When each resource was last current, and its failures since.
#[derive(Clone, Debug, Default)]
pub(super) struct Ages {
    of: [Knowledge; 3],
    /// `None`: no age is too old
    longest: Option<Duration>,
}

#[derive(Clone, Debug, Default)]
struct Knowledge {
    current_at: Option<Mono>,
    failing: Option<Failing>,
}

/// Why a resource isn't current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    pub since: Mono,
    pub cause: String,
    /// The first and the last refusal
    refused: Option<(Mono, Mono)>,
}

/// A resource that the API server has refused for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooOld {
    pub resource: Resource,
    pub age: Duration,
}

impl World {
    /// Sets the age of a required resource beyond which no credentials are served; `None`: no limit.
    pub fn limit_age(&mut self, longest: Option<Duration>) {
        self.ages.longest = longest;
    }

    /// Records a completed list, an event or a bookmark.
    pub fn confirm(&mut self, resource: Resource, now: Mono) {
        self.ages.of[index(resource)] = Knowledge { current_at: Some(now), failing: None };
    }

    /// Records that the API server serves the resource again: an unknown object may still arrive.
    pub fn clear_failure(&mut self, resource: Resource) {
        self.ages.of[index(resource)].failing = None;
    }

    /// Records that the API server returned no usable response.
    pub fn record_failure(&mut self, resource: Resource, failure: &KubernetesFailure, now: Mono) {
        let known = &mut self.ages.of[index(resource)];
        let before = known.failing.take();
        let mut refused = before.as_ref().and_then(|failing| failing.refused);
        if failure.kind.is_refusal() {
            let longest = self.ages.longest;
            let goes_on = |span: &(Mono, Mono)| {
                now.since(span.1) <= REFUSAL_COUNTS || longest.is_some_and(|limit| known.was_too_old(*span, limit))
            };
            refused = Some((refused.filter(goes_on).map_or(now, |(first, _)| first), now));
        }
        let since = before.map_or(now, |failing| failing.since);
        known.failing = Some(Failing { since, cause: failure.cause.clone(), refused });
    }

    /// The age of a resource; before the first list the age of the agent.
    pub fn age(&self, resource: Resource, now: Mono) -> Duration {
        now.since(self.ages.of[index(resource)].current_at.unwrap_or_default())
    }

    /// Whether the watch of a resource is failing.
    pub fn is_failing(&self, resource: Resource) -> bool {
        self.failing(resource).is_some()
    }

    /// When the last event or bookmark of any watch arrived, or the last list was completed; `None` while a watch
    /// fails, or before all resources were listed.
    pub fn last_event_at(&self) -> Option<Mono> {
        let heard: Option<Vec<Mono>> = self
            .watched()
            .map(|resource| self.ages.of[index(resource)].current_at.filter(|_| self.failing(resource).is_none()))
            .collect();
        heard?.into_iter().max()
    }

    pub fn failing(&self, resource: Resource) -> Option<&Failing> {
        self.ages.of[index(resource)].failing.as_ref()
    }

    /// The resource that is too old for the agent to be ready.
    pub fn is_unready(&self, namespaces: impl FnOnce() -> Needed, now: Mono) -> Option<TooOld> {
        let limit = self.ages.longest.map_or(READY_WITHIN, |longest| longest.min(READY_WITHIN));
        self.too_old(namespaces, limit, now)
    }

    /// The resource that is too old for credentials to be served.
    pub fn is_stale(&self, namespaces: impl FnOnce() -> Needed, now: Mono) -> Option<TooOld> {
        self.too_old(namespaces, self.ages.longest?, now)
    }

    fn too_old(&self, namespaces: impl FnOnce() -> Needed, limit: Duration, now: Mono) -> Option<TooOld> {
        let mut refused = self.watched().filter(|resource| self.is_refused_for(*resource, limit, now));
        let first = refused.next()?;
        let resource = match first {
            Resource::Namespaces if namespaces() == Needed::No => refused.next()?,
            first => first,
        };
        Some(TooOld { resource, age: self.age(resource, now) })
    }

    fn is_refused_for(&self, resource: Resource, limit: Duration, now: Mono) -> bool {
        let known = &self.ages.of[index(resource)];
        let refused = known.failing.as_ref().and_then(|failing| failing.refused);
        refused.is_some_and(|(first, last)| {
            let until = if now.since(last) <= REFUSAL_COUNTS { now } else { last };
            known.was_too_old((first, until), limit)
        })
    }
}

impl Knowledge {
    /// Whether refusals between the two times made the resource older than `limit`.
    fn was_too_old(&self, (first, until): (Mono, Mono), limit: Duration) -> bool {
        until.since(self.current_at.unwrap_or_default()) >= limit && until.since(first) >= limit.min(FIRST_REFUSALS)
    }
}

/// Whether decisions depend on a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    Yes,
    No,
}

/// The age at which an agent becomes unready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// A server that has just started refuses everything until its RBAC rules are loaded.
const FIRST_REFUSALS: Duration = Duration::from_secs(10);
/// A refusal counts until the next attempt is overdue: 30 s of backoff and 30 s until the response head must arrive.
const REFUSAL_COUNTS: Duration = Duration::from_secs(90);

#[cfg(test)]
mod tests;
