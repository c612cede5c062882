//! [`Notifier`] in system time: a generation counter, and a condvar to wait until it changes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::clock::SystemClock;
use crate::logic::base::time::Mono;
use crate::ports::{Clock, Notifier};

/// A notifier in system time. Reading the generation takes no lock.
pub(super) struct SystemNotifier {
    generation: AtomicU64,
    waiting: Mutex<()>,
    changed: Condvar,
    clock: SystemClock,
}

impl SystemNotifier {
    pub(super) fn new(clock: SystemClock) -> Self {
        Self { generation: AtomicU64::new(0), waiting: Mutex::new(()), changed: Condvar::new(), clock }
    }
}

impl Notifier for SystemNotifier {
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Increments with the lock held: a thread that has seen the old generation is already waiting, and is woken.
    fn notify(&self) {
        let waiting = self.waiting.lock();
        self.generation.fetch_add(1, Ordering::SeqCst);
        drop(waiting);
        self.changed.notify_all();
    }

    fn wait(&self, before: u64, deadline: Mono) {
        let mut waiting = self.waiting.lock();
        while self.generation() == before {
            let left = self.clock.now().mono.until(deadline);
            if left.is_zero() {
                return;
            }
            self.changed.wait_for(&mut waiting, left.min(MAX_WAIT));
        }
    }
}

/// Timed waits don't count suspend, the clock does: the clock is checked at least this often.
const MAX_WAIT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
