//! The shutdown latch: closed once, and whoever rests on it wakes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::logic::time::Mono;
use crate::ports::{Bell, Time, Waited};

/// Open while the agent works; closed for good at shutdown.
pub struct Latch {
    closed: AtomicBool,
    changed: Arc<dyn Bell>,
    time: Arc<dyn Time>,
}

impl Latch {
    pub fn new(time: Arc<dyn Time>) -> Self {
        Self { closed: AtomicBool::new(false), changed: time.bell(), time }
    }

    /// Begins the shutdown.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.changed.ring();
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Rests until `moment` or until shutdown.
    pub fn wait(&self, moment: Mono) -> Waited {
        loop {
            let rung = self.changed.rung();
            if self.is_closed() {
                return Waited::ShutDown;
            }
            if self.time.now().mono >= moment {
                return Waited::Elapsed;
            }
            self.changed.wait(rung, moment);
        }
    }

    /// Rests until shutdown.
    pub fn wait_for_close(&self) {
        while self.wait(NEVER) != Waited::ShutDown {}
    }
}

const NEVER: Mono = Mono::from_micros(u64::MAX);
