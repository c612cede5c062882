//! Prefetches: calls before a pod's first request. A pod has at most one queued, for its current parameters, and
//! prefetches never replace cached sessions, so a pod whose annotations keep changing can fill neither the cache nor
//! the queue.

use std::sync::Arc;

use super::entry::{CallDemand, CallState, Keep};
use super::{Cache, CallPurpose};
use crate::logic::base::maps::FastMap;
use crate::logic::base::time::Mono;
use crate::logic::sts::AssumeRole;

/// The queued prefetch per pod UID. A key is present exactly while its prefetch is queued.
pub(super) type Prefetches = FastMap<Arc<str>, Arc<AssumeRole>>;

impl<S> Cache<S> {
    /// Queues a prefetch for a pod, unless a usable session is cached or requested, or the last attempt failed. An
    /// earlier prefetch for the pod is dropped, unless other pods need it too.
    pub fn prefetch(&mut self, pod_uid: &Arc<str>, key: AssumeRole, now: Mono) {
        if key.subject.is_some() {
            return; // calls with tokens need a request
        }
        self.withdraw_prefetch(pod_uid, &key, now);
        let key = if let Some(entry) = self.entries.get_mut(&key) {
            if entry.wants_prefetch(now) {
                (entry.asked, entry.unentitled) = (CallDemand::Ahead, false);
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

    /// Removes a pod's queued prefetch if it isn't the `wanted` one.
    fn withdraw_prefetch(&mut self, pod_uid: &Arc<str>, wanted: &AssumeRole, now: Mono) {
        let Some(waiting) = self.prefetches.get(pod_uid).filter(|waiting| ***waiting != *wanted).cloned() else {
            return;
        };
        self.prefetches.remove(pod_uid);
        if self.prefetches.values().any(|other| Arc::ptr_eq(other, &waiting)) {
            return;
        }
        self.calls.remove(&waiting, CallPurpose::Prefetch);
        let Some(entry) = self.entries.get_mut(&waiting) else { return };
        entry.call = CallState::Idle;
        if entry.tidy(now) == Keep::Nothing {
            self.entries.remove(&waiting);
        } else {
            self.next_due = self.next_due.min(entry.due_at());
        }
    }

    /// Records that the prefetch of `key` is no longer queued: it is being made, or became more urgent.
    pub(super) fn end_prefetch_wait(&mut self, key: &Arc<AssumeRole>) {
        self.prefetches.retain(|_, waiting| !Arc::ptr_eq(waiting, key));
    }
}
