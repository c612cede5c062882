//! Sessions that need a pod's token.

use super::*;
use crate::logic::base::time::Wall;
use crate::logic::request::message::ShownToken;
use crate::logic::sts::{TokenRefusal, TokenSubject};

fn of(account: &str) -> AssumeRole {
    AssumeRole {
        subject: Some(TokenSubject { namespace: "shop".into(), service_account: account.into() }),
        ..key("app")
    }
}

/// A request with a token.
fn ask_with(cache: &mut Cache<u32>, account: &str, token: &str, second: u64) -> String {
    ask_until(cache, account, token, 0, second)
}

/// The same, with a token that expires at `expires`.
fn ask_until(cache: &mut Cache<u32>, account: &str, token: &str, expires: i64, second: u64) -> String {
    let mark = Some(mark(token, expires));
    let answer = said(&cache.ask(&of(account), Start::Allowed, mark, at(second)));
    let _ = cache.bring(&of(account), mark, || Some(Secret::new(token.to_owned())));
    answer
}

fn mark(token: &str, expires: i64) -> TokenMark {
    TokenMark::of(ShownToken::new(token.as_bytes()), Wall::from_unix_seconds(expires))
}

fn refuse(cache: &mut Cache<u32>, refusal: TokenRefusal, second: u64) {
    cache.finish(&of("a"), Err(failure(StsFailureKind::Token(refusal))), at(second), 0);
}

/// The next call's ServiceAccount and token; `-` for none.
fn next_token(cache: &mut Cache<u32>, second: u64) -> Option<String> {
    let NextCall::Call(due) = cache.next(at(second)) else { return None };
    let account = due.request.subject.as_ref().map_or("nobody", |subject| &*subject.service_account).to_owned();
    Some(format!("{account} {}", due.token.map_or("-".to_owned(), |token| token.expose().clone())))
}

fn has_token(cache: &Cache<u32>) -> bool {
    cache.holds_token()
}

fn fetch_with(cache: &mut Cache<u32>, account: &str, second: u64) {
    assert_eq!(ask_with(cache, account, "first", second), "wait 1");
    assert_eq!(next_token(cache, second), Some(format!("{account} first")));
    cache.finish(&of(account), Ok((1, HOUR)), at(second), 0);
    assert_eq!(cache.poll(&of(account), 1, at(second)).as_ref().map(said).as_deref(), Some("serve 1"));
}

#[test]
fn one_call_carries_the_first_of_several_tokens() {
    let mut cache = cache();
    for token in ["first", "second", "third"] {
        assert_eq!(ask_with(&mut cache, "a", token, 0), "wait 1");
    }
    assert!(has_token(&cache));
    assert_eq!(next_token(&mut cache, 0).as_deref(), Some("a first"));
    assert!(!has_token(&cache), "it went with the call");
    assert_eq!(ask_with(&mut cache, "a", "while it is under way", 0), "wait 1");
    assert!(!has_token(&cache), "no call is queued that could bear it");
    assert_eq!(next_token(&mut cache, 0), None);
    cache.finish(&of("a"), Ok((7, HOUR)), at(0), 0);
    assert_eq!(ask_with(&mut cache, "a", "later", 1), "serve 7");
    assert!(!has_token(&cache));
}

#[test]
fn two_service_accounts_never_share_a_session() {
    let mut cache = cache();
    fetch_with(&mut cache, "a", 0);
    assert_eq!(ask_with(&mut cache, "b", "of b", 1), "wait 1");
    assert_eq!(next_token(&mut cache, 1).as_deref(), Some("b of b"));
    let elsewhere = TokenSubject { namespace: "other".into(), service_account: "a".into() };
    let elsewhere = AssumeRole { subject: Some(elsewhere), ..key("app") };
    assert_eq!(said(&cache.ask(&elsewhere, Start::Allowed, None, at(1))), "wait 1");
    assert_eq!(said(&cache.ask(&key("app"), Start::Allowed, None, at(1))), "wait 1");
}

