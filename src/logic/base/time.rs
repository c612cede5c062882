//! Two kinds of time. [`Mono`] measures durations and never jumps; [`Wall`] is the time in AWS's dates and may jump.
//! Nothing here reads a clock.

use std::time::Duration;

/// Microseconds since an arbitrary time before the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(u64);

impl Mono {
    /// The time `micros` microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The time `millis` milliseconds after the origin.
    #[cfg(test)]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000)
    }

    /// Microseconds since the origin.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// This time plus `span`; saturates instead of overflowing.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(micros_of(span)))
    }

    /// The time elapsed since `earlier`; zero if it is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The time remaining until `later`; zero if it has passed.
    pub fn until(self, later: Self) -> Duration {
        later.since(self)
    }
}

/// Milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(i64);

impl Wall {
    /// The time `millis` milliseconds after 1970-01-01T00:00:00Z.
    pub const fn from_unix_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The time `seconds` seconds after 1970-01-01T00:00:00Z.
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Self(seconds * 1_000)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn unix_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// This time plus `span`; saturates instead of overflowing.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis_of(span)))
    }

    /// This time minus `span`.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis_of(span)))
    }

    /// The time elapsed since `earlier`; zero if it is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// `2026-11-23T05:42:04Z`: RFC 3339 in UTC with whole seconds, the format of the metadata service.
    pub fn rfc3339(self) -> String {
        String::from_utf8_lossy(&self.rfc3339_bytes()).into_owned()
    }

    /// The same in ASCII, without the formatter, which takes ten times as long: every log line has one.
    pub fn rfc3339_bytes(self) -> [u8; 20] {
        let (year, month, day) = civil(self.0.div_euclid(DAY_MS));
        let second = self.0.rem_euclid(DAY_MS) / 1_000;
        let mut text = *b"0000-00-00T00:00:00Z";
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        let digits = [(0, year / 100), (2, year % 100), (5, month), (8, day), (11, hour), (14, minute), (17, second)];
        for (place, number) in &digits {
            let number = u8::try_from(*number).unwrap_or_default() % 100;
            text[*place] += number / 10;
            text[place + 1] += number % 10;
        }
        text
    }

    /// `Mon, 23 Nov 2026 05:42:04 GMT`: the date of an HTTP header (RFC 9110, section 5.6.7).
    pub fn http_date(self) -> String {
        let days = self.0.div_euclid(DAY_MS);
        let (year, month, day) = civil(days);
        let weekday = WEEKDAYS[at(days + 3, 7)];
        let month = MONTHS[at(month - 1, 12)];
        let second = self.0.rem_euclid(DAY_MS) / 1_000;
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
    }

    /// Parses RFC 3339 with an optional fraction and `Z` or a numeric offset, with or without its colon; `None` for
    /// anything else.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let (date, rest) = text.split_at_checked(10)?;
        let (clock, rest) = rest.strip_prefix(['T', 't', ' '])?.split_at_checked(8)?;
        let [year, month, day] = fields(date, '-')?;
        let [hour, minute, second] = fields(clock, ':')?;
        let plausible =
            (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
        if !plausible {
            return None;
        }
        let (millis, zone) = fraction(rest)?;
        let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
        Some(Self((seconds - offset_seconds(zone)?) * 1_000 + millis))
    }
}

/// The time on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    pub mono: Mono,
    pub wall: Wall,
}

