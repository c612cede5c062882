//! The session cache: [`Cache`] behind one lock, with the threads that wait for sessions and the workers that fetch
//! them.
//!
//! The lock is never held during a call to STS. A worker that takes a call holds a `Ticket`; if that is dropped without
//! a result, as by a panic, the call counts as failed and wakes its waiters.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use log::error;
use parking_lot::Mutex;

use crate::logic::base::secret::Secret;
use crate::logic::base::time::{Mono, Wall};
use crate::logic::policy::Permitted;
use crate::logic::request::message::ShownToken;
use crate::logic::sessions::budget::{Buckets, Rate, Starter};
use crate::logic::sessions::cache::{
    Cache, CacheAnswer, CacheCounts, CacheRules, CallPurpose, CallReport, Due, EntryState, NextCall, Start, TokenMark,
};
use crate::logic::sessions::recent_failures::RecentFailures;
use crate::logic::sessions::session::Session;
use crate::logic::sts::{AssumeRole, Assumed, StsFailure, StsFailureKind};
use crate::ports::{Notifier, Sts, Time};

/// Serves sessions from the cache, and fetches them.
pub struct SessionCache {
    cache: Mutex<CacheState>,
    /// Notified when a call has ended. Several, chosen by key, so that a finished call wakes few of a thousand waiters.
    done: Vec<Arc<dyn Notifier>>,
    /// Notified when there may be a call to make.
    work: Arc<dyn Notifier>,
    /// Budgets of calls that peers may start
    starters: Mutex<Buckets<Starter>>,
    /// Shown by `explain`
    failures: Mutex<RecentFailures>,
    time: Arc<dyn Time>,
}

struct CacheState {
    sessions: Cache<Session>,
    closed: bool,
}

/// The origin of a request for a session.
#[derive(Clone, Debug)]
pub struct SessionRequester<'a> {
    /// The budget that a started call counts against
    pub starter: Starter,
    /// The token that such a call carries, where calls aren't signed
    pub token: Option<RequestToken<'a>>,
}

/// A validated token and its expiry.
#[derive(Clone, Copy, Debug)]
pub struct RequestToken<'a> {
    pub shown: ShownToken<'a>,
    pub expires: Wall,
}

type MarkedToken<'a> = (TokenMark, ShownToken<'a>);

/// The result of a request for a session.
#[derive(Debug)]
pub enum SessionOutcome {
    /// From the cache, without waiting.
    Ready(Arc<Session>),
    /// After a wait, during which the World may have changed.
    Fetched(Arc<Session>),
    /// The call failed while the request waited.
    Refused(StsFailure),
    /// The call failed recently and isn't repeated yet.
    Remembered(StsFailure),
    /// The deadline passed; the call continues.
    TimedOut,
    /// The cache is full, or the peer has used up its budget.
    Busy,
}

impl SessionCache {
    pub fn new(rules: CacheRules, time: Arc<dyn Time>) -> Self {
        let now = time.now().mono;
        Self {
            cache: Mutex::new(CacheState { sessions: Cache::new(rules, now), closed: false }),
            done: (0..NOTIFIERS).map(|_| time.notifier()).collect(),
            work: time.notifier(),
            starters: Mutex::new(Buckets::new(PEER_STARTS)),
            failures: Mutex::default(),
            time,
        }
    }

    /// The session of a permitted request; waits for STS until `deadline` if none is cached. If it waited for a call
    /// that STS refused because of another pod's token, it tries once with its own token.
    pub fn obtain(&self, permitted: &Permitted, requester: SessionRequester<'_>, deadline: Mono) -> SessionOutcome {
        let key = permitted.request();
        let token = requester.token.filter(|_| key.subject.is_some());
        let token = token.map(|token| (TokenMark::of(token.shown, token.expires), token.shown));
        let first = self.obtain_by(key, &requester.starter, token, deadline);
        match (&first, token) {
            (SessionOutcome::Refused(_), Some((mark, _))) if self.cache.lock().sessions.may_try_own(key, mark) => {}
            _ => return first,
        }
        match self.obtain_by(key, &requester.starter, token, deadline) {
            SessionOutcome::Ready(session) => SessionOutcome::Fetched(session),
            SessionOutcome::Remembered(failure) => SessionOutcome::Refused(failure),
            SessionOutcome::Busy => first,
            outcome => outcome,
        }
    }

