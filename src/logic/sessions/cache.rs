//! The life of sessions: who gets which, when one is fetched, renewed, kept through trouble and dropped.
//!
//! - One call per key is queued or in flight, however many ask.
//! - A session is served until a minute before its end, whatever STS does, and renewed at half of its life. Who asks
//!   for one that nobody renewed in time waits a moment for the next, and gets the old one if that doesn't come.
//! - A call that somebody waits for goes before renewals, these before prefetches; the latter two keep to a budget
//!   and leave places free. Roles take turns.
//! - A call that bears a pod's token can be made only with what somebody brings: such sessions are neither renewed nor
//!   fetched unasked. Who asks after half of the life brings the token for the next; it is gone once the call is made.
//! - What nobody here may use any more is dropped by [`Cache::sweep`].
//! - Only [`Mono`] counts: a wall clock that jumps ends no session and prolongs none.

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

/// What the operator laid down about calls to STS.
#[derive(Clone, Copy, Debug)]
pub struct CacheRules {
    /// The pace of renewals and prefetches
    pub budget: Rate,
    pub renew: RenewAt,
    /// How long a failure is remembered; `None`: by its kind
    pub error_ttl: Option<Duration>,
}

/// When a session is renewed; up to a tenth of it earlier, never later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewAt {
    /// At half of the life that STS granted
    Half,
    /// At this age, at half of the life if STS granted less than twice as much
    Age(Duration),
}

/// Sessions of type `S` by the call that gets them.
#[derive(Debug)]
pub struct Cache<S> {
    rules: CacheRules,
    entries: FastMap<Arc<AssumeRole>, CacheEntry<S>>,
    line: CallQueue,
    prefetches: Prefetches,
    /// No renewal is due before this.
    next_due: Mono,
}

/// What whoever asks gets.
#[derive(Debug)]
pub enum CacheAnswer<S> {
    Serve(Arc<S>),
    /// Take this if nothing better comes until then. Counts as a wait for the call with this number.
    Refresh {
        held: Arc<S>,
        turn: u64,
        until: Mono,
    },
    Refuse(StsFailure),
    /// Wait until the call with this number is done, then [`Cache::look`]; or [`Cache::leave`].
    Wait(u64),
    /// Nothing is held or under way, and the one who asked may not start a call. How the last one failed, if it did.
    Unstarted(Option<StsFailure>),
    /// No room for another key.
    Full,
}

/// Whether asking may start a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Allowed,
    Withheld,
}

/// What a caller of STS does next.
#[derive(Debug)]
pub enum NextCall {
    Call(Due),
    /// Nothing to do until then, or until something is asked.
    Rest(Mono),
}

