//! Cached sessions, and how entries are counted.

use super::*;

/// `held` has a session whose renewal failed, `refused` and `again` were refused, and `ahead` is queued.
fn mixed() -> Cache<u32> {
    let mut cache = cache();
    fetch(&mut cache, "held", 1, 0);
    assert_eq!(ask(&mut cache, "held", 1_800), "serve 1");
    assert_eq!(next(&mut cache, 1_800).as_deref(), Some("held"));
    cache.finish(&key("held"), Err(failure(StsFailureKind::Unavailable)), at(1_800), 0);
    for name in ["refused", "again"] {
        assert_eq!(ask(&mut cache, name, 1_800), "wait 1");
        assert_eq!(next(&mut cache, 1_800).as_deref(), Some(name));
        cache.finish(&key(name), Err(failure(StsFailureKind::Refused)), at(1_800), 0);
    }
    prefetch(&mut cache, "ahead", 1_800);
    cache
}

#[test]
fn a_key_counts_as_refused_only_without_a_session() {
    let counts = mixed().counts(at(1_800));
    assert_eq!(counts, CacheCounts { sessions: 1, refused: 2, queued: 1, in_flight: 0 });
}

#[test]
fn entry_states_show_sessions_and_pending_calls() {
    let cache = mixed();
    let standing = |name: &str, second| {
        let state = cache.standing(&key(name), at(second));
        (state.session.map(|session| *session), state.under_way)
    };
    assert_eq!(standing("held", 1_800), (Some(1), false));
    assert_eq!(standing("held", 3_600), (None, false));
    assert_eq!(standing("ahead", 1_800), (None, true));
    assert_eq!(standing("unknown", 1_800), (None, false));
}

/// A request that waits for a newer session is a waiter: its entry stays, and it gets the result of the next call.
#[test]
fn a_wait_for_a_newer_session_is_a_wait_for_the_next_call() {
    let mut cache = cache();
    fetch(&mut cache, "a", 1, 0);
    let CacheAnswer::Refresh { held, call_number, .. } = cache.ask(&key("a"), Start::Allowed, None, at(2_200)) else {
        panic!("it is stale")
    };
    assert_eq!((*held, call_number), (1, 2));
    assert_eq!(look(&mut cache, "a", call_number, 2_200), None);
    cache.sweep(&HashSet::new(), at(2_200));
    assert_eq!(next(&mut cache, 2_200).as_deref(), Some("a"));
    cache.finish(&key("a"), Ok((2, HOUR)), at(2_200), 0);
    assert_eq!(look(&mut cache, "a", call_number, 2_200).as_deref(), Some("serve 2"));
}

#[test]
fn a_repeated_request_keeps_its_place_in_the_queue() {
    let mut cache = cache();
    let tagged = |pod: &str| AssumeRole { tags: vec![("pod".into(), pod.into())], ..key("app") };
    for pod in ["first", "second", "first"] {
        assert!(matches!(cache.ask(&tagged(pod), Start::Allowed, None, at(0)), CacheAnswer::Wait(1)));
    }
    let order: Vec<String> = std::iter::from_fn(|| match cache.next(at(0)) {
        NextCall::Call(due) => Some(due.request.tags[0].1.clone()),
        NextCall::Rest(_) => None,
    })
    .collect();
    assert_eq!(order, ["first", "second"]);
}

