//! One key of the cache: its session, the results of its calls, and when the next one is due.

use std::sync::Arc;
use std::time::Duration;

use super::tokens::EntryTokens;
use super::{CallPurpose, NEVER, RenewAt};
use crate::logic::base::time::Mono;
use crate::logic::sts::{AssumeRole, StsFailure, StsFailureKind, TokenRefusal};

#[derive(Debug)]
pub(super) struct CacheEntry<S> {
    pub(super) key: Arc<AssumeRole>,
    pub(super) held: Option<HeldSession<S>>,
    /// A failure, and until when requests get it
    refusal: Option<(StsFailure, Mono)>,
    pub(super) call: CallState,
    /// Number of finished calls
    pub(super) calls_done: u64,
    /// The failure of the last call, for its waiters; `None`: it succeeded
    pub(super) last_failure: Option<StsFailure>,
    pub(super) waiters: usize,
    pub(super) asked: CallDemand,
    /// Consecutive failures
    failures: u32,
    retry_at: Mono,
    pub(super) tokens: EntryTokens,
    /// No pod is entitled to it any more; it is kept only for a call in flight or a waiter
    pub(super) unentitled: bool,
}

#[derive(Debug)]
pub(super) struct HeldSession<S> {
    pub(super) session: Arc<S>,
    serve_until: Mono,
    ends: Mono,
    renew_at: Mono,
    /// After this time the remaining lifetime is less than promised
    fresh_until: Mono,
}

/// Why a session should be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallDemand {
    /// It was requested during its current lifetime.
    Asked,
    /// It was prefetched and not requested yet.
    Ahead,
    /// It wasn't requested during its current lifetime.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallState {
    Idle,
    Queued { purpose: CallPurpose, since: Mono },
    InFlight { since: Mono },
}

impl<S> CacheEntry<S> {
    pub(super) fn new(key: Arc<AssumeRole>, asked: CallDemand) -> Self {
        Self {
            key,
            held: None,
            refusal: None,
            call: CallState::Idle,
            calls_done: 0,
            last_failure: None,
            waiters: 0,
            asked,
            failures: 0,
            retry_at: Mono::default(),
            tokens: EntryTokens::default(),
            unentitled: false,
        }
    }

    /// The session to serve from the cache.
    pub(super) fn servable(&self, now: Mono) -> Option<Arc<S>> {
        self.held.as_ref().filter(|held| now < held.serve_until).map(|held| held.session.clone())
    }

    /// The session for waiters of a call: a new session of any lifetime, or the old one if it may still be served.
    pub(super) fn fetched(&self, now: Mono) -> Option<Arc<S>> {
        let new = self.last_failure.is_none();
        let held = self.held.as_ref().filter(|held| now < held.serve_until || (new && now < held.ends));
        held.map(|held| held.session.clone())
    }

    pub(super) fn live(&self, now: Mono) -> Option<&HeldSession<S>> {
        self.held.as_ref().filter(|held| now < held.ends)
    }

    /// The failure that requests still get.
    pub(super) fn remembered(&self, now: Mono) -> Option<&StsFailure> {
        self.refusal.as_ref().filter(|(_, until)| now < *until).map(|(failure, _)| failure)
    }

    pub(super) fn has_refusal(&self) -> bool {
        self.refusal.is_some()
    }

    /// Until when a request should wait for a new session, because the cached one has less lifetime left than
    /// promised. During an outage this applies only when a retry is due, and retries back off.
    pub(super) fn worth_waiting(&self, now: Mono) -> Option<Mono> {
        let stale = self.held.as_ref().is_some_and(|held| now >= held.fresh_until);
        let until = match self.call {
            CallState::Idle => now.after(REFRESH_PATIENCE),
            CallState::Queued { since, .. } | CallState::InFlight { since } => since.after(REFRESH_PATIENCE),
        };
        let tried = self.call != CallState::Idle || self.is_due(now);
        (stale && tried && now < until).then_some(until)
    }

    /// Whether a request may start a renewal now.
    pub(super) fn is_due(&self, now: Mono) -> bool {
        now >= self.renewable_at()
    }

    /// When a background renewal is due: never, if it needs a request's token.
    pub(super) fn due_at(&self) -> Mono {
        if self.key.subject.is_some() { NEVER } else { self.renewable_at() }
    }

    fn renewable_at(&self) -> Mono {
        match (&self.held, self.call) {
            (Some(held), CallState::Idle) => held.renew_at.max(self.retry_at),
            _ => NEVER,
        }
    }

    /// Whether to renew: the session was requested during this lifetime, or prefetched and not renewed yet. A
    /// prefetched session is then marked, so that it is renewed only once.
    pub(super) fn is_worth_renewing(&mut self) -> bool {
        match self.asked {
            CallDemand::Asked => true,
            CallDemand::Ahead => {
                self.asked = CallDemand::Gone;
                true
            }
            CallDemand::Gone => false,
        }
    }

