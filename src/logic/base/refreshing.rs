//! One value that one caller fetches, all share, and that is replaced before it ends: the node's credentials,
//! the agent's metadata token, the holder of an address by the API server's word.
//!
//! Invariants: at most one fetch is under way; a value is handed out until its end, whatever becomes of its renewal;
//! after a failure nobody fetches before the moment that came with it. Only [`Mono`] counts: a wall clock that jumps
//! neither ends a value nor makes one immortal.

use super::time::Mono;

/// The value, its renewal and its last failure.
#[derive(Debug)]
pub struct Kept<T, F> {
    lease: Option<Lease<T>>,
    /// The last failure since the last success, and from when on another fetch is worth it
    failure: Option<(F, Mono)>,
    fetching: bool,
}

/// A value for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease<T> {
    pub value: T,
    /// From here on somebody should fetch the next one; `None`: never
    pub renew_from: Option<Mono>,
    /// From here on it isn't handed out any more; `None`: it has no end
    pub end: Option<Mono>,
}

/// What a caller does next.
#[derive(Debug, PartialEq, Eq)]
pub enum RefreshStep<T, F> {
    Use(T),
    /// Fetch it, then call `succeed`, `fail` or `abandon`. What is held may serve until then.
    Fetch,
    /// Another fetches: wait until that ends.
    Join,
    /// It failed a moment ago.
    Refuse(F),
}

impl<T, F> Default for Kept<T, F> {
    fn default() -> Self {
        Self { lease: None, failure: None, fetching: false }
    }
}

impl<T: Clone, F: Clone> Kept<T, F> {
    /// Decides for one caller. After `Fetch` the caller is the one who fetches.
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

    /// Whether a fetch is under way.
    pub const fn is_fetching(&self) -> bool {
        self.fetching
    }

    /// What is held, if it isn't over.
    pub fn usable(&self, now: Mono) -> Option<T> {
        let lease = self.lease.as_ref()?;
        let over = lease.end.is_some_and(|end| end <= now);
        (!over).then(|| lease.value.clone())
    }

    pub fn succeed(&mut self, lease: Lease<T>) {
        *self = Self { lease: Some(lease), failure: None, fetching: false };
    }

    /// Remembers `failure` until `retry_from`.
    pub fn fail(&mut self, failure: F, retry_from: Mono) {
        self.fetching = false;
        self.failure = Some((failure, retry_from));
    }

    /// Ends a fetch that came to nothing, not even to a failure.
    pub fn abandon(&mut self) {
        self.fetching = false;
    }

    /// Forgets what is held if it is the one meant; what came after it stays.
    pub fn discard(&mut self, meant: impl FnOnce(&T) -> bool) {
        if self.lease.as_ref().is_some_and(|lease| meant(&lease.value)) {
            self.lease = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Mono {
        Mono::from_millis(millis)
    }

    fn lease(value: u32) -> Lease<u32> {
        Lease { value, renew_from: Some(at(50)), end: Some(at(100)) }
    }

    fn kept() -> Kept<u32, &'static str> {
        Kept::default()
    }

    #[test]
    fn one_fetches_and_the_others_wait_for_it() {
        let mut kept = kept();
        assert_eq!(kept.step(at(0)), RefreshStep::Fetch);
        assert!(kept.is_fetching());
        assert_eq!(kept.step(at(0)), RefreshStep::Join);
        kept.succeed(lease(1));
        assert!(!kept.is_fetching());
        assert_eq!(kept.step(at(1)), RefreshStep::Use(1));
    }

    #[test]
    fn a_renewal_is_one_callers_work_and_nobody_waits_for_it() {
        let mut kept = kept();
        kept.succeed(lease(1));
        assert_eq!(kept.step(at(49)), RefreshStep::Use(1));
        assert_eq!(kept.step(at(50)), RefreshStep::Fetch);
        assert_eq!(kept.step(at(51)), RefreshStep::Use(1));
        kept.succeed(Lease { value: 2, renew_from: None, end: None });
        assert_eq!(kept.step(at(u64::MAX / 1_000)), RefreshStep::Use(2));
    }

    #[test]
    fn a_failed_renewal_leaves_the_value_until_its_end() {
        let mut kept = kept();
        kept.succeed(lease(1));
        assert_eq!(kept.step(at(60)), RefreshStep::Fetch);
        kept.fail("no", at(70));
        assert_eq!(kept.step(at(69)), RefreshStep::Use(1));
        assert_eq!(kept.step(at(70)), RefreshStep::Fetch);
        kept.fail("still no", at(110));
        assert_eq!(kept.step(at(99)), RefreshStep::Use(1));
        assert_eq!(kept.step(at(100)), RefreshStep::Refuse("still no"));
        assert_eq!(kept.step(at(110)), RefreshStep::Fetch);
    }

    #[test]
    fn a_failure_is_remembered_for_its_time_and_forgotten_by_success() {
        let mut kept = kept();
        assert_eq!(kept.step(at(0)), RefreshStep::Fetch);
        kept.fail("no", at(10));
        assert_eq!(kept.step(at(9)), RefreshStep::Refuse("no"));
        assert_eq!(kept.step(at(10)), RefreshStep::Fetch);
        kept.succeed(lease(1));
        kept.discard(|_| true);
        assert_eq!(kept.step(at(11)), RefreshStep::Fetch);
    }

    #[test]
    fn a_fetch_that_came_to_nothing_frees_the_place() {
        let mut kept = kept();
        assert_eq!(kept.step(at(0)), RefreshStep::Fetch);
        kept.abandon();
        assert_eq!(kept.step(at(0)), RefreshStep::Fetch);
    }

    #[test]
    fn only_the_value_that_was_meant_is_discarded() {
        let mut kept = kept();
        kept.succeed(lease(2));
        kept.discard(|held| *held == 1);
        assert_eq!(kept.usable(at(0)), Some(2));
        kept.discard(|held| *held == 2);
        assert_eq!(kept.step(at(0)), RefreshStep::Fetch);
    }
}
