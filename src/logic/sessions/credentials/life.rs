//! How long the node's own credentials are used before they are fetched again.
//!
//! The wall clock is read once, when they arrive; from then on only [`Mono`] counts. Credentials that seem expired
//! are still used for a minute: during an outage the metadata service extends them, the node's clock may be wrong,
//! and AWS decides anyway.

use std::time::Duration;

use crate::logic::base::refreshing::Lease;
use crate::logic::base::time::{Mono, Now, Wall};

/// A lease on `value`, fetched at `now` and valid until `expiration`; `None`: it doesn't expire.
pub fn lease_until<T>(value: T, expiration: Option<Wall>, now: Now) -> Lease<T> {
    match expiration {
        Some(expiration) => lease_for(value, expiration.since(now.wall), now.mono),
        None => Lease { value, renew_from: Some(now.mono.after(LONGEST_USE)), end: None },
    }
}

/// A lease on `value`, fetched at `now` and valid for `life`.
pub fn lease_for<T>(value: T, life: Duration, now: Mono) -> Lease<T> {
    let left = life.max(SHORTEST_USE);
    let margin = MARGIN.min((left / 2).max(LEAST_MARGIN));
    let rest = left.saturating_sub(margin).clamp(SHORTEST_USE, LONGEST_USE);
    Lease { value, renew_from: Some(now.after(rest)), end: Some(now.after(left)) }
}

/// Credentials are renewed this long before they expire, as SDKs do.
const MARGIN: Duration = Duration::from_secs(15 * 60);
/// Short-lived credentials are renewed at half of their lifetime, but at least this long before they expire.
const LEAST_MARGIN: Duration = Duration::from_secs(5 * 60);
/// Limits how often a source is called that returns nearly expired credentials.
const SHORTEST_USE: Duration = Duration::from_secs(60);
/// Long-lived credentials are fetched this often: the instance's role may have changed.
const LONGEST_USE: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests;
