//! A session from its first call to its last minute.

use super::*;

#[test]
fn a_session_is_renewed_at_half_life_only_if_requested() {
    let mut cache = cache();
    fetch(&mut cache, "a", 1, 0);
    assert_eq!(next(&mut cache, 1_799), None);
    assert_eq!(next(&mut cache, 1_800).as_deref(), Some("a"));
    assert_eq!(ask(&mut cache, "a", 1_801), "serve 1");
    cache.finish(&key("a"), Ok((2, HOUR)), at(1_802), 0);
    assert_eq!(next(&mut cache, 1_802 + 1_800), None);
    assert_eq!(ask(&mut cache, "a", 1_802 + 1_900), "serve 2");
    assert_eq!(next(&mut cache, 1_802 + 1_900).as_deref(), Some("a"));
}

#[test]
fn jitter_renews_early_and_never_late() {
    for (random, due) in [(0, 1_800), (u64::MAX, 1_621)] {
        let mut cache = cache();
        assert_eq!(ask(&mut cache, "a", 0), "wait 1");
        next(&mut cache, 0);
        cache.finish(&key("a"), Ok((1, HOUR)), at(0), random);
        assert_eq!(next(&mut cache, due - 2), None);
        assert_eq!(next(&mut cache, due).as_deref(), Some("a"));
    }
}

#[test]
fn a_session_is_served_through_an_outage_until_its_last_minute() {
    let mut cache = cache();
    fetch(&mut cache, "a", 1, 0);
    let mut calls = 0;
    for second in 1_800..3_540 {
        let told = ask(&mut cache, "a", second);
        assert!(told == "serve 1" || told == "refresh 1", "{told}");
        if next(&mut cache, second).is_some() {
            calls += 1;
            cache.finish(&key("a"), Err(failure(StsFailureKind::Refused)), at(second), u64::MAX);
        }
        if told == "refresh 1" {
            assert_eq!(look(&mut cache, "a", 1 + calls, second).as_deref(), Some("serve 1"));
        }
    }
    assert!((8..20).contains(&calls), "{calls} calls");
    let told = ask(&mut cache, "a", 3_540);
    assert!(told.starts_with("wait") || told.starts_with("refuse"), "{told}");
}

#[test]
fn a_prefetched_session_is_renewed_once_without_requests_and_a_failed_one_not_retried() {
    let mut cache = cache();
    prefetch(&mut cache, "a", 0);
    prefetch(&mut cache, "b", 0);
    assert_eq!((next(&mut cache, 0).as_deref(), next(&mut cache, 0).as_deref()), (Some("a"), Some("b")));
    cache.finish(&key("a"), Ok((1, HOUR)), at(0), 0);
    cache.finish(&key("b"), Err(failure(StsFailureKind::Unavailable)), at(0), 0);
    assert_eq!(next(&mut cache, 1_800).as_deref(), Some("a"));
    cache.finish(&key("a"), Ok((2, HOUR)), at(1_800), 0);
    assert_eq!(next(&mut cache, 3_600), None);
    assert_eq!(ask(&mut cache, "b", 3_600), "wait 2");
}

#[test]
fn sessions_without_entitled_pods_are_swept_even_after_a_flight() {
    let mut cache = cache();
    fetch(&mut cache, "a", 1, 0);
    fetch(&mut cache, "b", 2, 0);
    prefetch(&mut cache, "c", 0);
    assert_eq!(next(&mut cache, 0).as_deref(), Some("c"));
    let entitled = HashSet::from([key("a")]);
    cache.sweep(&entitled, at(1));
    assert_eq!(cache.counts(at(1)).sessions, 1);
    cache.finish(&key("c"), Ok((3, HOUR)), at(2), 0);
    assert_eq!((cache.counts(at(2)).sessions, cache.entries.len()), (1, 1));
    cache.sweep(&entitled, at(3_601));
    assert!(cache.entries.is_empty());
}

