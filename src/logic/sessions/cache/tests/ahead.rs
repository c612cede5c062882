//! Prefetches for pods whose annotations keep changing.

use super::*;

fn of_pod(cache: &mut Cache<u32>, pod: &str, name: &str, second: u64) {
    cache.prefetch(&pod.into(), key(name), at(second));
}

/// Queues, entries and waiting prefetches are consistent.
fn check(cache: &Cache<u32>) {
    let queued = cache.entries.values().filter(|entry| matches!(entry.call, CallState::Queued { .. })).count();
    assert_eq!(queued, cache.counts(at(0)).queued);
    assert!(cache.prefetches.values().all(|key| cache.entries[key].awaits_prefetch()));
    let waiting = cache.entries.values().filter(|entry| entry.awaits_prefetch());
    assert!(waiting.into_iter().all(|entry| cache.prefetches.values().any(|key| Arc::ptr_eq(key, &entry.key))));
}

#[test]
fn each_pod_has_one_queued_prefetch_and_a_newer_replaces_it() {
    let mut cache = cache();
    let budget = 2;
    for patch in 0..6_000 {
        of_pod(&mut cache, "restless", &format!("r{patch}"), 0);
        assert_eq!((cache.counts(at(0)).queued, cache.entries.len()), (1, 1));
    }
    for quiet in 0..100 {
        prefetch(&mut cache, &format!("q{quiet}"), 0);
    }
    assert_eq!(cache.counts(at(0)).queued, 101);
    check(&cache);
    let made: Vec<String> = std::iter::from_fn(|| next(&mut cache, 0)).take(budget).collect();
    assert_eq!(made, ["r5999", "q0"]);
    check(&cache);
}

#[test]
fn a_prefetch_that_another_pod_needs_stays() {
    let mut cache = cache();
    for pod in ["a", "b"] {
        of_pod(&mut cache, pod, "shared", 0);
    }
    of_pod(&mut cache, "a", "own", 0);
    assert_eq!(cache.counts(at(0)).queued, 2);
    check(&cache);
    of_pod(&mut cache, "b", "own", 0);
    assert_eq!((cache.counts(at(0)).queued, cache.entries.len()), (1, 1));
    check(&cache);
    assert_eq!((next(&mut cache, 0).as_deref(), next(&mut cache, 0)), (Some("own"), None));
}

#[test]
fn withdrawing_a_prefetch_keeps_waiters_and_sessions() {
    let mut cache = cache();
    fetch(&mut cache, "held", 1, 0);
    // It wasn't requested during its second lifetime, so it isn't renewed, but may be prefetched.
    assert_eq!(next(&mut cache, 1_800).as_deref(), Some("held"));
    cache.finish(&key("held"), Ok((2, HOUR)), at(1_800), 0);
    of_pod(&mut cache, "a", "held", 3_700);
    of_pod(&mut cache, "a", "asked", 3_700);
    assert_eq!(ask(&mut cache, "asked", 3_700), "wait 1");
    of_pod(&mut cache, "a", "other", 3_700);
    check(&cache);
    assert_eq!((next(&mut cache, 3_700).as_deref(), ask(&mut cache, "held", 3_700)), (Some("asked"), "serve 2".into()));
    check(&cache);
}

#[test]
fn a_prefetch_never_evicts_a_session() {
    let mut cache = cache();
    for index in 0..MOST_ENTRIES {
        fetch(&mut cache, &format!("s{index}"), 1, 0);
    }
    for (pod, role) in (0..20).map(|pod| (format!("p{pod}"), format!("new-{pod}"))) {
        of_pod(&mut cache, &pod, &role, 0);
    }
    assert_eq!((cache.counts(at(0)).sessions, cache.counts(at(0)).queued), (MOST_ENTRIES, 0));
    // A request may evict, and entries without a session go before sessions that weren't requested yet.
    assert_eq!(ask(&mut cache, "asked", 0), "wait 1");
    assert_eq!(next(&mut cache, 0).as_deref(), Some("asked"));
    cache.finish(&key("asked"), Err(failure(StsFailureKind::Unavailable)), at(0), 0);
    assert_eq!(look(&mut cache, "asked", 1, 0).as_deref(), Some("refuse Unavailable"));
    assert_eq!(cache.counts(at(0)).sessions, MOST_ENTRIES - 1);
    of_pod(&mut cache, "p", "too-early", 0);
    assert_eq!(cache.counts(at(0)).queued, 0, "a refusal that is still the answer is worth as much");
    of_pod(&mut cache, "p", "in-its-place", 60);
    assert_eq!(
        (cache.counts(at(60)).sessions, next(&mut cache, 60).as_deref()),
        (MOST_ENTRIES - 1, Some("in-its-place"))
    );
}

#[test]
fn sweeps_and_requests_keep_the_queued_prefetches_consistent() {
    let mut cache = cache();
    for name in ["a", "b", "c"] {
        prefetch(&mut cache, name, 0);
    }
    cache.sweep(&HashSet::from([key("a"), key("b")]), at(0));
    check(&cache);
    assert_eq!(ask(&mut cache, "a", 0), "wait 1");
    check(&cache);
    assert_eq!(cache.prefetches.len(), 1);
    cache.leave(&key("a"));
    check(&cache);
    prefetch(&mut cache, "a", 0);
    assert_eq!(cache.prefetches.len(), 2);
    while next(&mut cache, 0).is_some() {}
    assert!(cache.prefetches.is_empty());
}
