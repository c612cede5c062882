//! Detects that the watches' connections may be dead without notice, such as flows that a network device drops while
//! both ends still consider them open.
//!
//! A single silent watch proves nothing; silence of all of them justifies a probe. After a probe without new events
//! the next one comes later, because the server may not send bookmarks.

use std::time::Duration;

use crate::logic::base::time::Mono;

/// The schedule of probes.
#[derive(Clone, Copy, Debug)]
pub struct WatchSilence {
    patience: Duration,
    probed_at: Option<Mono>,
}

impl Default for WatchSilence {
    fn default() -> Self {
        Self { patience: PATIENCE, probed_at: None }
    }
}

impl WatchSilence {
    /// The time of the next probe, if the last event or bookmark of any watch came at `last_event_at`.
    pub fn due(&self, last_event_at: Mono) -> Mono {
        match self.probed_at {
            Some(probed_at) if probed_at >= last_event_at => probed_at.after(self.patience),
            _ => last_event_at.after(PATIENCE),
        }
    }

    /// Records that a probe was sent.
    pub fn asked(&mut self, last_event_at: Mono, now: Mono) {
        let is_unanswered = self.probed_at.is_some_and(|probed_at| probed_at >= last_event_at);
        self.patience = if is_unanswered { (self.patience * 2).min(LONGEST_PATIENCE) } else { PATIENCE * 2 };
        self.probed_at = Some(now);
    }
}

/// Bookmarks arrive about once a minute on each watch (kube-apiserver, `bookmarkFrequency`, plus a second of its
/// timer).
const PATIENCE: Duration = Duration::from_secs(72);
const LONGEST_PATIENCE: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests;