    fn obtain_by(
        &self,
        key: &AssumeRole,
        starter: &Starter,
        token: Option<MarkedToken<'_>>,
        deadline: Mono,
    ) -> SessionOutcome {
        let now = self.time.now().mono;
        let mut answer = self.ask(key, Start::Withheld, token, now);
        if let CacheAnswer::Unstarted(last_failure) = answer {
            if !self.may_start(starter.clone()) {
                return last_failure.map_or(SessionOutcome::Busy, SessionOutcome::Remembered);
            }
            answer = self.ask(key, Start::Allowed, token, now);
        }
        match answer {
            CacheAnswer::Serve(session) => SessionOutcome::Ready(session),
            CacheAnswer::Refresh { held, call_number, until } => match self.wait(key, call_number, until.min(deadline))
            {
                SessionOutcome::Fetched(session) => SessionOutcome::Fetched(session),
                _ if self.time.now().mono < held.ends => SessionOutcome::Fetched(held),
                // The machine was suspended until after its expiry.
                outcome => outcome,
            },
            CacheAnswer::Wait(call_number) => self.wait(key, call_number, deadline),
            CacheAnswer::Refuse(failure) => SessionOutcome::Remembered(failure),
            CacheAnswer::Full | CacheAnswer::Unstarted(_) => SessionOutcome::Busy,
        }
    }

    /// Takes from a peer's budget; false if it may not start another call to STS or live list now.
    pub fn may_start(&self, starter: Starter) -> bool {
        self.starters.lock().take(starter, self.time.now().mono)
    }

    fn ask(&self, key: &AssumeRole, start: Start, token: Option<MarkedToken<'_>>, now: Mono) -> CacheAnswer<Session> {
        let (answer, has_token) = {
            let mut state = self.cache.lock();
            let answer = state.sessions.ask(key, start, token.map(|(mark, _)| mark), now);
            let has_token = token.is_some_and(|(mark, shown)| state.sessions.bring(key, Some(mark), || shown.kept()));
            (answer, has_token)
        };
        // A renewal triggered by an answer from memory may wait until a worker wakes, unless its token was just stored.
        if has_token || matches!(answer, CacheAnswer::Wait(_) | CacheAnswer::Refresh { .. }) {
            self.work.notify();
        }
        answer
    }

    fn wait(&self, key: &AssumeRole, call_number: u64, deadline: Mono) -> SessionOutcome {
        let done = self.notifier(key);
        loop {
            let generation = done.generation();
            let now = self.time.now().mono;
            let mut state = self.cache.lock();
            match state.sessions.poll(key, call_number, now) {
                Some(CacheAnswer::Serve(session)) => return SessionOutcome::Fetched(session),
                Some(CacheAnswer::Refuse(failure)) => return SessionOutcome::Refused(failure),
                Some(_) => return SessionOutcome::Busy,
                None => {}
            }
            if now >= deadline || state.closed {
                state.sessions.leave(key);
                return SessionOutcome::TimedOut;
            }
            drop(state);
            done.wait(generation, deadline);
        }
    }

