//! Sessions that only a pod's token gets.

use super::*;
use crate::logic::sts::{TokenRefusal, TokenSubject};

fn of(account: &str) -> AssumeRole {
    AssumeRole {
        subject: Some(TokenSubject { namespace: "shop".into(), service_account: account.into() }),
        ..key("app")
    }
}

/// Asks with a token, as a request does.
fn ask_with(cache: &mut Cache<u32>, account: &str, token: &str, second: u64) -> String {
    let answer = said(&cache.ask(&of(account), Start::Allowed, at(second)));
    let _ = cache.bring(&of(account), || Some(Secret::new(token.to_owned())));
    answer
}

/// The token of the next call, and whose it is; `-` for none.
fn next_token(cache: &mut Cache<u32>, second: u64) -> Option<String> {
    let NextCall::Call(due) = cache.next(at(second)) else { return None };
    let account = due.request.subject.as_ref().map_or("nobody", |subject| &*subject.service_account).to_owned();
    Some(format!("{account} {}", due.token.map_or("-".to_owned(), |token| token.expose().clone())))
}

fn has_token(cache: &Cache<u32>) -> bool {
    cache.entries.values().any(|entry| entry.token.is_some())
}

fn fetch_with(cache: &mut Cache<u32>, account: &str, second: u64) {
    assert_eq!(ask_with(cache, account, "first", second), "wait 1");
    assert_eq!(next_token(cache, second), Some(format!("{account} first")));
    cache.finish(&of(account), Ok((1, HOUR)), at(second), 0);
    assert_eq!(cache.look(&of(account), 1, at(second)).as_ref().map(said).as_deref(), Some("serve 1"));
}

#[test]
fn one_call_bears_the_first_token_however_many_come() {
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
    assert_eq!(said(&cache.ask(&elsewhere, Start::Allowed, at(1))), "wait 1");
    assert_eq!(said(&cache.ask(&key("app"), Start::Allowed, at(1))), "wait 1");
}

#[test]
fn a_token_goes_with_the_last_who_waits() {
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

/// Neither renewal nor prefetch has a token: an hour and more goes by without a call.
#[test]
fn nothing_is_fetched_unasked() {
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
fn who_asks_after_half_of_the_life_brings_the_token_for_the_next() {
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
    // Few ask in time: who comes late waits a moment for the next.
    assert_eq!(ask_with(&mut cache, "a", "late", 1_804 + 2_200), "refresh 2");
    assert_eq!(next_token(&mut cache, 1_804 + 2_200).as_deref(), Some("a late"));
}

#[test]
fn what_is_held_is_served_through_trouble_until_its_last_minute() {
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
            cache.look(&of("a"), 1 + calls, at(second));
        }
    }
    assert!((8..20).contains(&calls), "{calls} calls");
    let told = ask_with(&mut cache, "a", "last", 3_540);
    assert!(told.starts_with("wait") || told.starts_with("refuse"), "{told}");
}

/// The one who asks next isn't held to the token of the one before.
#[test]
fn after_a_token_that_had_expired_the_next_brings_its_own() {
    let mut cache = cache();
    ask_with(&mut cache, "a", "stale", 0);
    assert_eq!(next_token(&mut cache, 0).as_deref(), Some("a stale"));
    let expired = StsFailureKind::Token(TokenRefusal::Expired);
    cache.finish(&of("a"), Err(failure(expired)), at(0), 0);
    assert_eq!(cache.look(&of("a"), 1, at(0)).as_ref().map(said), Some("refuse Token(Expired)".to_owned()));
    assert_eq!(ask_with(&mut cache, "a", "fresh", 1), "wait 2", "a second later, not ten");
    assert_eq!(next_token(&mut cache, 1).as_deref(), Some("a fresh"));
    cache.finish(&of("a"), Err(failure(StsFailureKind::Token(TokenRefusal::Untrusted))), at(1), 0);
    cache.look(&of("a"), 2, at(1));
    assert_eq!(ask_with(&mut cache, "a", "fresh", 10), "refuse Token(Untrusted)", "that is final");
}

/// However long failures are remembered: the refusal was about one pod's token, and another pod has its own.
#[test]
fn a_token_that_had_expired_is_remembered_for_a_second_at_most() {
    for (error_ttl, again_at) in [(Some(Duration::from_secs(20)), 1), (Some(Duration::ZERO), 0), (None, 1)] {
        let mut cache: Cache<u32> = Cache::new(CacheRules { error_ttl, ..RULES }, at(0));
        ask_with(&mut cache, "a", "stale", 0);
        assert_eq!(next_token(&mut cache, 0).as_deref(), Some("a stale"));
        cache.finish(&of("a"), Err(failure(StsFailureKind::Token(TokenRefusal::Expired))), at(0), 0);
        cache.look(&of("a"), 1, at(0));
        assert_eq!(ask_with(&mut cache, "a", "fresh", again_at), "wait 2", "{error_ttl:?}");
    }
}

#[test]
fn a_token_makes_the_call_of_a_renewal_possible_at_once_and_counts_once() {
    let mut cache = cache();
    fetch_with(&mut cache, "a", 0);
    let token = |text: &str| Some(Secret::new(text.to_owned()));
    cache.ask(&of("a"), Start::Allowed, at(100));
    assert!(!cache.bring(&of("a"), || token("early")), "no call is queued");
    cache.ask(&of("a"), Start::Allowed, at(1_900));
    assert!(!cache.bring(&of("a"), || None) && cache.bring(&of("a"), || token("second")));
    assert!(!cache.bring(&of("a"), || token("third")));
    assert_eq!(next_token(&mut cache, 1_900).as_deref(), Some("a second"));
}
