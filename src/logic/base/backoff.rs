//! Backoff after consecutive failures: 800 ms, doubling to 30 s, with jitter, as in client-go's reflectors (client-go
//! tools/cache/reflector.go). Random numbers come from the caller.

use std::time::Duration;

/// Counts consecutive failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after another failure: between half of the step and the whole step, so that nodes that failed
    /// together retry spread out, also at the maximum. Never below `floor` (the server's `Retry-After`), which gets
    /// its own jitter.
    pub fn next(&mut self, floor: Option<Duration>, random: u64) -> Duration {
        let doubled = FIRST.saturating_mul(2).saturating_mul(2_u32.saturating_pow(self.failures));
        let step = doubled.min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let rest = step / 2 + share(step / 2, random);
        match floor.map(|floor| floor.min(LONGEST_FLOOR)) {
            Some(floor) if floor >= rest => floor + share(FIRST, random),
            _ => rest,
        }
    }

    /// Resets the backoff after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Whether there was no failure since the last reset.
    pub fn is_fresh(&self) -> bool {
        self.failures == 0
    }
}

/// A random part of `span`, from zero to nearly all of it.
pub fn share(span: Duration, random: u64) -> Duration {
    const HALF_BITS: u32 = 32;
    let micros = (span.as_micros() * u128::from(random >> HALF_BITS)) >> HALF_BITS;
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

/// client-go's values.
const FIRST: Duration = Duration::from_millis(800);
const LONGEST: Duration = Duration::from_secs(30);
/// The longest accepted `Retry-After`, so that a server can't make the World outdated for longer.
const LONGEST_FLOOR: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
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
}
