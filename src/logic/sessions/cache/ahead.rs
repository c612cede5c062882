//! Calls made before the first request. A pod has at most one of them waiting, for what it would ask now, and none costs
//! what is held: a pod whose annotations change all day can neither fill the cache nor the queue.

use std::sync::Arc;

use super::entry::{CallDemand, CallState, Keep};
use super::{Cache, CallPurpose};
use crate::logic::base::maps::FastMap;
use crate::logic::base::time::Mono;
use crate::logic::sts::AssumeRole;

/// By pod uid: the prefetch that waits for it. A key is in here exactly while its prefetch is queued.
pub(super) type Prefetches = FastMap<Arc<str>, Arc<AssumeRole>>;

impl<S> Cache<S> {
    /// Fetches ahead of the first request of a pod, unless something good is held or under way, or the last try failed.
    /// What waited for the same pod before is no longer fetched, unless other pods want it too.
    pub fn prefetch(&mut self, pod_uid: &Arc<str>, key: AssumeRole, now: Mono) {
        if key.subject.is_some() {
            return; // nobody brings a token
        }
        self.withdraw_prefetch(pod_uid, &key, now);
        let key = if let Some(entry) = self.entries.get_mut(&key) {
            if entry.wants_prefetch(now) {
                (entry.asked, entry.orphan) = (CallDemand::Ahead, false);
            } else if !entry.awaits_prefetch() {
                return;
            }
            entry.key.clone()
        } else if self.make_room(CallPurpose::Prefetch, now) {
            self.insert(key, CallDemand::Ahead)
        } else {
            return;
        };
        self.enqueue(&key, CallPurpose::Prefetch, now);
        self.prefetches.insert(pod_uid.clone(), key);
    }

    /// Takes what waits for a pod out of the queue if it isn't `wanted` any more.
    fn withdraw_prefetch(&mut self, pod_uid: &Arc<str>, wanted: &AssumeRole, now: Mono) {
        let Some(waiting) = self.prefetches.get(pod_uid).filter(|waiting| ***waiting != *wanted).cloned() else {
            return;
        };
        self.prefetches.remove(pod_uid);
        if self.prefetches.values().any(|other| Arc::ptr_eq(other, &waiting)) {
            return;
        }
        self.line.remove(&waiting, CallPurpose::Prefetch);
        let Some(entry) = self.entries.get_mut(&waiting) else { return };
        entry.call = CallState::Idle;
        if entry.tidy(now) == Keep::Nothing {
            self.entries.remove(&waiting);
        } else {
            self.next_due = self.next_due.min(entry.due_at());
        }
    }

    /// Takes note that the prefetch of `key` waits no longer: it is made, or became more urgent.
    pub(super) fn end_prefetch_wait(&mut self, key: &Arc<AssumeRole>) {
        self.prefetches.retain(|_, waiting| !Arc::ptr_eq(waiting, key));
    }
}
