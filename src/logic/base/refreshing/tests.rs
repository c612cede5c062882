use super::*;

const fn at(millis: u64) -> Mono {
    Mono::from_millis(millis)
}

fn lease(value: u32) -> Lease<u32> {
    Lease { value, renew_from: Some(at(50)), end: Some(at(100)) }
}

fn kept() -> Refreshing<u32, &'static str> {
    Refreshing::default()
}

#[test]
fn one_caller_fetches_and_others_wait() {
    let mut kept = kept();
    assert_eq!(kept.step(at(0)), RefreshStep::Fetch);
    assert!(kept.is_fetching());
    assert_eq!(kept.step(at(0)), RefreshStep::Join);
    kept.succeed(lease(1));
    assert!(!kept.is_fetching());
    assert_eq!(kept.step(at(1)), RefreshStep::Use(1));
}

#[test]
fn one_caller_renews_and_no_other_waits() {
    let mut kept = kept();
    kept.succeed(lease(1));
    assert_eq!(kept.step(at(49)), RefreshStep::Use(1));
    assert_eq!(kept.step(at(50)), RefreshStep::Fetch);
    assert_eq!(kept.step(at(51)), RefreshStep::Use(1));
    kept.succeed(Lease { value: 2, renew_from: None, end: None });
    assert_eq!(kept.step(at(u64::MAX / 1_000)), RefreshStep::Use(2));
}

#[test]
fn after_a_failed_renewal_the_value_is_served_until_it_expires() {
    let mut kept = kept();
    kept.succeed(lease(1));
    assert_eq!(kept.step(at(60)), RefreshStep::Fetch);
    kept.fail("no", at(70));
    assert_eq!(kept.step(at(69)), RefreshStep::Use(1));
    assert_eq!(kept.step(at(70)), RefreshStep::Fetch);
    kept.fail("still no", at(110));
    assert_eq!(kept.step(at(99)), RefreshStep::Use(1));
    assert_eq!(kept.step(at(100)), RefreshStep::Refuse("still no"));
    assert_eq!(kept.step(at(110)), RefreshStep::Fetch);
}

#[test]
fn a_failure_is_returned_until_its_retry_time_or_a_success() {
    let mut kept = kept();
    assert_eq!(kept.step(at(0)), RefreshStep::Fetch);
    kept.fail("no", at(10));
    assert_eq!(kept.step(at(9)), RefreshStep::Refuse("no"));
    assert_eq!(kept.step(at(10)), RefreshStep::Fetch);
    kept.succeed(lease(1));
    kept.discard(|_| true);
    assert_eq!(kept.step(at(11)), RefreshStep::Fetch);
}

#[test]
fn an_abandoned_fetch_lets_another_start() {
    let mut kept = kept();
    assert_eq!(kept.step(at(0)), RefreshStep::Fetch);
    kept.abandon();
    assert_eq!(kept.step(at(0)), RefreshStep::Fetch);
}

#[test]
fn only_the_matching_value_is_discarded() {
    let mut kept = kept();
    kept.succeed(lease(2));
    kept.discard(|held| *held == 1);
    assert_eq!(kept.usable(at(0)), Some(2));
    kept.discard(|held| *held == 2);
    assert_eq!(kept.step(at(0)), RefreshStep::Fetch);
}
