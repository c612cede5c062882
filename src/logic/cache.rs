//! The life of sessions: who gets which, when one is fetched, renewed, kept through trouble and dropped.
//!
//! - One call per key is queued or in flight, however many ask.
//! - A session is served until a minute before its end, whatever STS does, and renewed at half of its life.
//! - A call that somebody waits for goes before renewals, these before prefetches; the latter two keep to a budget.
//! - What nobody here may use any more is dropped by [`Cache::sweep`].

mod look;

pub use look::Standing;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::bucket::{Bucket, Rate};
use super::sts::{AssumeRole, StsFailure, StsFailureKind};
use super::time::Mono;

/// What the operator laid down about calls to STS.
#[derive(Clone, Copy, Debug)]
pub struct CacheRules {
    /// The pace of renewals and prefetches
    pub budget: Rate,
    /// How long a failure is remembered; `None`: by its kind
    pub error_ttl: Option<Duration>,
}

/// Sessions of type `S` by the call that gets them.
#[derive(Debug)]
pub struct Cache<S> {
    rules: CacheRules,
    entries: HashMap<Arc<AssumeRole>, Entry<S>>,
    queues: [VecDeque<Arc<AssumeRole>>; 3],
    in_flight: usize,
    budget: Bucket,
    /// No renewal is due before this.
    next_due: Mono,
}

/// What whoever asks gets.
#[derive(Debug)]
pub enum Answer<S> {
    Serve(Arc<S>),
    Refuse(StsFailure),
    /// Wait until the call with this number is done, then [`Cache::look`]; or [`Cache::leave`].
    Wait(u64),
    /// Nothing is held or under way, and the one who asked may not start a call.
    Unstarted,
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
pub enum Next {
    Call(Arc<AssumeRole>),
    /// Nothing to do until then, or until something is asked.
    Rest(Mono),
}

/// Counts for status and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    pub sessions: usize,
    pub refused: usize,
    pub queued: usize,
    pub in_flight: usize,
}

#[derive(Debug)]
struct Entry<S> {
    key: Arc<AssumeRole>,
    held: Option<Held<S>>,
    refusal: Option<(StsFailure, Mono)>,
    call: Call,
    /// Calls done so far
    turn: u64,
    /// How the last call ended, for those who waited for it
    last_failure: Option<StsFailure>,
    waiters: usize,
    asked: Interest,
    /// Failures in a row
    failures: u32,
    retry_at: Mono,
    /// Nobody may use it any more; only a call in flight keeps it.
    orphan: bool,
}

#[derive(Debug)]
struct Held<S> {
    session: Arc<S>,
    serve_until: Mono,
    ends: Mono,
    renew_at: Mono,
}

/// Why a session is worth renewing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interest {
    /// Somebody asked for it in its present life.
    Asked,
    /// It was fetched ahead, for a first request yet to come.
    Ahead,
    /// Nobody asked in its present life.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Idle,
    Queued(Urgency),
    InFlight,
}

/// In the order in which calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    Waited,
    Renewal,
    Prefetch,
}

impl<S> Cache<S> {
    pub fn new(rules: CacheRules, now: Mono) -> Self {
        let budget = Bucket::full(rules.budget, now);
        Self { rules, entries: HashMap::new(), queues: Default::default(), in_flight: 0, budget, next_due: NEVER }
    }

    /// Asks for the session of `key`. Who is told to wait counts as a waiter until [`Cache::look`] or [`Cache::leave`].
    pub fn ask(&mut self, key: &AssumeRole, start: Start, now: Mono) -> Answer<S> {
        let Some(entry) = self.entries.get_mut(key) else { return self.ask_anew(key, start, now) };
        entry.orphan = false;
        if let Some(held) = entry.held.as_ref().filter(|held| now < held.serve_until) {
            let session = held.session.clone();
            let due = now >= held.renew_at && now >= entry.retry_at && entry.call == Call::Idle;
            entry.asked = Interest::Asked;
            if due {
                let key = entry.key.clone();
                self.enqueue(&key, Urgency::Renewal);
            }
            return Answer::Serve(session);
        }
        if let Some((failure, until)) = &entry.refusal
            && now < *until
            && entry.call == Call::Idle
        {
            return Answer::Refuse(failure.clone());
        }
        if entry.call == Call::Idle && start == Start::Withheld {
            return Answer::Unstarted;
        }
        entry.waiters += 1;
        entry.asked = Interest::Asked;
        let (key, turn) = (entry.key.clone(), entry.turn + 1);
        self.enqueue(&key, Urgency::Waited);
        Answer::Wait(turn)
    }

    /// What came of the call with number `turn`; `None`: it isn't done yet. A waiter that got an answer is none any more.
    pub fn look(&mut self, key: &AssumeRole, turn: u64, now: Mono) -> Option<Answer<S>> {
        let Some(entry) = self.entries.get_mut(key) else { return Some(Answer::Full) };
        if entry.turn < turn {
            return None;
        }
        entry.waiters = entry.waiters.saturating_sub(1);
        let session = entry.held.as_ref().filter(|held| now < held.ends).map(|held| held.session.clone());
        Some(match (session, &entry.last_failure) {
            (Some(session), _) => Answer::Serve(session),
            (None, Some(failure)) => Answer::Refuse(failure.clone()),
            (None, None) => Answer::Full,
        })
    }

