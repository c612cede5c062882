//! The lifecycle of sessions: when one is fetched, renewed, kept during outages and dropped.
//!
//! - At most one call per key is queued or in flight, however many requests need it.
//! - A session is served until one minute before it expires, even during an outage of STS, and renewed halfway
//!   through its lifetime. If the renewal is late, a request waits briefly for the new session and gets the old one
//!   if that doesn't arrive.
//! - Calls that requests wait for run before renewals, and renewals before prefetches; the latter two are
//!   rate-limited and leave call slots free. Roles take turns.
//! - A call that carries a pod's token needs a request to bring the token, so such sessions are neither renewed nor
//!   prefetched. The first request in the second half of the lifetime brings the token for the next session; the
//!   token is dropped once the call is made.
//! - [`Cache::sweep`] drops sessions that no pod on this node is entitled to any more.
//! - Expiry uses [`Mono`]: a jump of the wall clock neither ends nor extends a session.

mod ahead;
mod call_queue;
mod entry;
mod entry_state;
mod queue;
mod tokens;

pub use entry_state::EntryState;
pub use tokens::TokenMark;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::logic::base::maps::FastMap;
use crate::logic::base::secret::Secret;
use crate::logic::base::time::Mono;
use crate::logic::sessions::budget::Rate;
use crate::logic::sts::{AssumeRole, StsFailure};

use ahead::Prefetches;
use call_queue::CallQueue;
pub use call_queue::{CallPurpose, CallReport, MOST_CALLS};
use entry::{CacheEntry, CallDemand, CallState, Keep};

/// The operator's settings for calls to STS.
#[derive(Clone, Copy, Debug)]
pub struct CacheRules {
    /// The rate limit of renewals and prefetches
    pub budget: Rate,
    pub renew: RenewAt,
    /// How long a failure is remembered; `None`: depends on its kind
    pub error_ttl: Option<Duration>,
}

/// When a session is renewed; jitter makes it up to a tenth earlier, never later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewAt {
    /// At half of the lifetime that STS granted
    Half,
    /// At this age, or at half of the lifetime if that is earlier
    Age(Duration),
}

/// Sessions of type `S`, keyed by the call that gets them.
#[derive(Debug)]
pub struct Cache<S> {
    rules: CacheRules,
    entries: FastMap<Arc<AssumeRole>, CacheEntry<S>>,
    calls: CallQueue,
    prefetches: Prefetches,
    /// No renewal is due before this time.
    next_due: Mono,
}

/// The result for a request.
#[derive(Debug)]
pub enum CacheAnswer<S> {
    Serve(Arc<S>),
    /// Wait for the call with this number until the given time, then use `held`. Counts as a waiter.
    Refresh {
        held: Arc<S>,
        call_number: u64,
        until: Mono,
    },
    Refuse(StsFailure),
    /// Wait until the call with this number has finished, then [`Cache::poll`]; or [`Cache::leave`].
    Wait(u64),
    /// No session is cached, no call is pending, and the request may not start one. Contains the last failure, if
    /// any.
    Unstarted(Option<StsFailure>),
    /// The cache has no room for another key.
    Full,
}

/// Whether a request may start a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Allowed,
    Withheld,
}

/// The next action of a caller of STS.
#[derive(Debug)]
pub enum NextCall {
    Call(Due),
    /// Nothing to do until this time or the next request.
    Rest(Mono),
}

/// A call to make.
#[derive(Clone, Debug)]
pub struct Due {
    pub request: Arc<AssumeRole>,
    pub purpose: CallPurpose,
    /// How long the call was queued
    pub queued: Duration,
    /// The token to send instead of signing
    pub token: Option<Secret<String>>,
}

/// Counts for status and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    pub sessions: usize,
    pub refused: usize,
    pub queued: usize,
    pub in_flight: usize,
}

impl<S> Cache<S> {
    pub fn new(rules: CacheRules, now: Mono) -> Self {
        Self {
            rules,
            entries: FastMap::default(),
            calls: CallQueue::new(rules.budget, now),
            prefetches: Prefetches::default(),
            next_due: NEVER,
        }
    }

