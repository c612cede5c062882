//! Single flight around [`Refreshing`]: one caller fetches, the others wait, each up to its own timeout.
//!
//! The lock is never held during a fetch. The fetching caller holds a guard: after a panic another caller can fetch.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::logic::base::refreshing::{Lease, RefreshStep, Refreshing};
use crate::ports::Clock;

/// A value fetched by one caller at a time and shared by all.
pub struct SingleFlight<T, F> {
    kept: Mutex<Refreshing<T, F>>,
    landed: Condvar,
    clock: Arc<dyn Clock>,
}

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missed<F> {
    /// Fetching failed, now or less than the retry pause ago.
    Failed(F),
    /// Another caller was still fetching at the timeout.
    TimedOut,
}

impl<T: Clone, F: Clone> SingleFlight<T, F> {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { kept: Mutex::new(Refreshing::default()), landed: Condvar::new(), clock }
    }

    /// The held value, or the result of `fetch`, called here or by another caller. After a failed fetch the held value
    /// stays in use, and `fetch` isn't called again for a while.
    pub fn get(&self, timeout: Duration, fetch: impl FnOnce() -> Result<Lease<T>, F>) -> Result<T, Missed<F>> {
        let deadline = self.clock.now().mono.after(timeout);
        let mut kept = self.kept.lock();
        loop {
            let now = self.clock.now().mono;
            match kept.step(now) {
                RefreshStep::Use(value) => return Ok(value),
                RefreshStep::Refuse(failure) => return Err(Missed::Failed(failure)),
                RefreshStep::Fetch => break,
                RefreshStep::Join if deadline <= now => return Err(Missed::TimedOut),
                RefreshStep::Join => {
                    self.landed.wait_for(&mut kept, now.until(deadline));
                }
            }
        }
        drop(kept);
        let mut flight = Flight { of: self, landed: false };
        let outcome = fetch();
        flight.land(outcome)
    }

    /// The held value, if usable; never fetches.
    pub fn held(&self) -> Option<T> {
        let now = self.clock.now().mono;
        self.kept.lock().usable(now)
    }

    /// Drops the value if `meant` matches it, so that the next caller fetches.
    pub fn discard(&self, meant: impl FnOnce(&T) -> bool) {
        self.kept.lock().discard(meant);
    }
}

/// The guard of a fetch in progress; it must record the outcome.
struct Flight<'a, T: Clone, F: Clone> {
    of: &'a SingleFlight<T, F>,
    landed: bool,
}

impl<T: Clone, F: Clone> Flight<'_, T, F> {
    fn land(&mut self, outcome: Result<Lease<T>, F>) -> Result<T, Missed<F>> {
        let now = self.of.clock.now().mono;
        let mut kept = self.of.kept.lock();
        self.landed = true;
        self.of.landed.notify_all();
        match outcome {
            Ok(lease) => {
                let value = lease.value.clone();
                kept.succeed(lease);
                Ok(value)
            }
            Err(failure) => {
                let held = kept.usable(now);
                let pause = if held.is_some() { RETRY_WITH_VALUE } else { RETRY_WITHOUT_VALUE };
                kept.fail(failure.clone(), now.after(pause));
                held.ok_or(Missed::Failed(failure))
            }
        }
    }
}

impl<T: Clone, F: Clone> Drop for Flight<'_, T, F> {
    fn drop(&mut self) {
        if !self.landed {
            self.of.kept.lock().abandon();
            self.of.landed.notify_all();
        }
    }
}

/// Between two attempts while a usable value is held: no caller is blocked yet.
const RETRY_WITH_VALUE: Duration = Duration::from_secs(5);
/// Between two attempts without a value; the same time for which temporary failures are cached elsewhere.
const RETRY_WITHOUT_VALUE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