#[test]
fn a_token_is_dropped_with_the_last_waiter() {
    let mut cache = cache();
    ask_with(&mut cache, "a", "first", 0);
    cache.leave(&of("a"));
    assert!(!has_token(&cache));
    assert_eq!(next_token(&mut cache, 0), None);
    ask_with(&mut cache, "a", "second", 1);
    cache.sweep(&HashSet::new(), at(1));
    assert!(has_token(&cache), "somebody waits");
    cache.leave(&of("a"));
    cache.sweep(&HashSet::new(), at(1));
    assert!(cache.entries.is_empty());
}

/// Neither renewals nor prefetches have a token: more than an hour passes without a call.
#[test]
fn nothing_is_fetched_without_a_request() {
    let mut cache = cache();
    cache.prefetch(&"pod".into(), of("a"), at(0));
    assert!(cache.entries.is_empty());
    fetch_with(&mut cache, "a", 0);
    for second in (0..4_000).step_by(10) {
        match cache.next(at(second)) {
            NextCall::Rest(until) => assert_eq!(until, NEVER, "nothing is due at {second} s"),
            NextCall::Call(due) => panic!("{due:?} at {second} s"),
        }
    }
}

#[test]
fn a_request_after_half_of_the_lifetime_brings_the_next_token() {
    let mut cache = cache();
    fetch_with(&mut cache, "a", 0);
    assert_eq!(ask_with(&mut cache, "a", "early", 1_799), "serve 1");
    assert_eq!(next_token(&mut cache, 1_799), None);
    assert_eq!(ask_with(&mut cache, "a", "second", 1_800), "serve 1");
    assert_eq!(ask_with(&mut cache, "a", "third", 1_801), "serve 1");
    assert_eq!(next_token(&mut cache, 1_802).as_deref(), Some("a second"));
    assert_eq!(ask_with(&mut cache, "a", "fourth", 1_803), "serve 1");
    assert_eq!(next_token(&mut cache, 1_803), None, "one call, however many ask");
    cache.finish(&of("a"), Ok((2, HOUR)), at(1_804), 0);
    assert_eq!(ask_with(&mut cache, "a", "fifth", 1_805), "serve 2");
    // If no request came in time, a late one waits briefly for the next session.
    assert_eq!(ask_with(&mut cache, "a", "late", 1_804 + 2_200), "refresh 2");
    assert_eq!(next_token(&mut cache, 1_804 + 2_200).as_deref(), Some("a late"));
}

#[test]
fn a_session_by_token_is_served_through_an_outage_until_its_last_minute() {
    let mut cache = cache();
    fetch_with(&mut cache, "a", 0);
    let mut calls = 0;
    for second in 1_800..3_540 {
        let told = ask_with(&mut cache, "a", &second.to_string(), second);
        assert!(told == "serve 1" || told == "refresh 1", "{told}");
        if let Some(token) = next_token(&mut cache, second) {
            assert_eq!(token, format!("a {second}"));
            calls += 1;
            cache.finish(&of("a"), Err(failure(StsFailureKind::Unavailable)), at(second), u64::MAX);
        }
        if told == "refresh 1" {
            cache.poll(&of("a"), 1 + calls, at(second));
        }
    }
    assert!((8..20).contains(&calls), "{calls} calls");
    let told = ask_with(&mut cache, "a", "last", 3_540);
    assert!(told.starts_with("wait") || told.starts_with("refuse"), "{told}");
}

