//! The bells of the binary: a counter, and a condvar for those who wait until it moves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::clock::SystemClock;
use crate::logic::base::time::Mono;
use crate::ports::{Clock, Notifier};

/// A bell in the system's time. Asking how often it rang takes no lock.
pub(super) struct SystemNotifier {
    generation: AtomicU64,
    waiting: Mutex<()>,
    rings: Condvar,
    clock: SystemClock,
}

impl SystemNotifier {
    pub(super) fn new(clock: SystemClock) -> Self {
        Self { generation: AtomicU64::new(0), waiting: Mutex::new(()), rings: Condvar::new(), clock }
    }
}

impl Notifier for SystemNotifier {
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Counts with the lock held: whoever has seen the old count and is about to sleep is asleep, and heard, by then.
    fn notify(&self) {
        let waiting = self.waiting.lock();
        self.generation.fetch_add(1, Ordering::SeqCst);
        drop(waiting);
        self.rings.notify_all();
    }

    fn wait(&self, before: u64, deadline: Mono) {
        let mut waiting = self.waiting.lock();
        while self.generation() == before {
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
        let notifier = clock.notifier();
        let before = notifier.generation();
        notifier.notify();
        notifier.wait(before, Mono::from_micros(u64::MAX));
    }

    #[test]
    fn waiting_ends_with_a_ring_or_at_the_deadline() {
        let clock = SystemClock::new();
        let notifier = clock.notifier();
        notifier.wait(notifier.generation(), clock.now().mono);
        let (ringer, before) = (notifier.clone(), notifier.generation());
        let thread = threads::spawn("ringer", threads::STACK_BYTES, move || ringer.notify());
        let deadline = clock.now().mono.after(Duration::from_secs(10));
        notifier.wait(before, deadline);
        assert!(clock.now().mono < deadline);
        thread.unwrap().join().unwrap();
    }
}
