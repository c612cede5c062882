//! A look at the cache from outside, for whoever explains: it asks for nothing and changes nothing.

use std::sync::Arc;

use super::entry::{CacheEntry, CallState};
use super::{Cache, CacheCounts};
use crate::logic::base::time::Mono;
use crate::logic::sts::AssumeRole;

/// How it stands with the session of one call.
#[derive(Debug)]
pub struct EntryState<S> {
    /// What is held and hasn't ended
    pub session: Option<Arc<S>>,
    /// Whether a call is queued or in flight
    pub under_way: bool,
}

impl<S> Cache<S> {
    /// How it stands with the session of `key`.
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
            queued: self.line.queued(),
            in_flight: self.line.under_way(),
        }
    }

    /// Calls that renewals and prefetches may make at once, of how many.
    pub fn budget(&self, now: Mono) -> (f64, f64) {
        self.line.budget(now)
    }
}