    /// Requests the session of `key`. A caller that must wait counts as a waiter until [`Cache::poll`] or
    /// [`Cache::leave`]. `token` identifies the caller's token, if calls carry tokens.
    pub fn ask(&mut self, key: &AssumeRole, start: Start, token: Option<TokenMark>, now: Mono) -> CacheAnswer<S> {
        let Some(entry) = self.entries.get_mut(key) else { return self.ask_anew(key, start, now) };
        entry.unentitled = false;
        if let Some(held) = entry.servable(now) {
            if entry.call == CallState::Idle && !entry.is_due(now) {
                entry.asked = CallDemand::Asked;
                return CacheAnswer::Serve(held);
            }
            return self.serve(key, held, token, now);
        }
        if let (Some(failure), CallState::Idle) = (entry.refusal_for(token, now), entry.call) {
            return CacheAnswer::Refuse(failure.clone());
        }
        if entry.call == CallState::Idle && start == Start::Withheld {
            return CacheAnswer::Unstarted(entry.last_failure.clone());
        }
        entry.waiters += 1;
        entry.asked = CallDemand::Asked;
        let (key, call_number) = (entry.key.clone(), entry.calls_done + 1);
        self.enqueue(&key, CallPurpose::Request, now);
        CacheAnswer::Wait(call_number)
    }

    /// The result of the call with this number; `None`: it hasn't finished. A result ends the caller's wait.
    pub fn poll(&mut self, key: &AssumeRole, call_number: u64, now: Mono) -> Option<CacheAnswer<S>> {
        let Some(entry) = self.entries.get_mut(key) else { return Some(CacheAnswer::Full) };
        if entry.calls_done < call_number {
            return None;
        }
        entry.waiters = entry.waiters.saturating_sub(1);
        Some(match (entry.fetched(now), &entry.last_failure) {
            (Some(session), _) => CacheAnswer::Serve(session),
            (None, Some(failure)) => CacheAnswer::Refuse(failure.clone()),
            (None, None) => CacheAnswer::Full,
        })
    }

