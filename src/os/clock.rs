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
mod tests {
    use super::*;

    #[test]
    fn monotonic_time_never_goes_back_and_starts_near_zero() {
        let clock = SystemClock::new();
        let moments: Vec<Mono> = (0..1_000).map(|_| clock.now().mono).collect();
        assert!(moments.is_sorted());
        assert!(moments[0].since(Mono::default()) < Duration::from_secs(60));
    }

    #[test]
    fn waiting_thread_uses_no_cpu_time() {
        let clock = SystemClock::new();
        let (began, cpu_time) = (clock.now().mono, clock.cpu_time());
        let (_sender, nothing) = crossbeam_channel::bounded::<()>(0);
        let _ = nothing.recv_timeout(Duration::from_millis(50));
        assert!(clock.cpu_time().saturating_sub(cpu_time) < clock.now().mono.since(began) / 2);
        let (cpu_time, some) = (clock.cpu_time(), Duration::from_millis(1));
        while clock.cpu_time() - cpu_time < some {}
    }

    /// `/proc/uptime` includes suspend as well.
    #[test]
    fn monotonic_time_includes_suspend() {
        let uptime = || {
            let text = std::fs::read_to_string("/proc/uptime").unwrap();
            text.split(' ').next().unwrap().parse::<f64>().unwrap()
        };
        let (before, read, after) = (uptime(), since_boot().as_secs_f64(), uptime());
        // /proc/uptime has a resolution of 10 ms
        assert!((before - 0.01..=after + 0.01).contains(&read), "{before} {read} {after}");
    }
}
