use super::*;
use crate::logic::sts::StsFailureKind;
use crate::logic::sts::tests::plain_call;

fn call(role: usize) -> AssumeRole {
    plain_call(&format!("r{role}"), "s")
}

fn failure(code: &str) -> StsFailure {
    StsFailure { kind: StsFailureKind::Refused, code: code.into(), message: String::new(), request_id: None }
}

fn at(second: i64) -> Wall {
    Wall::from_unix_seconds(second)
}

#[test]
fn a_failure_is_kept_until_the_call_succeeds() {
    let mut failures = RecentFailures::default();
    failures.record(&call(1), Some(&failure("Throttling")), at(1));
    failures.record(&call(1), Some(&failure("AccessDenied")), at(2));
    failures.record(&call(2), None, at(3));
    let (known, when) = failures.of(&call(1)).unwrap();
    assert_eq!((known.code.as_str(), when), ("AccessDenied", at(2)));
    failures.record(&call(1), None, at(4));
    assert!(failures.of(&call(1)).is_none());
}

#[test]
fn the_oldest_failure_is_dropped_at_the_limit() {
    let mut failures = RecentFailures::default();
    (0..=MOST_REMEMBERED).for_each(|role| failures.record(&call(role), Some(&failure("AccessDenied")), at(0)));
    assert!(failures.of(&call(0)).is_none() && failures.of(&call(MOST_REMEMBERED)).is_some());
}

#[test]
fn failures_of_several_calls_stand_side_by_side() {
    let mut failures = RecentFailures::default();
    (0..3).for_each(|role| failures.record(&call(role), Some(&failure("AccessDenied")), at(0)));
    assert!((0..3).all(|role| failures.of(&call(role)).is_some()));
}
