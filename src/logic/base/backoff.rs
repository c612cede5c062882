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
mod tests;
