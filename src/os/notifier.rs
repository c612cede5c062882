//! The bells of the binary: a counter, and a condvar for those who wait until it moves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::clock::SystemClock;
use crate::logic::base::time::Mono;
use crate::ports::{Bell, Clock};

/// A bell in the system's time. Asking how often it rang takes no lock.
pub(super) struct SystemBell {
    rung: AtomicU64,
    waiting: Mutex<()>,
    rings: Condvar,
    clock: SystemClock,
}

impl SystemBell {
    pub(super) fn new(clock: SystemClock) -> Self {
        Self { rung: AtomicU64::new(0), waiting: Mutex::new(()), rings: Condvar::new(), clock }
    }
}

impl Bell for SystemBell {
    fn rung(&self) -> u64 {
        self.rung.load(Ordering::SeqCst)
    }

    /// Counts with the lock held: whoever has seen the old count and is about to sleep is asleep, and heard, by then.
    fn ring(&self) {
        let waiting = self.waiting.lock();
        self.rung.fetch_add(1, Ordering::SeqCst);
        drop(waiting);
        self.rings.notify_all();
    }

    fn wait(&self, before: u64, deadline: Mono) {
        let mut waiting = self.waiting.lock();
        while self.rung() == before {
            let left = self.clock.now().mono.until(deadline);
            if left.is_zero() {
                return;
            }
            self.rings.wait_for(&mut waiting, left.min(LONGEST_NAP));
        }
    }
}

/// Timed waits stand still while the machine sleeps, the clock doesn't: it is looked at this often.
const LONGEST_NAP: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::threads;
    use crate::ports::Time;

    #[test]
    fn a_ring_between_look_and_wait_is_not_missed() {
        let clock = SystemClock::new();
        let bell = clock.bell();
        let before = bell.rung();
        bell.ring();
        bell.wait(before, Mono::from_micros(u64::MAX));
    }

    #[test]
    fn waiting_ends_with_a_ring_or_at_the_deadline() {
        let clock = SystemClock::new();
        let bell = clock.bell();
        bell.wait(bell.rung(), clock.now().mono);
        let (ringer, before) = (bell.clone(), bell.rung());
        let thread = threads::spawn("ringer", threads::STACK_BYTES, move || ringer.ring());
        let deadline = clock.now().mono.after(Duration::from_secs(10));
        bell.wait(before, deadline);
        assert!(clock.now().mono < deadline);
        thread.unwrap().join().unwrap();
    }
}
