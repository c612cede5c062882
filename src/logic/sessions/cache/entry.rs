//! One key of the cache: what is held for it, how its calls went, and when the next one is due.

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
    /// A failure, and until when it is the answer
    refusal: Option<(StsFailure, Mono)>,
    pub(super) call: CallState,
    /// Calls done so far
    pub(super) turn: u64,
    /// How the last call ended, for those who waited for it; `None`: well
    pub(super) last_failure: Option<StsFailure>,
    pub(super) waiters: usize,
    pub(super) asked: CallDemand,
    /// Failures in a row
    failures: u32,
    retry_at: Mono,
    pub(super) tokens: EntryTokens,
    /// Nobody may use it any more; only a call in flight or a waiter keeps it.
    pub(super) orphan: bool,
}

#[derive(Debug)]
pub(super) struct HeldSession<S> {
    pub(super) session: Arc<S>,
    serve_until: Mono,
    ends: Mono,
    renew_at: Mono,
    /// From here on it has less life left than callers are promised
    fresh_until: Mono,
}

/// Why a session is worth renewing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallDemand {
    /// Somebody asked for it in its present life.
    Asked,
    /// It was fetched ahead, for a first request yet to come.
    Ahead,
    /// Nobody asked in its present life.
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
            turn: 0,
            last_failure: None,
            waiters: 0,
            asked,
            failures: 0,
            retry_at: Mono::default(),
            tokens: EntryTokens::default(),
            orphan: false,
        }
    }

    /// What may be handed out from memory.
    pub(super) fn servable(&self, now: Mono) -> Option<Arc<S>> {
        self.held.as_ref().filter(|held| now < held.serve_until).map(|held| held.session.clone())
    }

    /// What those get who waited for a call: a new session whatever its length, an old one only if it may still be
    /// handed out.
    pub(super) fn fetched(&self, now: Mono) -> Option<Arc<S>> {
        let new = self.last_failure.is_none();
        let held = self.held.as_ref().filter(|held| now < held.serve_until || (new && now < held.ends));
        held.map(|held| held.session.clone())
    }

    pub(super) fn live(&self, now: Mono) -> Option<&HeldSession<S>> {
        self.held.as_ref().filter(|held| now < held.ends)
    }

    /// The failure that is still the answer.
    pub(super) fn remembered(&self, now: Mono) -> Option<&StsFailure> {
        self.refusal.as_ref().filter(|(_, until)| now < *until).map(|(failure, _)| failure)
    }

    pub(super) fn has_refusal(&self) -> bool {
        self.refusal.is_some()
    }

    /// A session with less life left than callers are promised is worth a short wait for the next one: until when.
    /// In trouble that comes only with the tries to renew, and these come with pauses.
    pub(super) fn worth_waiting(&self, now: Mono) -> Option<Mono> {
        let stale = self.held.as_ref().is_some_and(|held| now >= held.fresh_until);
        let until = match self.call {
            CallState::Idle => now.after(REFRESH_PATIENCE),
            CallState::Queued { since, .. } | CallState::InFlight { since } => since.after(REFRESH_PATIENCE),
        };
        let tried = self.call != CallState::Idle || self.is_due(now);
        (stale && tried && now < until).then_some(until)
    }

    /// Whether a renewal may be tried now that somebody asks.
    pub(super) fn is_due(&self, now: Mono) -> bool {
        now >= self.renewable_at()
    }

    /// When a renewal is due that nobody asks for: never, if it takes a token that only who asks can bring.
    pub(super) fn due_at(&self) -> Mono {
        if self.key.subject.is_some() { NEVER } else { self.renewable_at() }
    }

    fn renewable_at(&self) -> Mono {
        match (&self.held, self.call) {
            (Some(held), CallState::Idle) => held.renew_at.max(self.retry_at),
            _ => NEVER,
        }
    }

    /// Asked for in this life, or fetched ahead and not yet renewed. Decides, and remembers that it was renewed unasked.
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

    /// Whether fetching ahead would be of use: nothing good is held or under way, and the last try didn't fail.
    pub(super) fn wants_prefetch(&self, now: Mono) -> bool {
        let good = self.held.as_ref().is_some_and(|held| now < held.renew_at);
        !good && self.call == CallState::Idle && self.last_failure.is_none()
    }

    /// Whether a prefetch is queued and not yet made.
    pub(super) fn awaits_prefetch(&self) -> bool {
        matches!(self.call, CallState::Queued { purpose: CallPurpose::Prefetch, .. })
    }

    /// Whether there is neither a waiter nor a call.
    pub(super) fn is_at_rest(&self) -> bool {
        self.waiters == 0 && self.call == CallState::Idle
    }

    /// Whether neither a session nor a refusal is remembered.
    pub(super) fn is_bare(&self, now: Mono) -> bool {
        self.live(now).is_none() && self.remembered(now).is_none()
    }

    /// Wipes what has ended and forgets what has been remembered long enough. What is left is worth keeping, or isn't.
    pub(super) fn tidy(&mut self, now: Mono) -> Keep {
        if self.call == CallState::Idle && self.live(now).is_none() {
            self.held = None;
        }
        if self.remembered(now).is_none() {
            self.refusal = None;
        }
        // A failed prefetch is remembered, so that nothing but a request repeats it.
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
            // It says nothing of the role.
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

/// What [`CacheEntry::tidy`] left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    Keeping,
    Nothing,
}

/// A number in 0..1 out of random bits.
fn fraction(random: u64) -> f64 {
    let bits = u32::try_from(random >> 32).unwrap_or(0);
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

/// A credential is not handed out in its last minute: the pod has to get it, sign with it and be heard.
const SERVE_MARGIN: Duration = Duration::from_secs(60);
/// Renewals come up to a tenth early, never late, so that sessions fetched together drift apart.
const RENEWAL_JITTER: f64 = 0.1;
/// Of a life. With 7 of 12 gone an hour has 25 minutes left: below that botocore begins to make up longer lives.
const FRESH_TWELFTHS: u32 = 7;
/// What a wait for a fresher session may take: the most impatient SDK gives an answer 500 ms.
pub(super) const REFRESH_PATIENCE: Duration = Duration::from_millis(300);
/// How long AWS's final refusals are remembered, and how long everything that may pass by itself.
const FINAL_TTL: Duration = Duration::from_secs(10);
const PASSING_TTL: Duration = Duration::from_secs(1);
/// Pauses between tries to renew while a session is still good: 5 s, doubled up to 5 min, half of it random.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_LONGEST: Duration = Duration::from_secs(300);
const RETRY_DOUBLINGS: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bits_make_a_fraction_below_one() {
        assert_eq!([0, 1 << 63].map(fraction), [0.0, 0.5]);
        assert!(fraction(u64::MAX) < 1.0 && fraction(u64::MAX) > 0.999_999);
    }
}
