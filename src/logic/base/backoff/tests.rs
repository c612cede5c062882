use super::*;

#[test]
fn rests_double_from_800_ms_to_30_s_with_jitter() {
    for (random, expected) in [
        (0, [800, 1_600, 3_200, 6_400, 12_800, 15_000, 15_000]),
        (1 << 63, [1_200, 2_400, 4_800, 9_600, 19_200, 22_500, 22_500]),
        (u64::MAX, [1_599, 3_199, 6_399, 12_799, 25_599, 29_999, 29_999]),
    ] {
        let mut backoff = Backoff::default();
        let rests = expected.map(|_| backoff.next(None, random).as_millis());
        assert_eq!(rests, expected, "{random}");
    }
}

#[test]
fn a_thousand_failures_do_not_overflow() {
    let mut backoff = Backoff::default();
    let longest = (0..1_000).map(|_| backoff.next(None, u64::MAX)).max();
    assert!(longest <= Some(LONGEST));
    backoff.reset();
    assert!(backoff.is_fresh());
    assert_eq!(backoff.next(None, 0), FIRST);
}

#[test]
fn the_servers_retry_after_is_a_floor_up_to_a_limit() {
    let rest = |seconds, random| Backoff::default().next(Some(Duration::from_secs(seconds)), random).as_millis();
    assert_eq!(rest(0, 0), 800);
    assert_eq!(rest(1, u64::MAX), 1_599);
    assert_eq!(rest(5, 0), 5_000);
    assert_eq!(rest(5, u64::MAX), 5_799);
    assert_eq!(rest(86_400, 0), 120_000);
}