    /// Whether to prefetch: no usable session, no pending call, and the last attempt didn't fail.
    pub(super) fn wants_prefetch(&self, now: Mono) -> bool {
        let good = self.held.as_ref().is_some_and(|held| now < held.renew_at);
        !good && self.call == CallState::Idle && self.last_failure.is_none()
    }

    /// Whether a prefetch is queued.
    pub(super) fn awaits_prefetch(&self) -> bool {
        matches!(self.call, CallState::Queued { purpose: CallPurpose::Prefetch, .. })
    }

    /// Whether there are neither waiters nor a call.
    pub(super) fn is_at_rest(&self) -> bool {
        self.waiters == 0 && self.call == CallState::Idle
    }

    /// Whether there is neither a session nor a remembered refusal.
    pub(super) fn is_bare(&self, now: Mono) -> bool {
        self.live(now).is_none() && self.remembered(now).is_none()
    }

    /// Drops an expired session and outdated refusals, and reports whether anything is left.
    pub(super) fn tidy(&mut self, now: Mono) -> Keep {
        if self.call == CallState::Idle && self.live(now).is_none() {
            self.held = None;
        }
        if self.remembered(now).is_none() {
            self.refusal = None;
        }
        // A failed prefetch is remembered, so that only a request retries it.
        let failed_ahead = self.asked == CallDemand::Ahead && self.last_failure.is_some();
        let remembers = self.tokens.forget(now) || self.refusal.is_some();
        let empty = self.held.is_none() && !remembers && self.call == CallState::Idle;
        if empty && !failed_ahead { Keep::Nothing } else { Keep::Keeping }
    }

    pub(super) fn accept(&mut self, session: S, life: Duration, renew: RenewAt, now: Mono, random: u64) {
        let servable = life.saturating_sub(SERVE_MARGIN);
        let age = match renew {
            RenewAt::Half => life / 2,
            RenewAt::Age(age) => age.min(life / 2),
        };
        let age = age.min(servable.max(life / 4));
        let early = age.mul_f64(RENEWAL_JITTER * fraction(random));
        self.held = Some(HeldSession {
            session: Arc::new(session),
            serve_until: now.after(servable),
            ends: now.after(life),
            renew_at: now.after(age - early),
            fresh_until: now.after(life * FRESH_TWELFTHS / 12),
        });
        (self.refusal, self.last_failure, self.failures) = (None, None, 0);
        self.tokens.accept();
        self.asked = if self.asked == CallDemand::Ahead { CallDemand::Ahead } else { CallDemand::Gone };
        if self.waiters > 0 {
            self.asked = CallDemand::Asked;
        }
        self.retry_at = now;
    }

    pub(super) fn reject(&mut self, failure: StsFailure, error_ttl: Option<Duration>, now: Mono, random: u64) {
        let by_kind = if failure.kind.is_final() { FINAL_TTL } else { PASSING_TTL };
        let ttl = match failure.kind {
            // The refusal isn't about the role.
            StsFailureKind::Token(TokenRefusal::Expired) => PASSING_TTL.min(error_ttl.unwrap_or(PASSING_TTL)),
            _ => error_ttl.unwrap_or(by_kind),
        };
        let pause = RETRY_FIRST.saturating_mul(1 << self.failures.min(RETRY_DOUBLINGS)).min(RETRY_LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now.after(pause.mul_f64(1.0 + fraction(random)) / 2);
        self.tokens.reject(&failure, now.after(ttl), now);
        self.refusal = Some((failure.clone(), now.after(ttl)));
        self.last_failure = Some(failure);
    }
}

impl<S> HeldSession<S> {
    pub(super) fn life_left(&self, now: Mono) -> Duration {
        now.until(self.ends)
    }
}

/// The result of [`CacheEntry::tidy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    Keeping,
    Nothing,
}

/// Converts random bits into a number in 0..1.
fn fraction(random: u64) -> f64 {
    let bits = u32::try_from(random >> 32).unwrap_or(0);
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

/// Credentials aren't served in their last minute: the pod must receive them, sign a request and have it accepted.
const SERVE_MARGIN: Duration = Duration::from_secs(60);
/// Renewals come up to a tenth early, never late, so that sessions fetched together spread out.
const RENEWAL_JITTER: f64 = 0.1;
/// In twelfths of the lifetime: after 7/12 of an hour 25 minutes are left, and with less botocore starts to extend
/// the lifetime itself.
const FRESH_TWELFTHS: u32 = 7;
/// Limit of the wait for a newer session: the SDK with the shortest timeout waits 500 ms.
pub(super) const REFRESH_PATIENCE: Duration = Duration::from_millis(300);
/// How long AWS's final refusals are remembered, and how long temporary failures.
const FINAL_TTL: Duration = Duration::from_secs(10);
const PASSING_TTL: Duration = Duration::from_secs(1);
/// The backoff of renewals while a session is usable: 5 s, doubling up to 5 min, half of it random.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_LONGEST: Duration = Duration::from_secs(300);
const RETRY_DOUBLINGS: u32 = 6;

#[cfg(test)]
mod tests;