/// A call to be made.
#[derive(Clone, Debug)]
pub struct Due {
    pub request: Arc<AssumeRole>,
    pub purpose: CallPurpose,
    /// How long it was queued
    pub queued: Duration,
    /// What it bears, if it isn't signed
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
            line: CallQueue::new(rules.budget, now),
            prefetches: Prefetches::default(),
            next_due: NEVER,
        }
    }

    /// Asks for the session of `key`. A caller that must wait counts as a waiter until [`Cache::look`] or [`Cache::leave`].
    /// `token` is the caller's, where calls bear tokens.
    pub fn ask(&mut self, key: &AssumeRole, start: Start, token: Option<TokenMark>, now: Mono) -> CacheAnswer<S> {
        let Some(entry) = self.entries.get_mut(key) else { return self.ask_anew(key, start, now) };
        entry.orphan = false;
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
        let (key, turn) = (entry.key.clone(), entry.turn + 1);
        self.enqueue(&key, CallPurpose::Request, now);
        CacheAnswer::Wait(turn)
    }

    /// What came of the call with number `turn`; `None`: it isn't done yet. A waiter that got an answer is none any more.
    pub fn look(&mut self, key: &AssumeRole, turn: u64, now: Mono) -> Option<CacheAnswer<S>> {
        let Some(entry) = self.entries.get_mut(key) else { return Some(CacheAnswer::Full) };
        if entry.turn < turn {
            return None;
        }
        entry.waiters = entry.waiters.saturating_sub(1);
        Some(match (entry.fetched(now), &entry.last_failure) {
            (Some(session), _) => CacheAnswer::Serve(session),
            (None, Some(failure)) => CacheAnswer::Refuse(failure.clone()),
            (None, None) => CacheAnswer::Full,
        })
    }

    /// A waiter gives up. A queued call that nobody waits for any more is dropped.
    pub fn leave(&mut self, key: &AssumeRole) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.waiters = entry.waiters.saturating_sub(1);
        if entry.waiters == 0 && matches!(entry.call, CallState::Queued { purpose: CallPurpose::Request, .. }) {
            entry.call = CallState::Idle;
            entry.tokens.drop_brought();
            self.next_due = self.next_due.min(entry.due_at());
            self.line.remove(key, CallPurpose::Request);
        }
    }

    /// Gives out the next call, if there is one that may be made now. Whoever takes it owes a [`Cache::finish`].
    pub fn next(&mut self, now: Mono) -> NextCall {
        if now >= self.next_due {
            self.queue_due_renewals(now);
        }
        let Some((request, purpose)) = self.line.next(now) else {
            let ready_at = self.line.ready_at(now).unwrap_or(NEVER);
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

    /// Takes the result of a call: a session and how long it lives. `random` is any random number.
    pub fn finish(&mut self, key: &AssumeRole, result: Result<(S, Duration), StsFailure>, now: Mono, random: u64) {
        self.line.done(key);
        let CacheRules { renew, error_ttl, .. } = self.rules;
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.call = CallState::Idle;
        entry.turn += 1;
        match result {
            // STS never grants more than was asked: a longer life is a date that was misread.
            Ok((session, life)) => {
                entry.accept(session, life.min(Duration::from_secs(key.duration_s.into())), renew, now, random);
            }
            Err(failure) => entry.reject(failure, error_ttl, now, random),
        }
        let due = entry.due_at();
        if entry.orphan && entry.waiters == 0 {
            self.entries.remove(key);
        } else {
            self.next_due = self.next_due.min(due);
        }
    }

    /// Drops what no pod here may use any more, and what has ended or been forgotten.
    pub fn sweep(&mut self, entitled: &HashSet<AssumeRole>, now: Mono) {
        self.entries.retain(|key, entry| {
            entry.orphan = !entitled.contains(&**key);
            let busy = entry.waiters > 0 || matches!(entry.call, CallState::InFlight { .. });
            busy || (entry.tidy(now) == Keep::Keeping && !entry.orphan)
        });
        let entries = &self.entries;
        self.line.retain(|key| entries.contains_key(key));
        self.prefetches.retain(|_, key| entries.contains_key(&**key));
    }

    /// Hands out what is held and due for renewal, and sees to that.
    fn serve(&mut self, key: &AssumeRole, held: Arc<S>, token: Option<TokenMark>, now: Mono) -> CacheAnswer<S> {
        let Some(entry) = self.entries.get_mut(key) else { return CacheAnswer::Serve(held) };
        entry.asked = CallDemand::Asked;
        let (key, turn, may_call) = (entry.key.clone(), entry.turn + 1, entry.may_call_with(token, now));
        let due = may_call && entry.is_due(now);
        let Some(until) = entry.worth_waiting(now).filter(|_| may_call) else {
            if due {
                self.enqueue(&key, CallPurpose::Renewal, now);
            }
            return CacheAnswer::Serve(held);
        };
        entry.waiters += 1;
        self.enqueue(&key, CallPurpose::Request, now);
        CacheAnswer::Refresh { held, turn, until }
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

    /// Queues a call, or moves a queued one to the front rank if it became more urgent.
    fn enqueue(&mut self, key: &Arc<AssumeRole>, purpose: CallPurpose, now: Mono) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let since = match entry.call {
            CallState::InFlight { .. } => return,
            CallState::Queued { purpose: already, .. } if already <= purpose => return,
            CallState::Queued { purpose: already, since } => {
                self.line.remove(key, already);
                since
            }
            CallState::Idle => now,
        };
        entry.call = CallState::Queued { purpose, since };
        self.line.push(key.clone(), purpose);
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

    /// Makes room for one more key: among those at rest, what is of least use goes. A prefetch takes only the place of
    /// what holds nothing.
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

/// As many as kube2iam's cache held.
pub const MOST_ENTRIES: usize = 5_000;
const NEVER: Mono = Mono::from_micros(u64::MAX);

#[cfg(test)]
pub(crate) mod tests;
