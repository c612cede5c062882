//! How long credentials of the node's own are used before they are fetched anew.
//!
//! The wall clock is looked at once, when they come; from then on only [`Mono`] counts. Credentials that look as if
//! they were over are used all the same, for a minute: in trouble the metadata service extends them, the clock may be
//! wrong, and AWS judges better than we do.

use std::time::Duration;

use crate::logic::base::refreshing::Lease;
use crate::logic::base::time::{Mono, Now, Wall};

/// A lease on `value`, which came at `now` and is valid until `expiration`; `None`: AWS sets no end.
pub fn lease_until<T>(value: T, expiration: Option<Wall>, now: Now) -> Lease<T> {
    match expiration {
        Some(expiration) => lease_for(value, expiration.since(now.wall), now.mono),
        None => Lease { value, renew_from: Some(now.mono.after(LONGEST_USE)), end: None },
    }
}

/// A lease on `value`, which came at `now` and lives for `life`.
pub fn lease_for<T>(value: T, life: Duration, now: Mono) -> Lease<T> {
    let left = life.max(SHORTEST_USE);
    let margin = MARGIN.min((left / 2).max(LEAST_MARGIN));
    let rest = left.saturating_sub(margin).clamp(SHORTEST_USE, LONGEST_USE);
    Lease { value, renew_from: Some(now.after(rest)), end: Some(now.after(left)) }
}

/// The time before the end from which on the next ones are fetched; SDKs take the same.
const MARGIN: Duration = Duration::from_secs(15 * 60);
/// Short sessions are renewed at half of their life, but never with less than this left.
const LEAST_MARGIN: Duration = Duration::from_secs(5 * 60);
/// Bounds the fetches while a source hands out sessions that are nearly over.
const SHORTEST_USE: Duration = Duration::from_secs(60);
/// Long sessions are looked at this often: the instance's role may have been changed.
const LONGEST_USE: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_comes_before_the_end_and_never_in_a_storm() {
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
}
