//! A value that one caller fetches, all share, and that is replaced before it expires: the node's credentials, the
//! agent's metadata token, the holder of an address according to the API server.
//!
//! Invariants: at most one fetch is in progress; a value is served until it expires, even if its renewal fails; after
//! a failure no caller fetches before the retry time. Expiry uses [`Mono`]: a jump of the wall clock neither ends nor
//! extends a value.

use super::time::Mono;

/// The value, its renewal and its last failure.
#[derive(Debug)]
pub struct Refreshing<T, F> {
    lease: Option<Lease<T>>,
    /// The last failure since the last success, and the earliest time of the next fetch
    failure: Option<(F, Mono)>,
    fetching: bool,
}

/// A value with its lifetime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease<T> {
    pub value: T,
    /// From this time on a caller should fetch the next value; `None`: never
    pub renew_from: Option<Mono>,
    /// From this time on the value isn't served any more; `None`: it doesn't expire
    pub end: Option<Mono>,
}

/// The next action of a caller.
#[derive(Debug, PartialEq, Eq)]
pub enum RefreshStep<T, F> {
    Use(T),
    /// Fetch the value, then call `succeed`, `fail` or `abandon`. The old value may be used until then.
    Fetch,
    /// Another caller is fetching: wait for it.
    Join,
    /// The last fetch failed recently.
    Refuse(F),
}

impl<T, F> Default for Refreshing<T, F> {
    fn default() -> Self {
        Self { lease: None, failure: None, fetching: false }
    }
}

impl<T: Clone, F: Clone> Refreshing<T, F> {
    /// Decides for one caller. After `Fetch` this caller must fetch.
    pub fn step(&mut self, now: Mono) -> RefreshStep<T, F> {
        let held = self.usable(now);
        let due =
            held.is_none() || self.lease.as_ref().is_some_and(|lease| lease.renew_from.is_some_and(|at| at <= now));
        let failed =
            self.failure.as_ref().filter(|(_, retry_from)| now < *retry_from).map(|(failure, _)| failure.clone());
        match (held, failed) {
            (Some(value), _) if !due || self.fetching => RefreshStep::Use(value),
            (Some(value), Some(_)) => RefreshStep::Use(value),
            (None, _) if self.fetching => RefreshStep::Join,
            (None, Some(failure)) => RefreshStep::Refuse(failure),
            _ => {
                self.fetching = true;
                RefreshStep::Fetch
            }
        }
    }

    /// Whether a fetch is in progress.
    pub const fn is_fetching(&self) -> bool {
        self.fetching
    }

    /// The value, unless it has expired.
    pub fn usable(&self, now: Mono) -> Option<T> {
        let lease = self.lease.as_ref()?;
        let over = lease.end.is_some_and(|end| end <= now);
        (!over).then(|| lease.value.clone())
    }

    pub fn succeed(&mut self, lease: Lease<T>) {
        *self = Self { lease: Some(lease), failure: None, fetching: false };
    }

    /// Records a failure, to be returned until `retry_from`.
    pub fn fail(&mut self, failure: F, retry_from: Mono) {
        self.fetching = false;
        self.failure = Some((failure, retry_from));
    }

    /// Ends a fetch without a result.
    pub fn abandon(&mut self) {
        self.fetching = false;
    }

    /// Drops the value if it matches; a newer one stays.
    pub fn discard(&mut self, meant: impl FnOnce(&T) -> bool) {
        if self.lease.as_ref().is_some_and(|lease| meant(&lease.value)) {
            self.lease = None;
        }
    }
}

#[cfg(test)]
mod tests;
