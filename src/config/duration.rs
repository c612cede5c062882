//! Durations as Go's `time.ParseDuration` reads them: `1h30m`, `1.5h`, `500ms`, `100us`, `-2s`, `0`.

use std::time::Duration;

/// A duration that can't be negative.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match parse(text) {
        Some((Sign::Plus, duration)) | Some((Sign::Minus, duration @ Duration::ZERO)) => Ok(duration),
        _ => Err("a duration such as 500ms, 15m or 1h30m, not below 0".to_owned()),
    }
}

/// A duration without effect here. It must be valid all the same, as for pflag.
pub(super) fn ignored_duration(text: &str) -> Result<(), String> {
    parse(text).map(|_| ()).ok_or_else(|| "a duration such as 500ms, 15m or 1h30m".to_owned())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Plus,
    Minus,
}

fn parse(text: &str) -> Option<(Sign, Duration)> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (Sign::Minus, rest),
        None => (Sign::Plus, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some((sign, Duration::ZERO));
    }
    if rest.is_empty() {
        return None;
    }
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let mut nanos = 0_u64;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c| !is_number(c))?);
        let (unit, tail) = tail.split_at(tail.find(is_number).unwrap_or(tail.len()));
        nanos = nanos.checked_add(nanos_of(number, unit)?)?;
        rest = tail;
    }
    (nanos <= LONGEST_NANOS).then(|| (sign, Duration::from_nanos(nanos)))
}

/// Converts a number such as `1.5` or `.5` of a unit to nanoseconds.
fn nanos_of(number: &str, unit: &str) -> Option<u64> {
    let (_, scale) = *UNITS.iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let fraction = fraction.get(..FRACTION_DIGITS).unwrap_or(fraction);
    let count = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<u64>().ok() };
    let parts = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let part = u128::from(count(fraction)?) * u128::from(scale) / parts;
    count(whole)?.checked_mul(scale)?.checked_add(u64::try_from(part).ok()?)
}

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    // Go accepts both the micro sign and the Greek letter.
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
/// Go stores a duration as nanoseconds in 63 bits.
const LONGEST_NANOS: u64 = i64::MAX.unsigned_abs();
/// Further digits of a fraction of an hour are below a nanosecond.
const FRACTION_DIGITS: usize = 13;

#[cfg(test)]
mod tests;
