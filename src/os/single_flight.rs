//! The lock around [`Kept`]: one fetches, the others wait, nobody waits longer than it said.
//!
//! The lock is never held while somebody fetches. Whoever fetches holds a guard: a panic frees the place.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::logic::base::refreshing::{Kept, Lease, RefreshStep};
use crate::ports::Clock;

/// A value that is fetched by one caller at a time and shared by all.
pub struct SingleFlight<T, F> {
    kept: Mutex<Kept<T, F>>,
    landed: Condvar,
    clock: Arc<dyn Clock>,
}

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missed<F> {
    /// Fetching it failed, now or a moment ago.
    Failed(F),
    /// Another caller was still fetching it when patience ended.
    TimedOut,
}

impl<T: Clone, F: Clone> SingleFlight<T, F> {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { kept: Mutex::new(Kept::default()), landed: Condvar::new(), clock }
    }

    /// The value: the one held, or what `fetch` brings, here or in another caller's hands.
    /// A fetch that fails leaves what is held in use, and isn't tried again for a while.
    pub fn get(&self, patience: Duration, fetch: impl FnOnce() -> Result<Lease<T>, F>) -> Result<T, Missed<F>> {
        let deadline = self.clock.now().mono.after(patience);
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

    /// What is held, without fetching anything.
    pub fn held(&self) -> Option<T> {
        let now = self.clock.now().mono;
        self.kept.lock().usable(now)
    }

    /// Forgets the value if it is the one meant, so that the next caller fetches.
    pub fn discard(&self, meant: impl FnOnce(&T) -> bool) {
        self.kept.lock().discard(meant);
    }
}

/// The right to fetch, and the duty to say how it went.
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
                let pause = if held.is_some() { RENEWAL_PAUSE } else { FETCH_PAUSE };
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

/// Between two tries while a usable value is held: nobody is in need yet.
const RENEWAL_PAUSE: Duration = Duration::from_secs(5);
/// Between two tries while there is none; what may pass by itself is remembered this long everywhere.
const FETCH_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::clock::SystemClock;
    use crate::os::threads;
    use crossbeam_channel::bounded;

    type Flights = SingleFlight<u32, &'static str>;
    const PATIENCE: Duration = Duration::from_secs(10);

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
                let got = flights.get(PATIENCE, || {
                    begun.send(()).unwrap();
                    wait_to_go_on.recv_timeout(PATIENCE).unwrap();
                    endless(7)
                });
                assert_eq!(got, Ok(7));
            })
            .unwrap()
        };
        wait_for_begin.recv_timeout(PATIENCE).unwrap();
        let others: Vec<_> = (0..15)
            .map(|_| {
                let flights = Arc::clone(&flights);
                let other = move || assert_eq!(flights.get(PATIENCE, || Err("a second fetch")), Ok(7));
                threads::spawn("other", threads::STACK_BYTES, other).unwrap()
            })
            .collect();
        go_on.send(()).unwrap();
        first.join().unwrap();
        others.into_iter().for_each(|other| other.join().unwrap());
    }

    #[test]
    fn patience_ends_while_another_still_fetches() {
        let flights = flights();
        let inner = Arc::clone(&flights);
        let got = flights.get(PATIENCE, move || {
            assert_eq!(inner.get(Duration::ZERO, || endless(1)), Err(Missed::TimedOut));
            endless(2)
        });
        assert_eq!(got, Ok(2));
    }

    #[test]
    fn a_panic_while_fetching_strands_nobody() {
        let flights = flights();
        let inner = Arc::clone(&flights);
        let lost = threads::spawn("lost", threads::STACK_BYTES, move || {
            let _ = inner.get(PATIENCE, || panic!("on the way"));
        });
        assert!(lost.unwrap().join().is_err());
        assert_eq!(flights.get(PATIENCE, || endless(3)), Ok(3));
    }

    #[test]
    fn a_failure_is_shared_and_a_discard_asks_again() {
        let flights = flights();
        assert_eq!(flights.get(PATIENCE, || Err("no")), Err(Missed::Failed("no")));
        assert_eq!(flights.get(PATIENCE, || endless(1)), Err(Missed::Failed("no")));
        let other = self::flights();
        assert_eq!(other.get(PATIENCE, || endless(1)), Ok(1));
        other.discard(|value| *value == 1);
        assert_eq!(other.get(PATIENCE, || endless(2)), Ok(2));
    }
}
