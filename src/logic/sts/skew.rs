//! The difference between the local clock and AWS's, from the `Date` of a response.

use crate::logic::base::time::Wall;

/// Milliseconds to add to a clock that reads `now` to match `date`, an HTTP date (RFC 9110, section 5.6.7). Zero if
/// the difference is tolerable; `None` if `date` isn't a date.
pub fn skew_ms(date: &str, now: Wall) -> Option<i64> {
    let skew = http_date(date)?.unix_millis().saturating_sub(now.unix_millis());
    Some(if skew.unsigned_abs() < TOLERATED_MS { 0 } else { skew })
}

/// Parses the only HTTP date format that is still generated.
pub fn http_date(date: &str) -> Option<Wall> {
    let (_, rest) = date.trim().split_once(", ")?;
    let [day, month, year, clock, "GMT"] = rest.split(' ').collect::<Vec<_>>()[..] else { return None };
    let month = 1 + MONTHS.iter().position(|name| *name == month)?;
    Wall::parse_rfc3339(&format!("{year}-{month:02}-{day}T{clock}Z"))
}

/// STS tolerates five minutes. Below one minute, network latency and the date's whole seconds matter more than the
/// skew.
const TOLERATED_MS: u64 = 60_000;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
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
}
