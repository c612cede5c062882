//! Token buckets: a burst at once, then a steady rate.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::logic::base::time::Mono;

/// A bucket's capacity and refill rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub burst: f64,
    /// Tokens per second
    pub refill: f64,
}

/// A bucket. It starts full.
#[derive(Clone, Debug)]
pub struct Bucket {
    tokens: f64,
    since: Mono,
}

impl Bucket {
    pub fn full(rate: Rate, now: Mono) -> Self {
        Self { tokens: rate.burst, since: now }
    }

    /// Takes a token if one is available.
    pub fn take(&mut self, rate: Rate, now: Mono) -> bool {
        self.refill(rate, now);
        let taken = self.tokens >= 1.0;
        if taken {
            self.tokens -= 1.0;
        }
        taken
    }

    /// The time at which the next token is available.
    pub fn ready_at(&mut self, rate: Rate, now: Mono) -> Mono {
        self.refill(rate, now);
        let missing = (1.0 - self.tokens).max(0.0);
        let ready = now.after(Duration::from_secs_f64((missing / rate.refill.max(SLOWEST)).min(LONGEST_WAIT_S)));
        // Rounded down, the token isn't there yet and the waiter would spin; round up.
        if self.left(rate, ready) < 1.0 { ready.after(ROUNDING) } else { ready }
    }

    /// Whether the bucket can be dropped: a new one would be as full.
    pub fn is_full(&mut self, rate: Rate, now: Mono) -> bool {
        self.refill(rate, now);
        self.tokens >= rate.burst
    }

    /// The available tokens.
    pub fn left(&self, rate: Rate, now: Mono) -> f64 {
        (self.tokens + now.since(self.since).as_secs_f64() * rate.refill).min(rate.burst)
    }

    fn refill(&mut self, rate: Rate, now: Mono) {
        self.tokens = self.left(rate, now);
        self.since = now;
    }
}

/// The client that causes the agent's work: a source address, or a pod proven by its token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Starter {
    Address(IpAddr),
    /// The pod's UID
    Pod(Arc<str>),
}

/// One bucket per client.
#[derive(Debug)]
pub struct Buckets<K> {
    rate: Rate,
    buckets: HashMap<K, Bucket>,
}

impl<K: Hash + Eq> Buckets<K> {
    pub fn new(rate: Rate) -> Self {
        Self { rate, buckets: HashMap::new() }
    }

    /// Takes a token from the client's bucket. When there are too many buckets, full ones are dropped; if none is
    /// full, new clients are refused until one is.
    pub fn take(&mut self, client: K, now: Mono) -> bool {
        let rate = self.rate;
        if self.buckets.len() >= MOST_BUCKETS && !self.buckets.contains_key(&client) {
            self.buckets.retain(|_, bucket| !bucket.is_full(rate, now));
            if self.buckets.len() >= MOST_BUCKETS {
                return false;
            }
        }
        self.buckets.entry(client).or_insert_with(|| Bucket::full(rate, now)).take(rate, now)
    }
}

/// Far more than a node has pods.
const MOST_BUCKETS: usize = 4_096;
/// Bounds the wait that follows from a tiny rate.
const SLOWEST: f64 = 0.001;
const LONGEST_WAIT_S: f64 = 3_600.0;
/// Larger than the rounding error of a duration in microseconds.
const ROUNDING: Duration = Duration::from_micros(2);

#[cfg(test)]
mod tests;
