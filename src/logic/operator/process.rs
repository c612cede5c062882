//! Resource usage of a process: proc(5), `/proc/PID/stat`, `/proc/PID/status`, `/proc/stat`.

use std::time::Duration;

/// The resources that a process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// CPU time of all its threads, user and kernel
    pub processor: Duration,
    /// Start time in seconds since the Unix epoch
    pub started_s: f64,
    pub virtual_bytes: u64,
    pub resident_bytes: u64,
    pub threads: u64,
    pub descriptors: u64,
    /// `None`: unlimited
    pub most_descriptors: Option<u64>,
}

impl Usage {
    /// Parses `/proc/PID/stat`, `/proc/PID/status` and `/proc/stat`; missing values are 0.
    pub fn read(stat: &str, status: &str, machine: &str) -> Self {
        // The name in parentheses may contain anything, including parentheses.
        let mut words = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
        let mut next = |skipped| words.nth(skipped).and_then(|word| word.parse::<u64>().ok()).unwrap_or_default();
        let (user, kernel, start) = (next(11), next(0), next(6));
        let kib = |name| field(status, name) * 1_024;
        Self {
            processor: Duration::from_millis((user + kernel) * MS_PER_TICK),
            started_s: Duration::from_millis(field(machine, "btime ") * 1_000 + start * MS_PER_TICK).as_secs_f64(),
            virtual_bytes: kib("VmSize:"),
            resident_bytes: kib("VmRSS:"),
            threads: field(status, "Threads:"),
            ..Self::default()
        }
    }
}

/// The number after a name at the start of a line.
fn field(text: &str, name: &str) -> u64 {
    let rest = text.lines().find_map(|line| line.strip_prefix(name));
    rest.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// `USER_HZ` is 100 on every supported Linux (time(7)).
const MS_PER_TICK: u64 = 10;

#[cfg(test)]
mod tests;
