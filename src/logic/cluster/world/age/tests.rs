use super::*;
use crate::logic::cluster::kubernetes::KubernetesFailureKind::{Forbidden, Unavailable};

const PODS: Resource = Resource::Pods;

fn at(seconds: u64) -> Mono {
    Mono::from_millis(seconds * 1_000)
}

/// Current at 0; then refused (`r`), unreachable (`n`) or current (`c`) at these seconds.
fn world(story: &[(char, u64)]) -> World {
    let mut world = World::default();
    world.limit_age(Some(Duration::from_secs(300)));
    world.confirm(PODS, at(0));
    for (what, second) in story {
        let kind = if *what == 'r' { Forbidden } else { Unavailable { retry_after_s: None } };
        let failure = KubernetesFailure { kind, cause: String::new() };
        match what {
            'c' => world.confirm(PODS, at(*second)),
            _ => world.record_failure(PODS, &failure, at(*second)),
        }
    }
    world
}

/// Refused every 30 s in this interval.
fn refused(from: u64, until: u64) -> Vec<(char, u64)> {
    (from..=until).step_by(30).map(|second| ('r', second)).collect()
}

#[test]
fn refusals_make_the_world_too_old_and_unreachability_does_not() {
    let mixed: Vec<(char, u64)> =
        (5..=305).step_by(15).map(|second| (if second % 2 == 0 { 'n' } else { 'r' }, second)).collect();
    let away: Vec<(char, u64)> = (5..=3_605).step_by(30).map(|second| ('n', second)).collect();
    for (what, story, second, unready, stale) in [
        ("quiet", vec![], 299, false, false),
        ("refused for a moment", refused(5, 35), 59, false, false),
        ("refused for a minute", refused(5, 65), 65, true, false),
        ("refused for five", refused(5, 305), 305, true, true),
        ("refused and away in turn", mixed, 305, true, true),
        ("away for an hour", away.clone(), 3_605, false, false),
        ("an hour away, then its first refusals", [away.clone(), refused(3_610, 3_610)].concat(), 3_612, false, false),
        ("an hour away, then refused", [away, refused(3_610, 3_640)].concat(), 3_640, true, true),
        ("refused for long, then away", [refused(5, 305), vec![('n', 380)]].concat(), 400, true, true),
        (
            "refused for long, then away, then refused",
            [refused(5, 305), vec![('n', 900), ('r', 1_000)]].concat(),
            1_001,
            true,
            true,
        ),
        ("refused for a moment, then away", [refused(5, 35), vec![('n', 380)]].concat(), 3_600, false, false),
        ("refused, then current", [refused(5, 305), vec![('c', 310)]].concat(), 311, false, false),
    ] {
        let world = world(&story);
        let found = [world.is_unready(|| Needed::No, at(second)), world.is_stale(|| Needed::No, at(second))];
        assert_eq!(found.map(|found| found.is_some()), [unready, stale], "{what}");
    }
}

#[test]
fn only_required_resources_count_and_without_a_limit_none_is_stale() {
    let mut world = world(&[]);
    for second in [5, 65, 125] {
        let failure = KubernetesFailure { kind: Forbidden, cause: "no".to_owned() };
        world.record_failure(Resource::Namespaces, &failure, at(second));
        world.record_failure(Resource::ServiceAccounts, &failure, at(second));
    }
    world.limit_age(Some(Duration::from_secs(2)));
    assert_eq!(world.is_stale(|| Needed::No, at(125)), None);
    let namespaces = TooOld { resource: Resource::Namespaces, age: Duration::from_secs(125) };
    assert_eq!(world.is_stale(|| Needed::Yes, at(125)), Some(namespaces));
    assert_eq!(world.is_unready(|| Needed::Yes, at(125)), Some(namespaces));
    world.require_accounts();
    assert_eq!(world.is_stale(|| Needed::No, at(125)).map(|old| old.resource), Some(Resource::ServiceAccounts));
    world.limit_age(None);
    assert_eq!(world.is_stale(|| Needed::Yes, at(125)), None);
    assert!(world.is_unready(|| Needed::Yes, at(125)).is_some(), "an agent that knows nothing new isn't ready");
    assert_eq!(world.failing(Resource::Namespaces).map(|failing| failing.since), Some(at(5)));
}

#[test]
fn a_watch_that_is_served_again_fails_no_more() {
    let mut world = world(&[]);
    let failure = KubernetesFailure { kind: Forbidden, cause: "no".to_owned() };
    world.record_failure(Resource::Pods, &failure, at(5));
    assert!(world.is_failing(Resource::Pods));
    world.clear_failure(Resource::Pods);
    assert!(!world.is_failing(Resource::Pods));
}

#[test]
fn the_last_event_of_any_watch_counts_while_all_are_well() {
    let mut world = World::default();
    world.confirm(Resource::Pods, at(3));
    assert_eq!(world.last_event_at(), None, "namespaces aren't listed yet");
    world.confirm(Resource::Namespaces, at(7));
    assert_eq!(world.last_event_at(), Some(at(7)));
    let failure = KubernetesFailure { kind: Forbidden, cause: "no".to_owned() };
    world.record_failure(Resource::Pods, &failure, at(8));
    assert_eq!(world.last_event_at(), None);
}
