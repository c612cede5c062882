use super::*;

#[test]
fn skew_is_the_date_minus_the_clock() {
    let now = Wall::from_unix_seconds(1_795_402_787);
    for (date, skew) in [
        ("Mon, 23 Nov 2026 02:59:47 GMT", Some(0)),
        ("Mon, 23 Nov 2026 03:00:40 GMT", Some(0)),
        ("Mon, 23 Nov 2026 03:00:46 GMT", Some(0)),
        ("Mon, 23 Nov 2026 03:00:47 GMT", Some(60_000)),
        ("Mon, 23 Nov 2026 03:59:47 GMT", Some(3_600_000)),
        ("Mon, 23 Nov 2026 02:49:47 GMT", Some(-600_000)),
        ("Mon, 23 Now 2026 02:49:47 GMT", None),
        ("Mon, 23 Nov 2026 02:49:47 CET", None),
        ("Mon, 23 Nov 2026", None),
        ("2026-11-23T02:59:47Z", None),
        ("", None),
    ] {
        assert_eq!(skew_ms(date, now), skew, "{date}");
    }
    assert_eq!(skew_ms(&now.http_date(), now), Some(0));
}
