use super::*;
use crate::logic::sts::StsFailureKind;
use crate::logic::sts::tests::plain_call;

mod ahead;
mod day;
mod held;
mod life;
mod orders;
mod properties;
mod tokens;

const RULES: CacheRules =
    CacheRules { budget: Rate { burst: 2.0, refill: 1.0 }, renew: RenewAt::Half, error_ttl: None };
const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) fn key(name: &str) -> AssumeRole {
    plain_call(name, "n1")
}

fn at(seconds: u64) -> Mono {
    Mono::from_millis(seconds * 1_000)
}

fn cache() -> Cache<u32> {
    Cache::new(RULES, at(0))
}

fn failure(kind: StsFailureKind) -> StsFailure {
    StsFailure { kind, code: format!("{kind:?}"), message: String::new(), request_id: None }
}

fn ask(cache: &mut Cache<u32>, name: &str, second: u64) -> String {
    said(&cache.ask(&key(name), Start::Allowed, None, at(second)))
}

fn said(answer: &CacheAnswer<u32>) -> String {
    match answer {
        CacheAnswer::Serve(session) => format!("serve {session}"),
        CacheAnswer::Refuse(failure) => format!("refuse {}", failure.code),
        CacheAnswer::Wait(call_number) => format!("wait {call_number}"),
        CacheAnswer::Refresh { held, .. } => format!("refresh {held}"),
        CacheAnswer::Unstarted(_) => "unstarted".into(),
        CacheAnswer::Full => "full".into(),
    }
}

/// For a pod with the same name as the role.
fn prefetch(cache: &mut Cache<u32>, name: &str, second: u64) {
    cache.prefetch(&name.into(), key(name), at(second));
}

fn next(cache: &mut Cache<u32>, second: u64) -> Option<String> {
    match cache.next(at(second)) {
        NextCall::Call(due) => Some(due.request.role.name().to_owned()),
        NextCall::Rest(_) => None,
    }
}

fn look(cache: &mut Cache<u32>, name: &str, call_number: u64, second: u64) -> Option<String> {
    cache.poll(&key(name), call_number, at(second)).as_ref().map(said)
}

/// Fetches a session for `name` at `second` for one waiter.
fn fetch(cache: &mut Cache<u32>, name: &str, session: u32, second: u64) {
    assert_eq!(ask(cache, name, second), "wait 1");
    assert_eq!(next(cache, second).as_deref(), Some(name));
    cache.finish(&key(name), Ok((session, HOUR)), at(second), 0);
    assert_eq!(look(cache, name, 1, second), Some(format!("serve {session}")));
}

#[test]
fn concurrent_requests_share_one_call() {
    let mut cache = cache();
    assert_eq!([ask(&mut cache, "a", 0), ask(&mut cache, "a", 0)], ["wait 1", "wait 1"]);
    assert_eq!((next(&mut cache, 0).as_deref(), next(&mut cache, 0)), (Some("a"), None));
    assert_eq!(ask(&mut cache, "a", 1), "wait 1");
    assert_eq!(look(&mut cache, "a", 1, 1), None);
    cache.finish(&key("a"), Ok((7, HOUR)), at(2), 0);
    for _ in 0..3 {
        assert_eq!(look(&mut cache, "a", 1, 2).as_deref(), Some("serve 7"));
    }
    assert_eq!(next(&mut cache, 2), None);
}

#[test]
fn failures_are_remembered_by_their_kind() {
    for (kind, error_ttl, remembered) in [
        (StsFailureKind::Refused, None, 10),
        (StsFailureKind::Throttled, None, 1),
        (StsFailureKind::Unavailable, None, 1),
        (StsFailureKind::Refused, Some(Duration::ZERO), 0),
        (StsFailureKind::Unavailable, Some(Duration::from_secs(30)), 30),
    ] {
        let mut cache: Cache<u32> = Cache::new(CacheRules { error_ttl, ..RULES }, at(0));
        assert_eq!(ask(&mut cache, "a", 0), "wait 1");
        next(&mut cache, 0);
        cache.finish(&key("a"), Err(failure(kind)), at(0), 0);
        assert_eq!(look(&mut cache, "a", 1, 0), Some(format!("refuse {kind:?}")));
        if remembered > 0 {
            assert_eq!(ask(&mut cache, "a", remembered - 1), format!("refuse {kind:?}"));
        }
        assert_eq!(ask(&mut cache, "a", remembered), "wait 2");
    }
}

#[test]
fn calls_for_waiting_requests_go_first_without_a_rate_limit() {
    let mut cache = cache();
    for name in ["p1", "p2", "p3", "p4"] {
        prefetch(&mut cache, name, 0);
    }
    for name in ["w1", "w2", "w3", "p4"] {
        assert_eq!(ask(&mut cache, name, 0), "wait 1");
    }
    let order: Vec<String> = std::iter::from_fn(|| next(&mut cache, 0)).collect();
    assert_eq!(order, ["w1", "w2", "w3", "p4", "p1", "p2"]);
    assert!(matches!(cache.next(at(0)), NextCall::Rest(until) if until == at(1)));
    assert_eq!(next(&mut cache, 1).as_deref(), Some("p3"));
}

