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
mod tests;
