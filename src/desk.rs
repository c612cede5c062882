//! The credential desk: [`Cache`] behind one lock, with those who wait for sessions and those who fetch them.
//!
//! The lock is never held while STS is asked. Whoever takes a call holds a `Ticket`; if it is dropped without
//! a result, as a panic would, the call counts as failed and nobody is stranded.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::logic::bucket::{Buckets, Rate};
use crate::logic::cache::{Answer, Cache, CacheCounts, CacheRules, Next, Start};
use crate::logic::policy::Permitted;
use crate::logic::session::Session;
use crate::logic::sts::{AssumeRole, StsFailure, StsFailureKind};
use crate::logic::time::Mono;
use crate::ports::{Bell, Sts, Time};

/// Where sessions are asked for and fetched.
pub struct Desk {
    cache: Mutex<State>,
    /// A call is done.
    done: Arc<dyn Bell>,
    /// There may be a call to make.
    work: Arc<dyn Bell>,
    /// What each peer may start
    starters: Mutex<Buckets<std::net::IpAddr>>,
    time: Arc<dyn Time>,
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
    pub fn new(rules: CacheRules, time: Arc<dyn Time>) -> Self {
        let now = time.now().mono;
        Self {
            cache: Mutex::new(State { sessions: Cache::new(rules, now), closed: false }),
            done: time.bell(),
            work: time.bell(),
            starters: Mutex::new(Buckets::new(PEER_STARTS)),
            time,
        }
    }

    /// The session of a permitted request; waits for STS until `deadline` if none is held.
    pub fn obtain(&self, permitted: &Permitted, peer: std::net::IpAddr, deadline: Mono) -> Outcome {
        let key = permitted.request();
        let now = self.time.now().mono;
        let mut answer = self.cache.lock().sessions.ask(key, Start::Withheld, now);
        if matches!(answer, Answer::Unstarted) {
            if !self.may_start(peer) {
                return Outcome::Busy;
            }
            answer = self.cache.lock().sessions.ask(key, Start::Allowed, now);
            self.work.ring();
        }
        match answer {
            Answer::Serve(session) => Outcome::Ready(session),
            Answer::Wait(turn) => self.wait(key, turn, deadline),
            Answer::Refuse(failure) => Outcome::Refused(failure),
            Answer::Full | Answer::Unstarted => Outcome::Busy,
        }
    }

    /// Whether a peer may make somebody work for it once more: a call to STS, a live list.
    pub fn may_start(&self, peer: std::net::IpAddr) -> bool {
        self.starters.lock().take(peer, self.time.now().mono)
    }

    fn wait(&self, key: &AssumeRole, turn: u64, deadline: Mono) -> Outcome {
        loop {
            let rung = self.done.rung();
            let now = self.time.now().mono;
            let mut state = self.cache.lock();
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
            drop(state);
            self.done.wait(rung, deadline);
        }
    }

    /// Fetches ahead of the first request.
    pub fn prefetch(&self, permitted: &Permitted) {
        let now = self.time.now().mono;
        self.cache.lock().sessions.prefetch(permitted.request().clone(), now);
        self.work.ring();
    }

    /// Drops the sessions that no pod may use any more.
    pub fn sweep(&self, entitled: &HashSet<AssumeRole>) {
        let now = self.time.now().mono;
        self.cache.lock().sessions.sweep(entitled, now);
    }

    /// Makes calls to STS until the desk is closed. Several threads may do so at a time.
    pub fn work(&self, sts: &dyn Sts, dice: &dyn Fn() -> u64, report: &dyn Fn(&CallReport<'_>)) {
        while let Some(mut ticket) = self.take(dice) {
            let began = self.time.now().mono;
            let called = catch_unwind(AssertUnwindSafe(|| sts.assume_role(&ticket.request)));
            let result = called.unwrap_or_else(|_| Err(interrupted()));
            let took = self.time.now().mono.since(began);
            report(&CallReport { request: &ticket.request, took, failure: result.as_ref().err() });
            ticket.result = Some(result.map(|assumed| {
                let session = Session::render(&ticket.request, &assumed.credentials, self.time.now().wall);
                (session, assumed.life)
            }));
        }
    }

    /// Waits for a call to make; `None` once the desk is closed.
    fn take<'a>(&'a self, dice: &'a dyn Fn() -> u64) -> Option<Ticket<'a>> {
        loop {
            let rung = self.work.rung();
            let now = self.time.now().mono;
            let next = {
                let mut state = self.cache.lock();
                if state.closed {
                    return None;
                }
                state.sessions.next(now)
            };
            match next {
                Next::Call(request) => return Some(Ticket { desk: self, request, result: None, dice }),
                Next::Rest(until) => self.work.wait(rung, until.min(now.after(LONGEST_REST))),
            }
        }
    }

    /// Ends the workers and lets everyone go who waits.
    pub fn close(&self) {
        self.cache.lock().closed = true;
        self.work.ring();
        self.done.ring();
    }

    pub fn counts(&self) -> CacheCounts {
        let now = self.time.now().mono;
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
        let now = self.desk.time.now().mono;
        self.desk.cache.lock().sessions.finish(&self.request, result, now, (self.dice)());
        self.desk.done.ring();
        self.desk.work.ring();
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
const PEER_STARTS: Rate = Rate { burst: 20.0, refill: 2.0 };
/// A worker looks up from its rest this often, whatever happens.
const LONGEST_REST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