#[test]
fn at_most_eight_calls_at_a_time() {
    let mut cache = cache();
    for index in 0..20 {
        ask(&mut cache, &format!("r{index}"), 0);
    }
    assert_eq!(std::iter::from_fn(|| next(&mut cache, 0)).count(), MOST_CALLS);
    cache.finish(&key("r0"), Ok((1, HOUR)), at(0), 0);
    assert_eq!(next(&mut cache, 0).as_deref(), Some("r8"));
}

#[test]
fn a_queued_call_without_waiters_is_dropped() {
    let mut cache = cache();
    ask(&mut cache, "a", 0);
    ask(&mut cache, "a", 0);
    cache.leave(&key("a"));
    assert_eq!(cache.counts(at(0)).queued, 1);
    cache.leave(&key("a"));
    assert_eq!(next(&mut cache, 0), None);
    assert_eq!(ask(&mut cache, "a", 1), "wait 1");
    assert_eq!(next(&mut cache, 1).as_deref(), Some("a"));
}

#[test]
fn a_withheld_request_starts_no_call_but_may_join_one() {
    let mut cache = cache();
    assert_eq!(said(&cache.ask(&key("a"), Start::Withheld, None, at(0))), "unstarted");
    assert_eq!(ask(&mut cache, "a", 0), "wait 1");
    assert_eq!(said(&cache.ask(&key("a"), Start::Withheld, None, at(0))), "wait 1");
}

#[test]
fn a_full_cache_evicts_only_idle_entries() {
    let mut cache = cache();
    for index in 0..MOST_ENTRIES {
        prefetch(&mut cache, &format!("r{index}"), 0);
    }
    assert_eq!(ask(&mut cache, "new", 0), "full");
    assert_eq!(next(&mut cache, 0).as_deref(), Some("r0"));
    cache.finish(&key("r0"), Err(failure(StsFailureKind::Refused)), at(0), 0);
    assert_eq!(ask(&mut cache, "new", 0), "wait 1");
}

#[test]
fn background_calls_leave_slots_free() {
    let roomy = CacheRules { budget: Rate { burst: 100.0, refill: 100.0 }, ..RULES };
    let mut cache: Cache<u32> = Cache::new(roomy, at(0));
    for index in 0..20 {
        prefetch(&mut cache, &format!("p{index}"), 0);
    }
    assert_eq!(std::iter::from_fn(|| next(&mut cache, 0)).count(), 6);
    assert!(matches!(cache.next(at(0)), NextCall::Rest(until) if until > at(1)), "no place, no busy waiting");
    assert_eq!((ask(&mut cache, "w1", 0).as_str(), ask(&mut cache, "p15", 0).as_str()), ("wait 1", "wait 1"));
    assert_eq!((next(&mut cache, 0).as_deref(), next(&mut cache, 0).as_deref()), (Some("w1"), Some("p15")));
    assert_eq!(next(&mut cache, 0), None);
    cache.finish(&key("p0"), Ok((1, HOUR)), at(0), 0);
    assert_eq!(next(&mut cache, 0).as_deref(), Some("p6"));
}

#[test]
fn a_role_with_a_session_per_pod_does_not_delay_other_roles() {
    let mut cache = cache();
    for index in 0..100 {
        let tagged = AssumeRole { tags: vec![("kubernetes-pod-uid".into(), index.to_string())], ..key("greedy") };
        assert!(matches!(cache.ask(&tagged, Start::Allowed, None, at(0)), CacheAnswer::Wait(1)));
    }
    ask(&mut cache, "a", 0);
    ask(&mut cache, "b", 0);
    let order: Vec<String> = std::iter::from_fn(|| next(&mut cache, 0)).take(4).collect();
    assert_eq!(order, ["greedy", "a", "b", "greedy"]);
}

#[test]
fn a_call_has_its_purpose_and_queueing_time() {
    let mut cache = cache();
    ["p1", "p2", "p3"].iter().for_each(|name| prefetch(&mut cache, name, 0));
    let due = |cache: &mut Cache<u32>, second| match cache.next(at(second)) {
        NextCall::Call(due) => Some((due.purpose, due.queued.as_secs())),
        NextCall::Rest(_) => None,
    };
    let prefetched = Some((CallPurpose::Prefetch, 0));
    assert_eq!([due(&mut cache, 0), due(&mut cache, 0), due(&mut cache, 0)], [prefetched, prefetched, None]);
    assert_eq!(ask(&mut cache, "p3", 1), "wait 1");
    assert_eq!(due(&mut cache, 2), Some((CallPurpose::Request, 2)));
}