/// A waiter that is never counted out would keep its session forever.
#[test]
fn finished_waiters_do_not_prevent_a_sweep() {
    type End = fn(&mut Cache<u32>);
    let ends: [End; 3] = [
        |cache| assert_eq!(look(cache, "a", 1, 1).as_deref(), Some("serve 1")),
        |cache| cache.leave(&key("a")),
        |cache| {
            cache.sweep(&HashSet::new(), at(1));
            assert_eq!(cache.entries.len(), 1, "somebody is still to be answered");
            cache.leave(&key("a"));
        },
    ];
    for (index, end) in ends.into_iter().enumerate() {
        let mut cache = cache();
        assert_eq!([ask(&mut cache, "a", 0), ask(&mut cache, "a", 0)], ["wait 1", "wait 1"]);
        assert_eq!(next(&mut cache, 0).as_deref(), Some("a"));
        cache.leave(&key("a"));
        cache.finish(&key("a"), Ok((1, HOUR)), at(1), 0);
        end(&mut cache);
        cache.sweep(&HashSet::new(), at(2));
        assert!(cache.entries.is_empty(), "{index}");
    }
}

/// `granted` is the lifetime that STS grants for a request of 30 minutes.
#[test]
fn renewals_come_at_the_given_age_or_at_half_of_a_shorter_lifetime() {
    for (granted_s, random, due) in [(1_800, 0, 900), (1_800, u64::MAX, 811), (3_600, 0, 900), (1_000, 0, 500)] {
        let request = AssumeRole { duration_s: 1_800, ..key("a") };
        let renew = RenewAt::Age(Duration::from_secs(900));
        let mut cache: Cache<u32> = Cache::new(CacheRules { renew, ..RULES }, at(0));
        assert!(matches!(cache.ask(&request, Start::Allowed, None, at(0)), CacheAnswer::Wait(1)));
        next(&mut cache, 0);
        cache.finish(&request, Ok((1, Duration::from_secs(granted_s))), at(0), random);
        assert_eq!(next(&mut cache, due - 2), None, "{granted_s}");
        assert_eq!(next(&mut cache, due).as_deref(), Some("a"), "{granted_s}");
    }
}

/// A misread date would give a lifetime of years, and expired sessions would be served.
#[test]
fn no_lifetime_is_longer_than_requested() {
    let mut cache = cache();
    assert_eq!(ask(&mut cache, "a", 0), "wait 1");
    next(&mut cache, 0);
    cache.finish(&key("a"), Ok((1, HOUR * 24 * 365)), at(0), 0);
    assert_eq!(ask(&mut cache, "a", 3_540), "wait 2");
}

#[test]
fn a_late_request_waits_briefly_for_a_new_session_and_rarely_during_an_outage() {
    let late = || {
        let mut cache = cache();
        fetch(&mut cache, "a", 1, 0);
        assert_eq!(next(&mut cache, 1_800).as_deref(), Some("a"));
        cache.finish(&key("a"), Ok((2, HOUR)), at(1_800), 0);
        cache
    };
    let mut renewed = late();
    assert_eq!(ask(&mut renewed, "a", 1_800 + 2_099), "serve 2");
    let mut renewed = late();
    assert_eq!(ask(&mut renewed, "a", 1_800 + 2_100), "refresh 2");
    assert_eq!(ask(&mut renewed, "a", 1_800 + 2_100), "refresh 2");
    assert_eq!(next(&mut renewed, 3_900).as_deref(), Some("a"));
    assert_eq!(ask(&mut renewed, "a", 3_901), "serve 2");
    renewed.finish(&key("a"), Ok((3, HOUR)), at(3_901), 0);
    assert_eq!(look(&mut renewed, "a", 3, 3_901).as_deref(), Some("serve 3"));
    assert_eq!(look(&mut renewed, "a", 3, 3_901).as_deref(), Some("serve 3"));

    let mut failing = late();
    assert_eq!(ask(&mut failing, "a", 4_000), "refresh 2");
    assert_eq!(next(&mut failing, 4_000).as_deref(), Some("a"));
    failing.finish(&key("a"), Err(failure(StsFailureKind::Unavailable)), at(4_000), 0);
    assert_eq!(look(&mut failing, "a", 3, 4_000).as_deref(), Some("serve 2"));
    let (mut waits, mut call_number) = (0, 3);
    for second in 4_001..5_340 {
        if ask(&mut failing, "a", second) == "serve 2" {
            continue;
        }
        (waits, call_number) = (waits + 1, call_number + 1);
        assert_eq!(next(&mut failing, second).as_deref(), Some("a"));
        failing.finish(&key("a"), Err(failure(StsFailureKind::Unavailable)), at(second), 0);
        assert_eq!(look(&mut failing, "a", call_number, second).as_deref(), Some("serve 2"));
    }
    assert!((5..20).contains(&waits), "{waits}");
    assert_eq!(ask(&mut failing, "a", 5_341), format!("wait {}", call_number + 1));
}

