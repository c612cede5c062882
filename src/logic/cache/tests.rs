use super::*;
use crate::logic::arn::RoleArn;

const RULES: CacheRules = CacheRules { budget: Rate { burst: 2.0, refill: 1.0 }, error_ttl: None };
const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) fn key(name: &str) -> AssumeRole {
    AssumeRole {
        role: RoleArn::parse(&format!("arn:aws:iam::123456789012:role/{name}")).unwrap(),
        session_name: "n1".into(),
        external_id: None,
        duration_s: 3_600,
        policy: None,
        policy_arns: vec![],
        tags: vec![],
        transitive_tags: vec![],
    }
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
    said(&cache.ask(&key(name), Start::Allowed, at(second)))
}

fn said(answer: &Answer<u32>) -> String {
    match answer {
        Answer::Serve(session) => format!("serve {session}"),
        Answer::Refuse(failure) => format!("refuse {}", failure.code),
        Answer::Wait(turn) => format!("wait {turn}"),
        Answer::Unstarted => "unstarted".into(),
        Answer::Full => "full".into(),
    }
}

fn next(cache: &mut Cache<u32>, second: u64) -> Option<String> {
    match cache.next(at(second)) {
        Next::Call(key) => Some(key.role.name().to_owned()),
        Next::Rest(_) => None,
    }
}

fn look(cache: &mut Cache<u32>, name: &str, turn: u64, second: u64) -> Option<String> {
    cache.look(&key(name), turn, at(second)).as_ref().map(said)
}

/// Fetches a session for `name` at `second` on behalf of one waiter.
fn fetch(cache: &mut Cache<u32>, name: &str, session: u32, second: u64) {
    assert_eq!(ask(cache, name, second), "wait 1");
    assert_eq!(next(cache, second).as_deref(), Some(name));
    cache.finish(&key(name), Ok((session, HOUR)), at(second), 0);
    assert_eq!(look(cache, name, 1, second), Some(format!("serve {session}")));
}