    /// A waiter gives up. A queued call that nobody waits for any more is dropped.
    pub fn leave(&mut self, key: &AssumeRole) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.waiters = entry.waiters.saturating_sub(1);
        if entry.waiters == 0 && entry.call == Call::Queued(Urgency::Waited) {
            entry.call = Call::Idle;
            self.queues[Urgency::Waited as usize].retain(|queued| **queued != *key);
        }
    }

    /// Fetches ahead of the first request, unless something is held, under way or lately refused.
    pub fn prefetch(&mut self, key: AssumeRole, now: Mono) {
        if self.entries.contains_key(&key) || !self.make_room(now) {
            return;
        }
        let key = Arc::new(key);
        self.entries.insert(key.clone(), Entry::new(key.clone(), Interest::Ahead));
        self.enqueue(&key, Urgency::Prefetch);
    }

    /// Gives out the next call, if there is one that may be made now. Whoever takes it owes a [`Cache::finish`].
    pub fn next(&mut self, now: Mono) -> Next {
        if now >= self.next_due {
            self.queue_due_renewals(now);
        }
        if self.in_flight >= MOST_CALLS {
            return Next::Rest(NEVER);
        }
        let waited = self.queues[Urgency::Waited as usize].pop_front();
        let key = match waited.or_else(|| self.next_within_budget(now)) {
            Some(key) => key,
            None if self.queues.iter().all(VecDeque::is_empty) => return Next::Rest(self.next_due),
            None => return Next::Rest(self.budget.ready_at(self.rules.budget, now).min(self.next_due)),
        };
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.call = Call::InFlight;
        }
        self.in_flight += 1;
        Next::Call(key)
    }

    /// Takes the result of a call: a session and how long it lives. `dice` is any random number.
    pub fn finish(&mut self, key: &AssumeRole, result: Result<(S, Duration), StsFailure>, now: Mono, dice: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let error_ttl = self.rules.error_ttl;
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.call = Call::Idle;
        entry.turn += 1;
        match result {
            Ok((session, life)) => entry.accept(session, life, now, dice),
            Err(failure) => entry.reject(failure, error_ttl, now, dice),
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
            let busy = entry.waiters > 0 || entry.call == Call::InFlight;
            let empty = entry.held.as_ref().is_none_or(|held| now >= held.ends) && entry.call == Call::Idle;
            let forgotten = entry.refusal.as_ref().is_none_or(|(_, until)| now >= *until);
            let idle = empty && forgotten;
            busy || !(entry.orphan || idle)
        });
        let entries = &self.entries;
        self.queues.iter_mut().for_each(|queue| queue.retain(|key| entries.contains_key(key)));
    }

    pub fn counts(&self, now: Mono) -> CacheCounts {
        let live = |entry: &&Entry<S>| entry.held.as_ref().is_some_and(|held| now < held.ends);
        CacheCounts {
            sessions: self.entries.values().filter(live).count(),
            refused: self.entries.values().filter(|entry| !live(entry) && entry.refusal.is_some()).count(),
            queued: self.queues.iter().map(VecDeque::len).sum(),
            in_flight: self.in_flight,
        }
    }

    /// The session held for `key` and the last failure, without asking for anything.
    pub fn peek(&self, key: &AssumeRole, now: Mono) -> (Option<&S>, Option<&StsFailure>) {
        let Some(entry) = self.entries.get(key) else { return (None, None) };
        (entry.held.as_ref().filter(|held| now < held.ends).map(|held| &*held.session), entry.last_failure.as_ref())
    }

    fn ask_anew(&mut self, key: &AssumeRole, start: Start, now: Mono) -> Answer<S> {
        if start == Start::Withheld {
            return Answer::Unstarted;
        }
        if !self.make_room(now) {
            return Answer::Full;
        }
        let key = Arc::new(key.clone());
        self.entries.insert(key.clone(), Entry { waiters: 1, ..Entry::new(key.clone(), Interest::Asked) });
        self.enqueue(&key, Urgency::Waited);
        Answer::Wait(1)
    }

    /// Queues a call, or moves a queued one to the front rank if it became more urgent.
    fn enqueue(&mut self, key: &Arc<AssumeRole>, urgency: Urgency) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        match entry.call {
            Call::InFlight => return,
            Call::Queued(already) if already <= urgency => return,
            Call::Queued(already) => self.queues[already as usize].retain(|queued| queued != key),
            Call::Idle => {}
        }
        entry.call = Call::Queued(urgency);
        self.queues[urgency as usize].push_back(key.clone());
    }

    fn next_within_budget(&mut self, now: Mono) -> Option<Arc<AssumeRole>> {
        let [_, renewals, prefetches] = &mut self.queues;
        let queue = if renewals.is_empty() { prefetches } else { renewals };
        if queue.is_empty() || !self.budget.take(self.rules.budget, now) {
            return None;
        }
        queue.pop_front()
    }

    fn queue_due_renewals(&mut self, now: Mono) {
        let mut due: Vec<(Mono, Arc<AssumeRole>)> = Vec::new();
        self.next_due = NEVER;
        for (key, entry) in &mut self.entries {
            if entry.due_at() > now {
                self.next_due = self.next_due.min(entry.due_at());
            } else if entry.is_worth_renewing() {
                due.push((entry.due_at(), key.clone()));
            }
        }
        due.sort_by_key(|(at, _)| *at);
        due.iter().for_each(|(_, key)| self.enqueue(key, Urgency::Renewal));
    }

    /// Makes room for one more key: among those at rest, what is of least use goes.
    fn make_room(&mut self, now: Mono) -> bool {
        if self.entries.len() < MOST_ENTRIES {
            return true;
        }
        let at_rest = |entry: &&mut Entry<S>| entry.waiters == 0 && entry.call == Call::Idle;
        let usefulness = |entry: &Entry<S>| {
            let left = entry.held.as_ref().map_or(Duration::ZERO, |held| now.until(held.ends));
            (entry.asked == Interest::Asked, left)
        };
        let least =
            self.entries.iter_mut().filter(|(_, entry)| at_rest(entry)).min_by_key(|(_, entry)| usefulness(entry));
        let Some(key) = least.map(|(key, _)| key.clone()) else { return false };
        self.entries.remove(&key).is_some()
    }
}

