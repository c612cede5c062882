use super::*;

#[test]
fn renewal_is_before_the_end_and_limited_in_rate() {
    const MINUTE: u64 = 60_000;
    for (left_s, renew_ms, end_ms) in [
        (6 * 3_600, 60 * MINUTE, Some(360 * MINUTE)),
        (3_600, 45 * MINUTE, Some(60 * MINUTE)),
        (1_200, 10 * MINUTE, Some(20 * MINUTE)),
        (900, 450_000, Some(15 * MINUTE)),
        (480, 3 * MINUTE, Some(8 * MINUTE)),
        (240, MINUTE, Some(4 * MINUTE)),
        (0, MINUTE, Some(MINUTE)),
        (-7_200, MINUTE, Some(MINUTE)),
    ] {
        let now = Now { mono: Mono::from_millis(500), wall: Wall::from_unix_seconds(1_000_000) };
        let lease = lease_until((), Some(Wall::from_unix_seconds(1_000_000 + left_s)), now);
        let at = |millis: u64| Mono::from_millis(500 + millis);
        assert_eq!((lease.renew_from, lease.end), (Some(at(renew_ms)), end_ms.map(at)), "{left_s}");
    }
    let endless = lease_until((), None, Now::default());
    assert_eq!((endless.renew_from, endless.end), (Some(Mono::from_millis(60 * MINUTE)), None));
}
