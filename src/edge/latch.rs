//! The shutdown latch: closed once, and whoever rests on it wakes.

use parking_lot::{Condvar, Mutex};
use std::sync::Arc;

use crate::logic::time::Mono;
use crate::ports::Clock;
use crate::ports::Waited;

/// Open while the agent works; closed for good at shutdown.
pub struct Latch {
    closed: Mutex<bool>,
    changed: Condvar,
    clock: Arc<dyn Clock>,
}

impl Latch {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { closed: Mutex::new(false), changed: Condvar::new(), clock }
    }

    /// Begins the shutdown.
    pub fn close(&self) {
        *self.closed.lock() = true;
        self.changed.notify_all();
    }

    pub fn is_closed(&self) -> bool {
        *self.closed.lock()
    }

    /// Rests until `moment` or until shutdown.
    pub fn wait(&self, moment: Mono) -> Waited {
        let mut closed = self.closed.lock();
        loop {
            if *closed {
                return Waited::ShutDown;
            }
            let left = self.clock.now().mono.until(moment);
            if left.is_zero() {
                return Waited::Elapsed;
            }
            self.changed.wait_for(&mut closed, left);
        }
    }

    /// Rests until shutdown.
    pub fn wait_for_close(&self) {
        let mut closed = self.closed.lock();
        while !*closed {
            self.changed.wait(&mut closed);
        }
    }
}