    /// Ends a caller's wait. A queued call without waiters is dropped.
    pub fn leave(&mut self, key: &AssumeRole) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.waiters = entry.waiters.saturating_sub(1);
        if entry.waiters == 0 && matches!(entry.call, CallState::Queued { purpose: CallPurpose::Request, .. }) {
            entry.call = CallState::Idle;
            entry.tokens.drop_brought();
            self.next_due = self.next_due.min(entry.due_at());
            self.calls.remove(key, CallPurpose::Request);
        }
    }

    /// Returns the next call, if one may be made now. The caller must report it with [`Cache::finish`].
    pub fn next(&mut self, now: Mono) -> NextCall {
        if now >= self.next_due {
            self.queue_due_renewals(now);
        }
        let Some((request, purpose)) = self.calls.next(now) else {
            let ready_at = self.calls.ready_at(now).unwrap_or(NEVER);
            return NextCall::Rest(ready_at.min(self.next_due));
        };
        if purpose == CallPurpose::Prefetch {
            self.end_prefetch_wait(&request);
        }
        let (mut since, mut token) = (now, None);
        if let Some(entry) = self.entries.get_mut(&request) {
            if let CallState::Queued { since: queued, .. } = entry.call {
                since = queued;
            }
            entry.call = CallState::InFlight { since };
            token = entry.tokens.take();
        }
        NextCall::Call(Due { request, purpose, queued: now.since(since), token })
    }

    /// Records the result of a call: a session and its remaining lifetime. `random` is any random number.
    pub fn finish(&mut self, key: &AssumeRole, result: Result<(S, Duration), StsFailure>, now: Mono, random: u64) {
        self.calls.done(key);
        let CacheRules { renew, error_ttl, .. } = self.rules;
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.call = CallState::Idle;
        entry.calls_done += 1;
        match result {
            // STS never grants more than requested: a longer lifetime means a misread date.
            Ok((session, life)) => {
                entry.accept(session, life.min(Duration::from_secs(key.duration_s.into())), renew, now, random);
            }
            Err(failure) => entry.reject(failure, error_ttl, now, random),
        }
        let due = entry.due_at();
        if entry.unentitled && entry.waiters == 0 {
            self.entries.remove(key);
        } else {
            self.next_due = self.next_due.min(due);
        }
    }

    /// Drops sessions that no pod is entitled to, and expired sessions and failures.
    pub fn sweep(&mut self, entitled: &HashSet<AssumeRole>, now: Mono) {
        self.entries.retain(|key, entry| {
            entry.unentitled = !entitled.contains(&**key);
            let busy = entry.waiters > 0 || matches!(entry.call, CallState::InFlight { .. });
            busy || (entry.tidy(now) == Keep::Keeping && !entry.unentitled)
        });
        let entries = &self.entries;
        self.calls.retain(|key| entries.contains_key(key));
        self.prefetches.retain(|_, key| entries.contains_key(&**key));
    }

    /// Serves a cached session that is due for renewal, and queues that.
    fn serve(&mut self, key: &AssumeRole, held: Arc<S>, token: Option<TokenMark>, now: Mono) -> CacheAnswer<S> {
        let Some(entry) = self.entries.get_mut(key) else { return CacheAnswer::Serve(held) };
        entry.asked = CallDemand::Asked;
        let (key, call_number, may_call) = (entry.key.clone(), entry.calls_done + 1, entry.may_call_with(token, now));
        let due = may_call && entry.is_due(now);
        let Some(until) = entry.worth_waiting(now).filter(|_| may_call) else {
            if due {
                self.enqueue(&key, CallPurpose::Renewal, now);
            }
            return CacheAnswer::Serve(held);
        };
        entry.waiters += 1;
        self.enqueue(&key, CallPurpose::Request, now);
        CacheAnswer::Refresh { held, call_number, until }
    }

    fn ask_anew(&mut self, key: &AssumeRole, start: Start, now: Mono) -> CacheAnswer<S> {
        if start == Start::Withheld {
            return CacheAnswer::Unstarted(None);
        }
        if !self.make_room(CallPurpose::Request, now) {
            return CacheAnswer::Full;
        }
        let key = self.insert(key.clone(), CallDemand::Asked);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.waiters = 1;
        }
        self.enqueue(&key, CallPurpose::Request, now);
        CacheAnswer::Wait(1)
    }

    fn insert(&mut self, key: AssumeRole, asked: CallDemand) -> Arc<AssumeRole> {
        let key = Arc::new(key);
        self.entries.insert(key.clone(), CacheEntry::new(key.clone(), asked));
        key
    }

    /// Queues a call, or moves a queued one to a more urgent queue.
    fn enqueue(&mut self, key: &Arc<AssumeRole>, purpose: CallPurpose, now: Mono) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let since = match entry.call {
            CallState::InFlight { .. } => return,
            CallState::Queued { purpose: already, .. } if already <= purpose => return,
            CallState::Queued { purpose: already, since } => {
                self.calls.remove(key, already);
                since
            }
            CallState::Idle => now,
        };
        entry.call = CallState::Queued { purpose, since };
        self.calls.push(key.clone(), purpose);
        if purpose != CallPurpose::Prefetch {
            self.end_prefetch_wait(key);
        }
    }

    fn queue_due_renewals(&mut self, now: Mono) {
        let mut due: BinaryHeap<Reverse<(Mono, Arc<AssumeRole>)>> = BinaryHeap::new();
        self.next_due = NEVER;
        for (key, entry) in &mut self.entries {
            if now < entry.due_at() {
                self.next_due = self.next_due.min(entry.due_at());
            } else if entry.is_worth_renewing() {
                due.push(Reverse((entry.due_at(), key.clone())));
            }
        }
        while let Some(Reverse((_, key))) = due.pop() {
            self.enqueue(&key, CallPurpose::Renewal, now);
        }
    }

    /// Makes room for another key by dropping the least useful idle entry. A prefetch replaces only entries without a
    /// session.
    fn make_room(&mut self, purpose: CallPurpose, now: Mono) -> bool {
        if self.entries.len() < MOST_ENTRIES {
            return true;
        }
        let may_go =
            |entry: &CacheEntry<S>| entry.is_at_rest() && (purpose != CallPurpose::Prefetch || entry.is_bare(now));
        let usefulness = |entry: &CacheEntry<S>| {
            let left = entry.live(now).map_or(Duration::ZERO, |held| held.life_left(now));
            (!left.is_zero(), entry.asked == CallDemand::Asked, left)
        };
        let least = self.entries.iter().filter(|(_, entry)| may_go(entry)).min_by_key(|(_, entry)| usefulness(entry));
        let Some(key) = least.map(|(key, _)| key.clone()) else { return false };
        self.entries.remove(&key).is_some()
    }
}

/// The capacity of kube2iam's cache.
pub const MOST_ENTRIES: usize = 5_000;
const NEVER: Mono = Mono::from_micros(u64::MAX);

#[cfg(test)]
pub(crate) mod tests;
