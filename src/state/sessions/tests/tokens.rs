//! Calls that bear tokens.

use super::*;
use crate::logic::sessions::session::CallsBear;

/// Takes tokens only, and notes them.
#[derive(Default)]
struct TokenSts(Mutex<Vec<String>>);

impl Sts for TokenSts {
    fn assume_role(&self, _: &AssumeRole) -> Result<Assumed, StsFailure> {
        panic!("a signed call");
    }

    fn assume_role_with_web_identity(
        &self,
        request: &AssumeRole,
        token: &Secret<String>,
    ) -> Result<Assumed, StsFailure> {
        self.0.lock().push(token.expose().clone());
        FakeSts { calls: AtomicUsize::new(0), gate: None }.assume_role(request)
    }

    fn caller_identity(&self) -> Result<String, StsFailure> {
        Err(interrupted())
    }
}

#[test]
fn a_call_bears_the_bare_token_of_who_asked_and_none_is_signed_without() {
    let clock = Arc::new(SystemClock::new());
    let cache_rules = CacheRules { budget: Rate { burst: 20.0, refill: 10.0 }, renew: RenewAt::Half, error_ttl: None };
    let sessions = SessionCache::new(cache_rules, clock.clone());
    let sts = TokenSts::default();
    let deadline = clock.now().mono.after(Duration::from_secs(10));
    let mut by_token = rules();
    by_token.session.bearing = CallsBear::PodToken;
    let world = listed(vec![Pod { role: Some("app".into()), ..pod("a", "10.0.0.1") }], vec![]);
    let permitted = policy::permit(&world, &by_token, world.pod("a").unwrap()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| sessions.work(&sts, &|| 0, &|_| {}));
        let without = sessions.obtain(&permitted, PEER, deadline);
        assert!(matches!(&without, SessionOutcome::Refused(failure) if failure.code == "NoWebIdentityToken"));
        let asker = Asker { token: Some(ShownToken::new(b"Bearer to.k.en")), ..PEER };
        // What was refused a moment ago is remembered for a second.
        let mut outcome = sessions.obtain(&permitted, asker.clone(), deadline);
        while matches!(outcome, SessionOutcome::Remembered(_)) && clock.now().mono < deadline {
            std::thread::yield_now();
            outcome = sessions.obtain(&permitted, asker.clone(), deadline);
        }
        assert!(matches!(outcome, SessionOutcome::Fetched(_)), "{outcome:?}");
        sessions.close();
    });
    assert_eq!(*sts.0.lock(), ["to.k.en"]);
}