/// Other requests aren't affected by the previous request's token.
#[test]
fn after_an_expired_token_the_next_request_brings_its_own() {
    let mut cache = cache();
    ask_until(&mut cache, "a", "stale", 50, 0);
    assert_eq!(next_token(&mut cache, 0).as_deref(), Some("a stale"));
    refuse(&mut cache, TokenRefusal::Expired, 0);
    assert_eq!(cache.poll(&of("a"), 1, at(0)).as_ref().map(said), Some("refuse Token(Expired)".to_owned()));
    assert_eq!(ask_until(&mut cache, "a", "stale", 50, 0), "refuse Token(Expired)");
    assert_eq!(ask_until(&mut cache, "a", "no fresher", 50, 0), "refuse Token(Expired)", "it is over too");
    assert_eq!(ask_until(&mut cache, "a", "fresh", 51, 0), "wait 2");
    assert_eq!(next_token(&mut cache, 1).as_deref(), Some("a fresh"));
    refuse(&mut cache, TokenRefusal::Untrusted, 1);
    cache.poll(&of("a"), 2, at(1));
    assert_eq!(ask_until(&mut cache, "a", "fresh", 51, 10), "refuse Token(Untrusted)", "that is final");
}

#[test]
fn a_refusal_is_remembered_for_the_token_and_not_for_the_session() {
    for refusal in [TokenRefusal::Invalid, TokenRefusal::Claim, TokenRefusal::Untrusted] {
        let mut cache = cache();
        for token in ["first", "second"] {
            assert_eq!(ask_with(&mut cache, "a", token, 0), "wait 1");
        }
        assert_eq!(next_token(&mut cache, 0).as_deref(), Some("a first"));
        refuse(&mut cache, refusal, 0);
        assert!(!cache.may_try_own(&of("a"), mark("first", 0)) && cache.may_try_own(&of("a"), mark("second", 0)));
        for _ in 0..2 {
            cache.poll(&of("a"), 1, at(0));
        }
        assert_eq!(ask_with(&mut cache, "a", "first", 9), format!("refuse Token({refusal:?})"));
        assert_eq!(ask_with(&mut cache, "a", "second", 9), "wait 2");
        assert_eq!(ask_with(&mut cache, "a", "first", 9), "wait 2", "what comes of that is the first one's too");
        assert_eq!(next_token(&mut cache, 9).as_deref(), Some("a second"));
        cache.finish(&of("a"), Ok((7, HOUR)), at(9), 0);
        assert_eq!(ask_with(&mut cache, "a", "first", 9), "serve 7");
    }
}

/// Then the cause is the role, and two calls in ten seconds suffice to show that.
#[test]
fn many_pods_with_refused_tokens_cost_two_calls() {
    let mut cache = cache();
    let mut calls = 0;
    for second in 0..10 {
        for token in 0..50 {
            ask_with(&mut cache, "a", &token.to_string(), second);
            while next_token(&mut cache, second).is_some() {
                calls += 1;
                refuse(&mut cache, TokenRefusal::Untrusted, second);
            }
        }
    }
    assert_eq!(calls, 2);
    assert!(ask_with(&mut cache, "a", "another", 10).starts_with("wait"), "each is forgotten in its time");
}

#[test]
fn a_failure_not_about_the_token_is_shared_by_all_tokens() {
    let unreachable = StsFailureKind::Token(TokenRefusal::IssuerUnreachable);
    for kind in [unreachable, StsFailureKind::Unavailable, StsFailureKind::Throttled, StsFailureKind::Refused] {
        let mut cache = cache();
        ask_with(&mut cache, "a", "first", 0);
        assert_eq!(next_token(&mut cache, 0).as_deref(), Some("a first"));
        cache.finish(&of("a"), Err(failure(kind)), at(0), 0);
        assert!(!cache.may_try_own(&of("a"), mark("second", 9)), "{kind:?}");
        assert_eq!(ask_until(&mut cache, "a", "second", 9, 0), format!("refuse {kind:?}"));
    }
}