#[test]
fn one_call_however_many_ask() {
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
fn any_differing_field_is_another_session() {
    let mut cache = cache();
    fetch(&mut cache, "a", 1, 0);
    let base = key("a");
    for other in [
        AssumeRole { external_id: Some("x".into()), ..base.clone() },
        AssumeRole { external_id: Some(String::new()), ..base.clone() },
        AssumeRole { session_name: "n2".into(), ..base.clone() },
        AssumeRole { duration_s: 900, ..base.clone() },
        AssumeRole { policy: Some("{}".into()), ..base.clone() },
        AssumeRole { policy_arns: vec!["arn".into()], ..base.clone() },
        AssumeRole { tags: vec![("k".into(), "v".into())], ..base.clone() },
        AssumeRole { transitive_tags: vec!["k".into()], ..base.clone() },
        key("b"),
    ] {
        assert!(matches!(cache.ask(&other, Start::Allowed, at(1)), Answer::Wait(1)), "{other:?}");
    }
    assert_eq!(ask(&mut cache, "a", 1), "serve 1");
}

#[test]
fn renewed_at_half_life_only_if_asked_for() {
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
    for (dice, due) in [(0, 1_800), (u64::MAX, 1_621)] {
        let mut cache = cache();
        assert_eq!(ask(&mut cache, "a", 0), "wait 1");
        next(&mut cache, 0);
        cache.finish(&key("a"), Ok((1, HOUR)), at(0), dice);
        assert_eq!(next(&mut cache, due - 2), None);
        assert_eq!(next(&mut cache, due).as_deref(), Some("a"));
    }
}

#[test]
fn trouble_is_ridden_out_until_the_last_minute() {
    let mut cache = cache();
    fetch(&mut cache, "a", 1, 0);
    let mut calls = 0;
    for second in 1_800..3_540 {
        assert_eq!(ask(&mut cache, "a", second), "serve 1");
        if next(&mut cache, second).is_some() {
            calls += 1;
            cache.finish(&key("a"), Err(failure(StsFailureKind::Refused)), at(second), u64::MAX);
        }
    }
    assert!((8..20).contains(&calls), "{calls} calls");
    assert_ne!(ask(&mut cache, "a", 3_540), "serve 1");
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
fn those_who_wait_go_first_and_keep_to_no_budget() {
    let mut cache = cache();
    for name in ["p1", "p2", "p3", "p4"] {
        cache.prefetch(key(name), at(0));
    }
    for name in ["w1", "w2", "w3", "p4"] {
        assert_eq!(ask(&mut cache, name, 0), "wait 1");
    }
    let order: Vec<String> = std::iter::from_fn(|| next(&mut cache, 0)).collect();
    assert_eq!(order, ["w1", "w2", "w3", "p4", "p1", "p2"]);
    assert!(matches!(cache.next(at(0)), Next::Rest(until) if until == at(1)));
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
fn a_queued_call_that_nobody_waits_for_is_dropped() {
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
fn a_prefetched_session_is_renewed_once_unasked_and_a_failed_one_not_retried() {
    let mut cache = cache();
    cache.prefetch(key("a"), at(0));
    cache.prefetch(key("b"), at(0));
    assert_eq!((next(&mut cache, 0).as_deref(), next(&mut cache, 0).as_deref()), (Some("a"), Some("b")));
    cache.finish(&key("a"), Ok((1, HOUR)), at(0), 0);
    cache.finish(&key("b"), Err(failure(StsFailureKind::Unavailable)), at(0), 0);
    assert_eq!(next(&mut cache, 1_800).as_deref(), Some("a"));
    cache.finish(&key("a"), Ok((2, HOUR)), at(1_800), 0);
    assert_eq!(next(&mut cache, 3_600), None);
    assert_eq!(ask(&mut cache, "b", 3_600), "wait 2");
}

#[test]
fn nothing_is_started_for_those_who_may_not_but_joining_is_free() {
    let mut cache = cache();
    assert_eq!(said(&cache.ask(&key("a"), Start::Withheld, at(0))), "unstarted");
    assert_eq!(ask(&mut cache, "a", 0), "wait 1");
    assert_eq!(said(&cache.ask(&key("a"), Start::Withheld, at(0))), "wait 1");
}

#[test]
fn what_nobody_may_use_is_swept_even_out_of_flight() {
    let mut cache = cache();
    fetch(&mut cache, "a", 1, 0);
    fetch(&mut cache, "b", 2, 0);
    cache.prefetch(key("c"), at(0));
    assert_eq!(next(&mut cache, 0).as_deref(), Some("c"));
    let entitled = HashSet::from([key("a")]);
    cache.sweep(&entitled, at(1));
    assert_eq!(cache.counts(at(1)).sessions, 1);
    cache.finish(&key("c"), Ok((3, HOUR)), at(2), 0);
    assert_eq!((cache.counts(at(2)).sessions, cache.entries.len()), (1, 1));
    cache.sweep(&entitled, at(3_601));
    assert!(cache.entries.is_empty());
}

#[test]
fn a_full_cache_makes_room_among_those_at_rest() {
    let mut cache = cache();
    for index in 0..MOST_ENTRIES {
        cache.prefetch(key(&format!("r{index}")), at(0));
    }
    assert_eq!(ask(&mut cache, "new", 0), "full");
    assert_eq!(next(&mut cache, 0).as_deref(), Some("r0"));
    cache.finish(&key("r0"), Err(failure(StsFailureKind::Refused)), at(0), 0);
    assert_eq!(ask(&mut cache, "new", 0), "wait 1");
}

/// Every order in which three callers can ask for two keys, calls begin and end, well or badly:
/// nobody is left waiting, no key has two calls, nobody gets another key's session.
#[test]
fn all_small_orders_strand_nobody() {
    const CALLERS: [&str; 3] = ["a", "a", "b"];
    fn explore(path: &mut Vec<usize>, depth: usize, seen: &mut usize) {
        if depth > 0 {
            for step in 0..7 {
                path.push(step);
                explore(path, depth - 1, seen);
                path.pop();
            }
            return;
        }
        *seen += 1;
        let mut cache: Cache<u32> = Cache::new(CacheRules { error_ttl: Some(Duration::ZERO), ..RULES }, at(0));
        let mut waiting: [Option<u64>; 3] = [None; 3];
        let mut flying: Vec<Arc<AssumeRole>> = Vec::new();
        let begin = |cache: &mut Cache<u32>, flying: &mut Vec<Arc<AssumeRole>>| {
            if let Next::Call(key) = cache.next(at(0)) {
                assert!(!flying.contains(&key), "two calls for one key");
                flying.push(key);
            }
        };
        let settle = |cache: &mut Cache<u32>, waiting: &mut [Option<u64>; 3]| {
            for (caller, turn) in waiting.iter_mut().enumerate() {
                if let Some(answer) = turn.and_then(|turn| cache.look(&key(CALLERS[caller]), turn, at(0))) {
                    if let Answer::Serve(session) = answer {
                        assert_eq!(*session, u32::from(CALLERS[caller].as_bytes()[0]));
                    }
                    *turn = None;
                }
            }
        };
        let end = |cache: &mut Cache<u32>, flying: &mut Vec<Arc<AssumeRole>>, well: usize| {
            if let Some(key) = flying.pop() {
                let session = u32::from(key.role.name().as_bytes()[0]);
                let result = if well == 0 { Ok((session, HOUR)) } else { Err(failure(StsFailureKind::Unavailable)) };
                cache.finish(&key, result, at(0), 0);
            }
        };
        for step in path.iter() {
            match *step {
                caller @ 0..=2 if waiting[caller].is_none() => {
                    if let Answer::Wait(turn) = cache.ask(&key(CALLERS[caller]), Start::Allowed, at(0)) {
                        waiting[caller] = Some(turn);
                    }
                }
                caller @ 0..=2 => {
                    cache.leave(&key(CALLERS[caller]));
                    waiting[caller] = None;
                }
                3 => begin(&mut cache, &mut flying),
                4 | 5 => end(&mut cache, &mut flying, *step - 4),
                _ => cache.sweep(&HashSet::from([key("a")]), at(0)),
            }
            settle(&mut cache, &mut waiting);
        }
        for _ in 0..4 {
            begin(&mut cache, &mut flying);
            end(&mut cache, &mut flying, 0);
            settle(&mut cache, &mut waiting);
        }
        assert_eq!(waiting, [None; 3], "stranded after {path:?}");
        assert!(cache.entries.values().all(|entry| entry.waiters == 0), "a waiter was counted twice after {path:?}");
    }
    let mut seen = 0;
    explore(&mut Vec::new(), 6, &mut seen);
    assert_eq!(seen, 7usize.pow(6));
}