    fn notifier(&self, key: &AssumeRole) -> &dyn Notifier {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % NOTIFIERS as u64).unwrap_or(0); // below NOTIFIERS, so it fits
        &*self.done[index]
    }

    /// Queues a call ahead of the first request.
    pub fn prefetch(&self, permitted: &Permitted) {
        let now = self.time.now().mono;
        self.cache.lock().sessions.prefetch(&permitted.pod().uid, permitted.request().clone(), now);
        self.work.notify();
    }

    /// Drops sessions that no pod may use any more.
    pub fn sweep(&self, entitled: &HashSet<AssumeRole>) {
        let now = self.time.now().mono;
        self.cache.lock().sessions.sweep(entitled, now);
    }

    /// Makes calls to STS until the session cache is closed. Run by several threads.
    pub fn work(&self, sts: &dyn Sts, random: &dyn Fn() -> u64, report: &dyn Fn(&CallReport<'_>)) {
        while let Some(mut ticket) = self.take(random) {
            let (request, token) = (ticket.request.clone(), ticket.token.take());
            let began = self.time.now().mono;
            let (purpose, queued) = (ticket.purpose, ticket.queued);
            let called = catch_unwind(AssertUnwindSafe(|| {
                let assumed = call(sts, &request, token)?;
                Ok((Session::render(&request, &assumed, self.time.now()), assumed.life))
            }));
            let took = self.time.now().mono.since(began);
            let result = called.unwrap_or_else(|_| Err(interrupted()));
            let failure = result.as_ref().err().cloned();
            self.failures.lock().record(&request, failure.as_ref(), self.time.now().wall);
            ticket.result = Some(result);
            // Recorded first, so that waiters don't wait for the log. A panicking report must not end the worker.
            drop(ticket);
            let report = || report(&CallReport { request: &request, purpose, queued, took, failure: failure.as_ref() });
            if catch_unwind(AssertUnwindSafe(report)).is_err() {
                error!("failed to report a call to STS: it panicked");
            }
        }
    }

    /// Waits for a call to make; `None` once the session cache is closed.
    fn take<'a>(&'a self, random: &'a dyn Fn() -> u64) -> Option<Ticket<'a>> {
        loop {
            let generation = self.work.generation();
            let now = self.time.now().mono;
            let next = {
                let mut state = self.cache.lock();
                if state.closed {
                    return None;
                }
                state.sessions.next(now)
            };
            match next {
                NextCall::Call(Due { request, purpose, queued, token }) => {
                    return Some(Ticket { sessions: self, request, purpose, queued, token, result: None, random });
                }
                NextCall::Rest(until) => self.work.wait(generation, until.min(now.after(MAX_WAIT))),
            }
        }
    }

    /// Ends the workers and wakes all waiting threads.
    pub fn close(&self) {
        self.cache.lock().closed = true;
        self.work.notify();
        self.done.iter().for_each(|notifier| notifier.notify());
    }

    /// The state of a call's session, and the call's last failure with its time.
    pub fn standing(&self, request: &AssumeRole) -> (EntryState<Session>, Option<(StsFailure, Wall)>) {
        let now = self.time.now().mono;
        let standing = self.cache.lock().sessions.standing(request, now);
        let failures = self.failures.lock();
        (standing, failures.of(request).map(|(failure, at)| (failure.clone(), at)))
    }

    /// Calls that renewals and prefetches may make now, and the maximum.
    pub fn budget(&self) -> (f64, f64) {
        let now = self.time.now().mono;
        self.cache.lock().sessions.budget(now)
    }

    pub fn counts(&self) -> CacheCounts {
        let now = self.time.now().mono;
        self.cache.lock().sessions.counts(now)
    }
}

/// A call taken by a worker. Its drop records the result, even after a panic.
struct Ticket<'a> {
    sessions: &'a SessionCache,
    request: Arc<AssumeRole>,
    purpose: CallPurpose,
    queued: Duration,
    token: Option<Secret<String>>,
    result: Option<Result<(Session, Duration), StsFailure>>,
    random: &'a dyn Fn() -> u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or_else(|| Err(interrupted()));
        let now = self.sessions.time.now().mono;
        self.sessions.cache.lock().sessions.finish(&self.request, result, now, (self.random)());
        self.sessions.notifier(&self.request).notify();
        self.sessions.work.notify();
    }
}

/// Makes a call; the token that it carries is zeroed at its end. A session for a token's subject is never requested
/// with the node's credentials.
fn call(sts: &dyn Sts, request: &AssumeRole, token: Option<Secret<String>>) -> Result<Assumed, StsFailure> {
    match (&request.subject, token) {
        (None, _) => sts.assume_role(request),
        (Some(_), Some(token)) => sts.assume_role_with_web_identity(request, &token),
        (Some(_), None) => Err(StsFailure {
            code: "NoWebIdentityToken".into(),
            message: "no request brought a token for the call".into(),
            ..interrupted()
        }),
    }
}

fn interrupted() -> StsFailure {
    StsFailure {
        kind: StsFailureKind::Unavailable,
        code: "Interrupted".into(),
        message: "the call ended without a result".into(),
        request_id: None,
    }
}

/// Budget of one peer, for calls to STS and live lists.
const PEER_STARTS: Rate = Rate { burst: 20.0, refill: 2.0 };
/// With this many notifiers, a hundred keys rarely share one.
const NOTIFIERS: usize = 64;
/// Maximum time that a worker waits before it checks for calls again.
const MAX_WAIT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