/// A pod's invalid token must not prevent the renewal with another pod's token.
#[test]
fn a_refused_token_is_not_brought_again_for_a_renewal() {
    let mut cache = cache();
    fetch_with(&mut cache, "a", 0);
    assert_eq!(ask_with(&mut cache, "a", "bad", 1_800), "serve 1");
    assert_eq!(next_token(&mut cache, 1_800).as_deref(), Some("a bad"));
    refuse(&mut cache, TokenRefusal::Untrusted, 1_800);
    assert_eq!(ask_with(&mut cache, "a", "bad", 1_806), "serve 1");
    assert_eq!(next_token(&mut cache, 1_806), None);
    assert_eq!(ask_with(&mut cache, "a", "good", 1_807), "serve 1");
    assert_eq!(next_token(&mut cache, 1_807).as_deref(), Some("a good"));
}

#[test]
fn a_refused_token_is_remembered_through_a_sweep() {
    let mut cache = cache();
    ask_with(&mut cache, "a", "first", 0);
    assert_eq!(next_token(&mut cache, 0).as_deref(), Some("a first"));
    refuse(&mut cache, TokenRefusal::Untrusted, 0);
    cache.poll(&of("a"), 1, at(0));
    ask_with(&mut cache, "a", "second", 1);
    assert_eq!(next_token(&mut cache, 1).as_deref(), Some("a second"));
    cache.finish(&of("a"), Err(failure(StsFailureKind::Throttled)), at(1), 0);
    cache.poll(&of("a"), 2, at(1));
    cache.sweep(&HashSet::from([of("a")]), at(5));
    assert_eq!(ask_with(&mut cache, "a", "first", 5), "refuse Token(Untrusted)");
    cache.sweep(&HashSet::from([of("a")]), at(10));
    assert!(cache.entries.is_empty());
}

/// However long failures are remembered: the refusal was about one pod's token, and other pods have their own.
#[test]
fn an_expired_token_is_remembered_for_a_second_at_most() {
    for (error_ttl, again_at) in [(Some(Duration::from_secs(20)), 1), (Some(Duration::ZERO), 0), (None, 1)] {
        let mut cache: Cache<u32> = Cache::new(CacheRules { error_ttl, ..RULES }, at(0));
        ask_with(&mut cache, "a", "stale", 0);
        assert_eq!(next_token(&mut cache, 0).as_deref(), Some("a stale"));
        cache.finish(&of("a"), Err(failure(StsFailureKind::Token(TokenRefusal::Expired))), at(0), 0);
        cache.poll(&of("a"), 1, at(0));
        assert_eq!(ask_with(&mut cache, "a", "fresh", again_at), "wait 2", "{error_ttl:?}");
    }
}

#[test]
fn a_token_enables_the_call_of_a_renewal_at_once_and_counts_once() {
    let mut cache = cache();
    fetch_with(&mut cache, "a", 0);
    let token = |text: &str| Some(Secret::new(text.to_owned()));
    cache.ask(&of("a"), Start::Allowed, None, at(100));
    assert!(!cache.bring(&of("a"), None, || token("early")), "no call is queued");
    cache.ask(&of("a"), Start::Allowed, None, at(1_900));
    assert!(!cache.bring(&of("a"), None, || None) && cache.bring(&of("a"), None, || token("second")));
    assert!(!cache.bring(&of("a"), None, || token("third")));
    assert_eq!(next_token(&mut cache, 1_900).as_deref(), Some("a second"));
}

#[test]
fn refusals_of_tokens_are_forgotten_once_one_is_accepted() {
    let mut cache = cache();
    assert_eq!(ask_with(&mut cache, "a", "bad", 0), "wait 1");
    assert_eq!(next_token(&mut cache, 0).as_deref(), Some("a bad"));
    refuse(&mut cache, TokenRefusal::Invalid, 0);
    assert!(ask_with(&mut cache, "a", "bad", 0).starts_with("refuse"));
    assert_eq!(ask_with(&mut cache, "a", "good", 0), "wait 2");
    assert_eq!(next_token(&mut cache, 0).as_deref(), Some("a good"));
    cache.finish(&of("a"), Ok((1, Duration::from_secs(30))), at(0), 0);
    assert_eq!(ask_with(&mut cache, "a", "bad", 1), "wait 3");
}
