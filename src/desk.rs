//! The credential desk: [`Cache`] behind one lock, with those who wait for sessions and those who fetch them.
//!
//! The lock is never held while STS is asked. Whoever takes a call holds a [`Ticket`]; if it is dropped without
//! a result, as a panic would, the call counts as failed and nobody is stranded.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::logic::bucket::{Buckets, Rate};
use crate::logic::cache::{Answer, Cache, CacheCounts, CacheRules, Next, Standing, Start};
use crate::logic::policy::Permitted;
use crate::logic::recent_failures::RecentFailures;
use crate::logic::session::Session;
use crate::logic::sts::{AssumeRole, StsFailure, StsFailureKind};
use crate::logic::time::{Mono, Wall};
use crate::ports::{Clock, Sts};

/// Where sessions are asked for and fetched.
pub struct Desk {
    cache: Mutex<State>,
    /// A call is done.
    done: Condvar,
    /// There may be a call to make.
    work: Condvar,
    /// What each peer may start
    starters: Mutex<Buckets<std::net::IpAddr>>,
    /// For whoever asks why
    failures: Mutex<RecentFailures>,
    clock: Arc<dyn Clock>,
}

struct State {
    sessions: Cache<Session>,
    closed: bool,
}

/// What came of asking.
#[derive(Debug)]
pub enum Outcome {
    /// Held already.
    Ready(Arc<Session>),
    /// Came while the request waited.
    Fetched(Arc<Session>),
    Refused(StsFailure),
    /// The deadline came first; the call goes on.
    TimedOut,
    /// The cache is full, or the peer has started too much lately.
    Busy,
}

/// What a call to STS came to, for the log and the metrics.
#[derive(Debug)]
pub struct CallReport<'a> {
    pub request: &'a AssumeRole,
    pub took: Duration,
    pub failure: Option<&'a StsFailure>,
}

impl Desk {
    pub fn new(rules: CacheRules, clock: Arc<dyn Clock>) -> Self {
        let now = clock.now().mono;
        Self {
            cache: Mutex::new(State { sessions: Cache::new(rules, now), closed: false }),
            done: Condvar::new(),
            work: Condvar::new(),
            starters: Mutex::new(Buckets::new(PEER_STARTS)),
            failures: Mutex::default(),
            clock,
        }
    }

    /// The session of a permitted request; waits for STS until `deadline` if none is held.
    pub fn obtain(&self, permitted: &Permitted, peer: std::net::IpAddr, deadline: Mono) -> Outcome {
        let key = permitted.request();
        let now = self.clock.now().mono;
        let mut answer = self.cache.lock().sessions.ask(key, Start::Withheld, now);
        if matches!(answer, Answer::Unstarted) {
            if !self.starters.lock().take(peer, now) {
                return Outcome::Busy;
            }
            answer = self.cache.lock().sessions.ask(key, Start::Allowed, now);
            self.work.notify_all();
        }
        match answer {
            Answer::Serve(session) => Outcome::Ready(session),
            Answer::Wait(turn) => self.wait(key, turn, deadline),
            Answer::Refuse(failure) => Outcome::Refused(failure),
            Answer::Full | Answer::Unstarted => Outcome::Busy,
        }
    }

    fn wait(&self, key: &AssumeRole, turn: u64, deadline: Mono) -> Outcome {
        let mut state = self.cache.lock();
        loop {
            let now = self.clock.now().mono;
            match state.sessions.look(key, turn, now) {
                Some(Answer::Serve(session)) => return Outcome::Fetched(session),
                Some(Answer::Refuse(failure)) => return Outcome::Refused(failure),
                Some(_) => return Outcome::Busy,
                None => {}
            }
            if now >= deadline || state.closed {
                state.sessions.leave(key);
                return Outcome::TimedOut;
            }
            self.done.wait_for(&mut state, now.until(deadline));
        }
    }

    /// Fetches ahead of the first request.
    pub fn prefetch(&self, permitted: &Permitted) {
        let now = self.clock.now().mono;
        self.cache.lock().sessions.prefetch(permitted.request().clone(), now);
        self.work.notify_all();
    }

    /// Drops the sessions that no pod may use any more.
    pub fn sweep(&self, entitled: &HashSet<AssumeRole>) {
        let now = self.clock.now().mono;
        self.cache.lock().sessions.sweep(entitled, now);
    }

    /// Makes calls to STS until the desk is closed. Several threads may do so at a time.
    pub fn work(&self, sts: &dyn Sts, dice: &dyn Fn() -> u64, report: &dyn Fn(&CallReport<'_>)) {
        while let Some(mut ticket) = self.take(dice) {
            let began = self.clock.now().mono;
            let called = catch_unwind(AssertUnwindSafe(|| sts.assume_role(&ticket.request)));
            let result = called.unwrap_or_else(|_| Err(interrupted()));
            let took = self.clock.now().mono.since(began);
            self.failures.lock().note(&ticket.request, result.as_ref().err(), self.clock.now().wall);
            report(&CallReport { request: &ticket.request, took, failure: result.as_ref().err() });
            ticket.result = Some(result.map(|assumed| {
                let session = Session::render(&ticket.request, &assumed.credentials, self.clock.now().wall);
                (session, assumed.life)
            }));
        }
    }

    /// Waits for a call to make; `None` once the desk is closed.
    fn take<'a>(&'a self, dice: &'a dyn Fn() -> u64) -> Option<Ticket<'a>> {
        let mut state = self.cache.lock();
        loop {
            if state.closed {
                return None;
            }
            let now = self.clock.now().mono;
            match state.sessions.next(now) {
                Next::Call(request) => return Some(Ticket { desk: self, request, result: None, dice }),
                Next::Rest(until) => {
                    self.work.wait_for(&mut state, now.until(until).min(LONGEST_REST));
                }
            }
        }
    }

    /// Ends the workers and lets everyone go who waits.
    pub fn close(&self) {
        self.cache.lock().closed = true;
        self.work.notify_all();
        self.done.notify_all();
    }

    /// How it stands with the session that a call gets, and how the call last failed and when.
    pub fn standing(&self, request: &AssumeRole) -> (Standing<Session>, Option<(StsFailure, Wall)>) {
        let standing = self.cache.lock().sessions.standing(request, self.clock.now().mono);
        let failures = self.failures.lock();
        (standing, failures.of(request).map(|(failure, at)| (failure.clone(), at)))
    }

    /// Calls that renewals and prefetches may make at once, of how many.
    pub fn budget(&self) -> (f64, f64) {
        self.cache.lock().sessions.budget(self.clock.now().mono)
    }

    pub fn counts(&self) -> CacheCounts {
        let now = self.clock.now().mono;
        self.cache.lock().sessions.counts(now)
    }
}

/// A call that was taken. Its result is handed in when it is dropped, come what may.
struct Ticket<'a> {
    desk: &'a Desk,
    request: Arc<AssumeRole>,
    result: Option<Result<(Session, Duration), StsFailure>>,
    dice: &'a dyn Fn() -> u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or_else(|| Err(interrupted()));
        let now = self.desk.clock.now().mono;
        self.desk.cache.lock().sessions.finish(&self.request, result, now, (self.dice)());
        self.desk.done.notify_all();
        self.desk.work.notify_all();
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

/// What one peer may start: calls to STS and live lists.
pub const PEER_STARTS: Rate = Rate { burst: 20.0, refill: 2.0 };
/// A worker looks up from its rest this often, whatever happens.
const LONGEST_REST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