fn micros_of(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn millis_of(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn at(value: i64, modulus: i64) -> usize {
    usize::try_from(value.rem_euclid(modulus)).unwrap_or(0)
}

fn fields(text: &str, separator: char) -> Option<[i64; 3]> {
    let mut parts =
        text.split(separator).map(|part| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?);
    let fields = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(fields)
}

/// Splits `.123456Z` into whole milliseconds and the zone.
fn fraction(text: &str) -> Option<(i64, &str)> {
    let Some(digits) = text.strip_prefix('.') else { return Some((0, text)) };
    let end = digits.find(|c: char| !c.is_ascii_digit())?;
    let (digits, zone) = digits.split_at(end);
    let millis: String = digits.chars().chain("000".chars()).take(3).collect();
    if digits.is_empty() { None } else { Some((millis.parse().ok()?, zone)) }
}

fn offset_seconds(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let (sign, clock) = zone.strip_prefix('+').map(|rest| (1, rest)).or_else(|| Some((-1, zone.strip_prefix('-')?)))?;
    // ISO 8601's basic form `+0000` is accepted too: some STS stand-ins write it.
    let (hours, minutes) = clock.split_once(':').or_else(|| clock.split_at_checked(2))?;
    let two_digits = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    let (true, true) = (two_digits(hours), two_digits(minutes)) else { return None };
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// Converts days since 1970-01-01 into a date of the Gregorian calendar, by eras of 400 years that start in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + day_of_era - 719_468
}

const DAY_MS: i64 = 86_400_000;
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_format_of_the_metadata_service() {
        for (unix, rfc3339, http) in [
            (0, "1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_400, "2000-02-29T00:00:00Z", "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_795_412_524, "2026-11-23T05:42:04Z", "Mon, 23 Nov 2026 05:42:04 GMT"),
            (4_102_444_799, "2099-12-31T23:59:59Z", "Thu, 31 Dec 2099 23:59:59 GMT"),
        ] {
            let wall = Wall::from_unix_seconds(unix);
            assert_eq!(wall.rfc3339(), rfc3339);
            assert_eq!(wall.http_date(), http);
            assert_eq!(Wall::parse_rfc3339(rfc3339), Some(wall));
        }
    }

    #[test]
    fn rfc3339_is_parsed_with_fraction_and_offset() {
        for (text, millis) in [
            ("2026-11-23T03:59:47.946975Z", Some(1_795_406_387_946)),
            ("2026-11-23T03:59:47.9Z", Some(1_795_406_387_900)),
            ("2026-11-23T05:59:47+02:00", Some(1_795_406_387_000)),
            ("2026-11-22T22:29:47-05:30", Some(1_795_406_387_000)),
            ("2026-11-23T03:59:47+0000", Some(1_795_406_387_000)),
            ("2026-11-22T22:29:47.5-0530", Some(1_795_406_387_500)),
            ("2026-11-23T03:59:47", None),
            ("2026-11-23T03:59:47+00", None),
            ("2026-11-23T03:59:47+00000", None),
            ("2026-11-23T03:59:47+0:00", None),
            ("2026-11-23T03:59:47+2400", None),
            ("2026-11-23T03:59:47+0060", None),
            ("2026-11-23T24:00:00Z", None),
            ("2026-11-23T23:60:00Z", None),
            ("2026-11-23T23:59:61Z", None),
            ("2026-11-23T03:59:47.Z", None),
            ("2026-13-23T03:59:47Z", None),
            ("2026-11-23T+3:59:47Z", None),
            ("2026-11-23", None),
            ("é026-11-23T03:59:47Z", None),
            ("", None),
        ] {
            assert_eq!(Wall::parse_rfc3339(text).map(Wall::unix_millis), millis, "{text}");
        }
    }

    #[test]
    fn spans_never_go_below_zero() {
        let (early, late) = (Mono::from_millis(5), Mono::from_millis(9));
        assert_eq!(late.since(early), Duration::from_millis(4));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(early.until(late), Duration::from_millis(4));
        assert_eq!(Wall::from_unix_seconds(1).since(Wall::from_unix_seconds(2)), Duration::ZERO);
    }

    /// From 1600 to 2400: every day has the date that leads back to it, and follows the day before.
    #[test]
    fn every_day_has_one_date() {
        let mut before = civil(-135_141);
        for day in -135_140..=157_053 {
            let (year, month, of_month) = civil(day);
            assert_eq!(days_from_civil(year, month, of_month), day);
            let follows = match before {
                (y, m, d) if (y, m) == (year, month) => of_month == d + 1,
                (y, 12, 31) => (year, month, of_month) == (y + 1, 1, 1),
                (y, m, d) => (28..=31).contains(&d) && (year, month, of_month) == (y, m + 1, 1),
            };
            assert!(follows, "{before:?} {year}-{month}-{of_month}");
            before = (year, month, of_month);
        }
    }

    #[test]
    fn a_moment_lies_before_and_after_by_the_same_span() {
        let (noon, span) = (Wall::from_unix_seconds(1_800_000_000), Duration::from_millis(1_500));
        assert_eq!(noon.before(span).after(span), noon);
        assert_eq!(noon.since(noon.before(span)), span);
    }
}
