//! The only module that reads the system's clocks.
//!
//! [`Mono`] keeps counting during suspend (`CLOCK_BOOTTIME`), so that credentials that expire while the machine is
//! suspended count as expired. Timed waits of the system don't count suspend; [`crate::os::notifier`] compensates.

use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::logic::base::time::{Mono, Now, Wall};
use crate::os::notifier::SystemNotifier;
use crate::ports::{Clock, Notifier, Time};

/// The system's monotonic and wall clocks. [`Mono`] counts from the creation of this value.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Duration,
}

impl SystemClock {
    pub fn new() -> Self {
        Self { origin: since_boot() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now { mono: Mono::default().after(since_boot().saturating_sub(self.origin)), wall: wall() }
    }
}

impl Time for SystemClock {
    fn notifier(&self) -> Arc<dyn Notifier> {
        Arc::new(SystemNotifier::new(*self))
    }

    fn cpu_time(&self) -> Duration {
        duration(clock_gettime(ClockId::ThreadCPUTime))
    }
}

/// Time since boot, including suspend.
fn since_boot() -> Duration {
    duration(clock_gettime(ClockId::Boottime))
}

fn duration(time: Timespec) -> Duration {
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), nanos)
}

/// The wall clock; a time before 1970 is reported as 1970-01-01.
fn wall() -> Wall {
    let time = clock_gettime(ClockId::Realtime);
    Wall::from_unix_millis(time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec / 1_000_000).max(0))
}

#[cfg(test)]
mod tests;
