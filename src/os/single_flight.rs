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
mod tests {
    use super::*;
    use crate::os::clock::SystemClock;
    use crate::os::threads;
    use crossbeam_channel::bounded;

    type Flights = SingleFlight<u32, &'static str>;
    const TIMEOUT: Duration = Duration::from_secs(10);

    fn flights() -> Arc<Flights> {
        Arc::new(SingleFlight::new(Arc::new(SystemClock::new())))
    }

    fn endless(value: u32) -> Result<Lease<u32>, &'static str> {
        Ok(Lease { value, renew_from: None, end: None })
    }

    #[test]
    fn sixteen_callers_make_one_fetch() {
        let flights = flights();
        let (begun, wait_for_begin) = bounded(1);
        let (go_on, wait_to_go_on) = bounded::<()>(1);
        let first = {
            let flights = Arc::clone(&flights);
            threads::spawn("first", threads::STACK_BYTES, move || {
                let got = flights.get(TIMEOUT, || {
                    begun.send(()).unwrap();
                    wait_to_go_on.recv_timeout(TIMEOUT).unwrap();
                    endless(7)
                });
                assert_eq!(got, Ok(7));
            })
            .unwrap()
        };
        wait_for_begin.recv_timeout(TIMEOUT).unwrap();
        let others: Vec<_> = (0..15)
            .map(|_| {
                let flights = Arc::clone(&flights);
                let other = move || assert_eq!(flights.get(TIMEOUT, || Err("a second fetch")), Ok(7));
                threads::spawn("other", threads::STACK_BYTES, other).unwrap()
            })
            .collect();
        go_on.send(()).unwrap();
        first.join().unwrap();
        others.into_iter().for_each(|other| other.join().unwrap());
    }

    #[test]
    fn wait_times_out_while_another_caller_fetches() {
        let flights = flights();
        let inner = Arc::clone(&flights);
        let got = flights.get(TIMEOUT, move || {
            assert_eq!(inner.get(Duration::ZERO, || endless(1)), Err(Missed::TimedOut));
            endless(2)
        });
        assert_eq!(got, Ok(2));
    }

    #[test]
    fn panic_during_a_fetch_lets_another_caller_fetch() {
        let flights = flights();
        let inner = Arc::clone(&flights);
        let lost = threads::spawn("lost", threads::STACK_BYTES, move || {
            let _ = inner.get(TIMEOUT, || panic!("on the way"));
        });
        assert!(lost.unwrap().join().is_err());
        assert_eq!(flights.get(TIMEOUT, || endless(3)), Ok(3));
    }

    #[test]
    fn failure_is_cached_and_discard_fetches_again() {
        let flights = flights();
        assert_eq!(flights.get(TIMEOUT, || Err("no")), Err(Missed::Failed("no")));
        assert_eq!(flights.get(TIMEOUT, || endless(1)), Err(Missed::Failed("no")));
        let other = self::flights();
        assert_eq!(other.get(TIMEOUT, || endless(1)), Ok(1));
        other.discard(|value| *value == 1);
        assert_eq!(other.get(TIMEOUT, || endless(2)), Ok(2));
    }
}
