//! The only place that asks the system for the time.
#![allow(clippy::disallowed_methods)] // here is where the time comes from

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::bell::SystemBell;
use crate::logic::time::{Mono, Now, Wall};
use crate::ports::{Bell, Clock, Time};

/// The system's monotonic and wall clocks. [`Mono`] counts from the moment this was made.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }

    /// The moment of the system's own clock that `moment` stands for, for condvars that wait until one.
    pub fn instant(&self, moment: Mono) -> Instant {
        self.origin + std::time::Duration::from_micros(moment.micros())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let mono = Mono::from_micros(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX));
        Now { mono, wall: wall() }
    }
}

impl Time for SystemClock {
    fn bell(&self) -> Arc<dyn Bell> {
        Arc::new(SystemBell::new(*self))
    }
}

/// A machine that believes to live before 1970 is taken to live at its beginning.
fn wall() -> Wall {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall::from_unix_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