#[test]
fn the_last_minute_is_not_served_even_to_waiters() {
    let mut cache = cache();
    fetch(&mut cache, "a", 1, 0);
    assert_eq!(ask(&mut cache, "a", 3_550), "wait 2");
    assert_eq!(next(&mut cache, 3_550).as_deref(), Some("a"));
    cache.finish(&key("a"), Err(failure(StsFailureKind::Unavailable)), at(3_551), 0);
    assert_eq!(look(&mut cache, "a", 2, 3_551).as_deref(), Some("refuse Unavailable"));
}

#[test]
fn a_failed_prefetch_is_retried_only_by_a_request() {
    let mut cache = cache();
    let entitled = HashSet::from([key("a")]);
    prefetch(&mut cache, "a", 0);
    assert_eq!(next(&mut cache, 0).as_deref(), Some("a"));
    cache.finish(&key("a"), Err(failure(StsFailureKind::Unavailable)), at(0), 0);
    for second in [1, 20, 400, 4_000] {
        cache.sweep(&entitled, at(second));
        prefetch(&mut cache, "a", second);
        assert_eq!(next(&mut cache, second), None, "at {second} s");
    }
    assert_eq!(ask(&mut cache, "a", 4_000), "wait 2");
    assert_eq!(next(&mut cache, 4_000).as_deref(), Some("a"));
}

#[test]
fn a_new_pod_prefetches_a_session_that_was_not_requested_lately() {
    let mut cache = cache();
    fetch(&mut cache, "a", 1, 0);
    assert_eq!(next(&mut cache, 1_800).as_deref(), Some("a"));
    cache.finish(&key("a"), Ok((2, HOUR)), at(1_800), 0);
    prefetch(&mut cache, "a", 3_000);
    assert_eq!(next(&mut cache, 3_000), None);
    prefetch(&mut cache, "a", 3_700);
    assert_eq!(next(&mut cache, 3_700).as_deref(), Some("a"));
}

#[test]
fn swept_sessions_are_dropped_from_memory() {
    struct Wiped(Arc<std::sync::atomic::AtomicUsize>);
    impl Drop for Wiped {
        fn drop(&mut self) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let wiped = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = || wiped.load(std::sync::atomic::Ordering::Relaxed);
    let mut cache: Cache<Wiped> = Cache::new(RULES, at(0));
    for name in ["left", "ended", "stays"] {
        let life = if name == "ended" { 900 } else { 3_600 };
        assert!(matches!(cache.ask(&key(name), Start::Allowed, None, at(0)), CacheAnswer::Wait(1)));
        assert!(matches!(cache.next(at(0)), NextCall::Call(_)));
        cache.finish(&key(name), Ok((Wiped(wiped.clone()), Duration::from_secs(life))), at(0), 0);
        assert!(matches!(cache.poll(&key(name), 1, at(0)), Some(CacheAnswer::Serve(_))));
    }
    let entitled = HashSet::from([key("ended"), key("stays")]);
    cache.sweep(&entitled, at(20));
    assert_eq!((count(), cache.entries.len()), (1, 2));
    assert!(matches!(cache.next(at(450)), NextCall::Call(due) if due.request.role.name() == "ended"));
    cache.finish(&key("ended"), Err(failure(StsFailureKind::Unavailable)), at(451), 0);
    cache.sweep(&entitled, at(900));
    assert_eq!(count(), 2);
    assert_eq!(cache.counts(at(900)).sessions, 1);
}

#[test]
fn a_withheld_request_gets_the_last_failure() {
    let mut cache: Cache<u32> = Cache::new(CacheRules { error_ttl: Some(Duration::ZERO), ..RULES }, at(0));
    assert!(matches!(cache.ask(&key("a"), Start::Withheld, None, at(0)), CacheAnswer::Unstarted(None)));
    assert_eq!(ask(&mut cache, "a", 0), "wait 1");
    next(&mut cache, 0);
    cache.finish(&key("a"), Err(failure(StsFailureKind::Refused)), at(0), 0);
    let told = cache.ask(&key("a"), Start::Withheld, None, at(1));
    assert!(matches!(told, CacheAnswer::Unstarted(Some(failure)) if failure.code == "Refused"));
}
