//! Limits the calls in flight. A call holds its slot until its response is read.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::logic::base::time::Mono;
use crate::ports::Clock;

pub(super) struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A slot, released on drop.
pub(super) struct CallSlot(Arc<Slots>);

impl Slots {
    pub(super) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self { free: Mutex::new(places), freed: Condvar::new() })
    }

    /// Takes a slot; waits for one until `deadline`.
    pub(super) fn take(self: &Arc<Self>, deadline: Mono, clock: &dyn Clock) -> Option<CallSlot> {
        let mut free = self.free.lock();
        while *free == 0 {
            let left = clock.now().mono.until(deadline);
            if left.is_zero() {
                return None;
            }
            self.freed.wait_for(&mut free, left);
        }
        *free -= 1;
        Some(CallSlot(Arc::clone(self)))
    }
}

impl Drop for CallSlot {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests;