impl<S> Entry<S> {
    fn new(key: Arc<AssumeRole>, asked: Interest) -> Self {
        Self {
            key,
            held: None,
            refusal: None,
            call: Call::Idle,
            turn: 0,
            last_failure: None,
            waiters: 0,
            asked,
            failures: 0,
            retry_at: Mono::default(),
            orphan: false,
        }
    }

    fn accept(&mut self, session: S, life: Duration, now: Mono, dice: u64) {
        let servable = life.saturating_sub(SERVE_MARGIN);
        let half = (life / 2).min(servable.max(life / 4));
        let early = half.mul_f64(RENEWAL_JITTER * fraction(dice));
        self.held = Some(Held {
            session: Arc::new(session),
            serve_until: now.after(servable),
            ends: now.after(life),
            renew_at: now.after(half - early),
        });
        (self.refusal, self.last_failure, self.failures) = (None, None, 0);
        self.asked = if self.asked == Interest::Ahead { Interest::Ahead } else { Interest::Gone };
        if self.waiters > 0 {
            self.asked = Interest::Asked;
        }
        self.retry_at = now;
    }

    fn reject(&mut self, failure: StsFailure, error_ttl: Option<Duration>, now: Mono, dice: u64) {
        let ttl = error_ttl.unwrap_or(if failure.kind == StsFailureKind::Refused { FINAL_TTL } else { PASSING_TTL });
        let pause = RETRY_FIRST.saturating_mul(1 << self.failures.min(RETRY_DOUBLINGS)).min(RETRY_LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now.after(pause.mul_f64(1.0 + fraction(dice)) / 2);
        self.refusal = Some((failure.clone(), now.after(ttl)));
        self.last_failure = Some(failure);
    }

    /// When a renewal may next be tried.
    fn due_at(&self) -> Mono {
        match (&self.held, self.call) {
            (Some(held), Call::Idle) => held.renew_at.max(self.retry_at),
            _ => NEVER,
        }
    }

    /// Asked for in this life, or fetched ahead and not yet renewed. Decides, and remembers that it was renewed unasked.
    fn is_worth_renewing(&mut self) -> bool {
        match self.asked {
            Interest::Asked => true,
            Interest::Ahead => {
                self.asked = Interest::Gone;
                true
            }
            Interest::Gone => false,
        }
    }
}

/// A number in 0..1 out of random bits.
fn fraction(dice: u64) -> f64 {
    let bits = u32::try_from(dice >> 32).unwrap_or(0);
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

/// A credential is not handed out in its last minute: the pod has to get it, sign with it and be heard.
const SERVE_MARGIN: Duration = Duration::from_secs(60);
/// Renewals come up to a tenth early, never late, so that sessions fetched together drift apart.
const RENEWAL_JITTER: f64 = 0.1;
/// Calls to STS at a time.
pub const MOST_CALLS: usize = 8;
/// As many as kube2iam's cache held.
pub const MOST_ENTRIES: usize = 5_000;
/// How long AWS's final refusals are remembered, and how long everything that may pass by itself.
const FINAL_TTL: Duration = Duration::from_secs(10);
const PASSING_TTL: Duration = Duration::from_secs(1);
/// Pauses between tries to renew while a session is still good: 5 s, doubled up to 5 min, half of it random.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_LONGEST: Duration = Duration::from_secs(300);
const RETRY_DOUBLINGS: u32 = 6;
const NEVER: Mono = Mono::from_micros(u64::MAX);

#[cfg(test)]
mod tests;
