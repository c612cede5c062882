//! Calls that carry pods' tokens.

use super::*;
use crate::logic::sessions::session::CallsBear;
use crate::logic::sts::TokenRefusal;

/// Accepts only calls with tokens, and records these; refuses those that begin with `bad`, each when `gate` opens.
#[derive(Default)]
struct TokenSts {
    seen: Mutex<Vec<String>>,
    gate: Option<crossbeam_channel::Receiver<()>>,
}

impl Sts for TokenSts {
    fn assume_role(&self, _: &AssumeRole) -> Result<Assumed, StsFailure> {
        panic!("a signed call");
    }

    fn assume_role_with_web_identity(
        &self,
        request: &AssumeRole,
        token: &Secret<String>,
    ) -> Result<Assumed, StsFailure> {
        self.seen.lock().push(token.expose().clone());
        if token.expose().starts_with("bad") {
            let _ = self.gate.as_ref().map(crossbeam_channel::Receiver::recv);
            return Err(StsFailure {
                kind: StsFailureKind::Token(TokenRefusal::Untrusted),
                code: "AccessDenied".into(),
                ..interrupted()
            });
        }
        FakeSts { calls: AtomicUsize::new(0), gate: None }.assume_role(request)
    }

    fn caller_identity(&self) -> Result<String, StsFailure> {
        Err(interrupted())
    }
}

#[test]
fn call_carries_the_requesters_token_and_is_never_signed_without_one() {
    let (clock, sessions) = (Arc::new(SystemClock::new()), cache(None));
    let sts = TokenSts::default();
    let deadline = clock.now().mono.after(Duration::from_secs(10));
    let permitted = by_token();
    std::thread::scope(|scope| {
        scope.spawn(|| sessions.work(&sts, &|| 0, &|_| {}));
        let without = sessions.obtain(&permitted, PEER, deadline);
        assert!(matches!(&without, SessionOutcome::Refused(failure) if failure.code == "NoWebIdentityToken"));
        let requester = with_token(b"Bearer to.k.en");
        // A refusal is cached for a second.
        let mut outcome = sessions.obtain(&permitted, requester.clone(), deadline);
        while matches!(outcome, SessionOutcome::Remembered(_)) && clock.now().mono < deadline {
            std::thread::yield_now();
            outcome = sessions.obtain(&permitted, requester.clone(), deadline);
        }
        assert!(matches!(outcome, SessionOutcome::Fetched(_)), "{outcome:?}");
        sessions.close();
    });
    assert_eq!(*sts.seen.lock(), ["to.k.en"]);
}

fn with_token(token: &'static [u8]) -> SessionRequester<'static> {
    let token = RequestToken { shown: ShownToken::new(token), expires: Wall::from_unix_seconds(9) };
    SessionRequester { token: Some(token), ..PEER }
}

fn by_token() -> Permitted {
    let mut by_token = rules();
    by_token.session.bearing = CallsBear::PodToken;
    let world = listed(vec![Pod { role: Some("app".into()), ..pod("a", "10.0.0.1") }], vec![]);
    policy::permit(&world, &by_token, world.pod("a").unwrap()).unwrap()
}

fn cache(error_ttl: Option<Duration>) -> SessionCache {
    let rules = CacheRules { budget: Rate { burst: 20.0, refill: 10.0 }, renew: RenewAt::Half, error_ttl };
    SessionCache::new(rules, Arc::new(SystemClock::new()))
}

/// The outcomes of two pods that waited for one call, made with the first one's token, and the tokens that STS
/// received.
fn outcomes_of_two_waiters(
    tokens: [&'static [u8]; 2],
    error_ttl: Option<Duration>,
) -> ([SessionOutcome; 2], Vec<String>) {
    let (clock, sessions, permitted) = (SystemClock::new(), cache(error_ttl), by_token());
    let (open, gate) = crossbeam_channel::bounded(0);
    let sts = TokenSts { gate: Some(gate), ..TokenSts::default() };
    let deadline = clock.now().mono.after(Duration::from_secs(10));
    let outcomes = std::thread::scope(|scope| {
        scope.spawn(|| sessions.work(&sts, &|| 0, &|_| {}));
        let first = scope.spawn(|| sessions.obtain(&permitted, with_token(tokens[0]), deadline));
        while sts.seen.lock().is_empty() && !first.is_finished() {
            std::thread::yield_now();
        }
        let second = scope.spawn(|| sessions.obtain(&permitted, with_token(tokens[1]), deadline));
        while sessions.cache.lock().sessions.waiters(permitted.request()) < 2 && !second.is_finished() {
            std::thread::yield_now();
        }
        drop(open);
        let outcomes = [first.join().unwrap(), second.join().unwrap()];
        sessions.close();
        outcomes
    });
    (outcomes, sts.seen.into_inner())
}

#[test]
fn refused_token_of_one_pod_does_not_affect_another_waiter() {
    for error_ttl in [None, Some(Duration::ZERO)] {
        let ([first, second], seen) = outcomes_of_two_waiters([b"bad", b"good"], error_ttl);
        assert!(matches!(second, SessionOutcome::Fetched(_)), "{second:?}");
        // The first pod may check only after the other's call has ended.
        assert!(matches!(first, SessionOutcome::Refused(_) | SessionOutcome::Fetched(_)), "{first:?}");
        assert_eq!(seen, ["bad", "good"]);
    }
}

#[test]
fn waiter_tries_its_own_token_once_and_no_token_twice() {
    let (outcomes, seen) = outcomes_of_two_waiters([b"bad 1", b"bad 2"], None);
    for outcome in outcomes {
        assert!(matches!(&outcome, SessionOutcome::Refused(failure) if failure.code == "AccessDenied"), "{outcome:?}");
    }
    assert_eq!(seen, ["bad 1", "bad 2"]);
    let ([_, second], seen) = outcomes_of_two_waiters([b"bad", b"bad"], None);
    assert!(matches!(second, SessionOutcome::Refused(_)), "{second:?}");
    assert_eq!(seen, ["bad"], "the same token isn't tried again");
}