#[test]
fn the_least_useful_entry_is_evicted_first() {
    let mut cache = cache();
    prefetch(&mut cache, "ahead", 0);
    assert_eq!(next(&mut cache, 0).as_deref(), Some("ahead"));
    cache.finish(&key("ahead"), Ok((1, HOUR)), at(0), 0);
    for (name, result) in
        [("long", Ok((3, HOUR))), ("asked", Ok((2, HOUR / 2))), ("refused", Err(failure(StsFailureKind::Refused)))]
    {
        assert_eq!(ask(&mut cache, name, 0), "wait 1");
        assert_eq!(next(&mut cache, 0).as_deref(), Some(name));
        cache.finish(&key(name), result, at(0), 0);
        assert!(look(&mut cache, name, 1, 0).is_some());
    }
    (4..MOST_ENTRIES).for_each(|index| prefetch(&mut cache, &format!("r{index}"), 0));
    let known = |cache: &Cache<u32>| {
        let names = ["long", "asked", "ahead", "refused"].into_iter();
        names.filter(|name| cache.entries.contains_key(&key(name))).collect::<Vec<_>>()
    };
    assert_eq!(known(&cache), ["long", "asked", "ahead", "refused"]);
    for (name, left) in
        [("w1", vec!["long", "asked", "ahead"]), ("w2", vec!["long", "asked"]), ("w3", vec!["long"]), ("w4", vec![])]
    {
        assert_eq!(ask(&mut cache, name, 0), "wait 1");
        assert_eq!(known(&cache), left, "after {name}");
    }
    assert_eq!(ask(&mut cache, "w5", 0), "full");
}

#[test]
fn pending_calls_are_counted_and_use_the_rate_limit() {
    let mut cache = cache();
    assert_eq!(cache.budget(at(0)), (2.0, 2.0));
    prefetch(&mut cache, "a", 0);
    assert_eq!(next(&mut cache, 0).as_deref(), Some("a"));
    assert_eq!((cache.budget(at(0)), cache.counts(at(0)).in_flight), ((1.0, 2.0), 1));
    let purposes = [CallPurpose::Request, CallPurpose::Renewal, CallPurpose::Prefetch];
    assert_eq!(purposes.map(CallPurpose::word), ["request", "renewal", "prefetch"]);
}

/// A wait for a newer session ends 300 ms after its call was queued.
#[test]
fn a_wait_for_a_newer_session_is_limited_from_the_queueing_of_its_call() {
    let mut cache = cache();
    fetch(&mut cache, "a", 1, 0);
    assert_eq!(ask(&mut cache, "a", 2_200), "refresh 1");
    let mut later =
        |millis: u64| said(&cache.ask(&key("a"), Start::Allowed, None, Mono::from_millis(2_200_000 + millis)));
    assert_eq!([later(299), later(300)], ["refresh 1", "serve 1"]);
}

#[test]
fn a_session_due_for_renewal_may_be_prefetched() {
    for (second, queued) in [(1_799, 0), (1_800, 1)] {
        let mut cache = cache();
        fetch(&mut cache, "a", 1, 0);
        prefetch(&mut cache, "a", second);
        assert_eq!(cache.counts(at(second)).queued, queued, "{second}");
    }
}

/// A session of one minute isn't served from the cache, but waiters get it while it is valid.
#[test]
fn a_short_session_is_served_to_waiters_and_renewed_at_a_quarter() {
    let mut cache = cache();
    assert_eq!(ask(&mut cache, "a", 0), "wait 1");
    assert_eq!(next(&mut cache, 0).as_deref(), Some("a"));
    cache.finish(&key("a"), Ok((1, Duration::from_secs(60))), at(0), 0);
    assert!(matches!(cache.next(at(0)), NextCall::Rest(until) if until == at(15)));
    assert_eq!(look(&mut cache, "a", 1, 0).as_deref(), Some("serve 1"));
    assert_eq!(look(&mut cache, "a", 1, 59).as_deref(), Some("serve 1"));
    assert_eq!(look(&mut cache, "a", 1, 60).as_deref(), Some("full"));
}

#[test]
fn an_old_session_is_not_served_in_its_last_minute_after_a_failure() {
    for (second, answer) in [(3_539, "serve 1"), (3_540, "refuse Unavailable")] {
        let mut cache = cache();
        fetch(&mut cache, "a", 1, 0);
        assert_eq!(ask(&mut cache, "a", 2_200), "refresh 1");
        assert_eq!(next(&mut cache, 2_200).as_deref(), Some("a"));
        cache.finish(&key("a"), Err(failure(StsFailureKind::Unavailable)), at(2_200), 0);
        assert_eq!(look(&mut cache, "a", 2, second).as_deref(), Some(answer));
    }
}
