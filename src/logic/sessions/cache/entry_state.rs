//! Read access to the cache, for status and explain.

use std::sync::Arc;

use super::entry::{CacheEntry, CallState};
use super::{Cache, CacheCounts};
use crate::logic::base::time::Mono;
use crate::logic::sts::AssumeRole;

/// The state of one call's session.
#[derive(Debug)]
pub struct EntryState<S> {
    /// The unexpired session
    pub session: Option<Arc<S>>,
    /// Whether a call is queued or in flight
    pub under_way: bool,
}

impl<S> Cache<S> {
    /// The state of the session of `key`.
    pub fn standing(&self, key: &AssumeRole, now: Mono) -> EntryState<S> {
        let Some(entry) = self.entries.get(key) else { return EntryState { session: None, under_way: false } };
        EntryState {
            session: entry.live(now).map(|held| held.session.clone()),
            under_way: entry.call != CallState::Idle,
        }
    }

    pub fn counts(&self, now: Mono) -> CacheCounts {
        let live = |entry: &&CacheEntry<S>| entry.live(now).is_some();
        CacheCounts {
            sessions: self.entries.values().filter(live).count(),
            refused: self.entries.values().filter(|entry| !live(entry) && entry.has_refusal()).count(),
            queued: self.calls.queued(),
            in_flight: self.calls.under_way(),
        }
    }

    /// The background calls that may be made at once, and their maximum.
    pub fn budget(&self, now: Mono) -> (f64, f64) {
        self.calls.budget(now)
    }
}
