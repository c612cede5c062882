//! The shutdown latch: closing it wakes all waiting threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::logic::base::time::Mono;
use crate::ports::{Notifier, Time, Waited};

/// Open while the agent runs; closed for good at shutdown.
pub struct Latch {
    closed: AtomicBool,
    nudges: AtomicU64,
    changed: Arc<dyn Notifier>,
    time: Arc<dyn Time>,
}

impl Latch {
    pub fn new(time: Arc<dyn Time>) -> Self {
        Self { closed: AtomicBool::new(false), nudges: AtomicU64::new(0), changed: time.notifier(), time }
    }

    /// Begins the shutdown.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.changed.notify();
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Waits until `moment` or until shutdown.
    pub fn wait(&self, moment: Mono) -> Waited {
        self.wait_unless_nudged(u64::MAX, moment)
    }

    /// Wakes threads in [`Latch::wait_unless_nudged`].
    pub fn nudge(&self) {
        self.nudges.fetch_add(1, Ordering::SeqCst);
        self.changed.notify();
    }

    /// The number of nudges so far.
    pub fn nudges(&self) -> u64 {
        self.nudges.load(Ordering::SeqCst)
    }

    /// Waits until `moment`, until shutdown, or until [`Latch::nudges`] exceeds `before`.
    pub fn wait_unless_nudged(&self, before: u64, moment: Mono) -> Waited {
        loop {
            let generation = self.changed.generation();
            if self.is_closed() {
                return Waited::ShutDown;
            }
            if self.time.now().mono >= moment {
                return Waited::Elapsed;
            }
            if self.nudges() > before {
                return Waited::Cut;
            }
            self.changed.wait(generation, moment);
        }
    }

    /// Waits until shutdown.
    pub fn wait_for_close(&self) {
        while self.wait(NEVER) != Waited::ShutDown {}
    }
}

const NEVER: Mono = Mono::from_micros(u64::MAX);
