//! The only place that asks the system for the time.
//!
//! [`Mono`] counts while the machine sleeps (`CLOCK_BOOTTIME`): credentials that ended in a suspended machine have
//! ended. The system's timed waits count without it, which [`crate::os::notifier`] makes up for.

use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::logic::base::time::{Mono, Now, Wall};
use crate::os::notifier::SystemNotifier;
use crate::ports::{Clock, Notifier, Time};

/// The system's monotonic and wall clocks. [`Mono`] counts from the moment this was made.
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

    fn worked(&self) -> Duration {
        duration(clock_gettime(ClockId::ThreadCPUTime))
    }
}

/// Since the machine was started, its sleep included.
fn since_boot() -> Duration {
    duration(clock_gettime(ClockId::Boottime))
}

fn duration(time: Timespec) -> Duration {
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), nanos)
}

/// A machine that believes to live before 1970 is taken to live at its beginning.
fn wall() -> Wall {
    let time = clock_gettime(ClockId::Realtime);
    Wall::from_unix_millis(time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec / 1_000_000).max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_and_counts_from_the_beginning() {
        let clock = SystemClock::new();
        let moments: Vec<Mono> = (0..1_000).map(|_| clock.now().mono).collect();
        assert!(moments.is_sorted());
        assert!(moments[0].since(Mono::default()) < Duration::from_secs(60));
    }

    #[test]
    fn a_thread_that_waits_does_not_work() {
        let clock = SystemClock::new();
        let (began, worked) = (clock.now().mono, clock.worked());
        let (_sender, nothing) = crossbeam_channel::bounded::<()>(0);
        let _ = nothing.recv_timeout(Duration::from_millis(50));
        assert!(clock.worked().saturating_sub(worked) < clock.now().mono.since(began) / 2);
        let (worked, some) = (clock.worked(), Duration::from_millis(1));
        while clock.worked() - worked < some {}
    }

    /// `/proc/uptime` counts sleep, too.
    #[test]
    fn time_is_that_of_a_machine_that_may_sleep() {
        let uptime = || {
            let text = std::fs::read_to_string("/proc/uptime").unwrap();
            text.split(' ').next().unwrap().parse::<f64>().unwrap()
        };
        let (before, read, after) = (uptime(), since_boot().as_secs_f64(), uptime());
        // it shows hundredths
        assert!((before - 0.01..=after + 0.01).contains(&read), "{before} {read} {after}");
    }
}
