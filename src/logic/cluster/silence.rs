//! When the watches have been silent for so long that their connections may be dead without a sign: a flow that
//! something on the way swallows while both ends still take each other for connected.
//!
//! One silent watch proves nothing, all of them together are worth a question. If a question has led to nothing new, the
//! next one comes later: the server may send no bookmarks.

use std::time::Duration;

use crate::logic::base::time::Mono;

/// When to ask.
#[derive(Clone, Copy, Debug)]
pub struct WatchSilence {
    patience: Duration,
    asked_at: Option<Mono>,
}

impl Default for WatchSilence {
    fn default() -> Self {
        Self { patience: PATIENCE, asked_at: None }
    }
}

impl WatchSilence {
    /// When to ask, with the last line or bookmark of any watch at `heard_at`.
    pub fn due(&self, heard_at: Mono) -> Mono {
        match self.asked_at {
            Some(asked_at) if asked_at >= heard_at => asked_at.after(self.patience),
            _ => heard_at.after(PATIENCE),
        }
    }

    /// It was asked.
    pub fn asked(&mut self, heard_at: Mono, now: Mono) {
        let in_vain = self.asked_at.is_some_and(|asked_at| asked_at >= heard_at);
        self.patience = if in_vain { (self.patience * 2).min(LONGEST_PATIENCE) } else { PATIENCE * 2 };
        self.asked_at = Some(now);
    }
}

/// Bookmarks come about once a minute on each watch (kube-apiserver, `bookmarkFrequency`, and a second of its timer).
const PATIENCE: Duration = Duration::from_secs(72);
const LONGEST_PATIENCE: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::from_millis(seconds * 1_000)
    }

    #[test]
    fn silence_of_all_is_questioned_well_within_90_s_and_ever_more_rarely_if_that_leads_to_nothing() {
        let mut silence = WatchSilence::default();
        assert_eq!(silence.due(at(10)), at(82));
        silence.asked(at(10), at(82));
        assert_eq!(silence.due(at(10)), at(82 + 144));
        silence.asked(at(10), at(226));
        assert_eq!(silence.due(at(10)), at(226 + 288));
        assert_eq!(silence.due(at(300)), at(372), "what comes is a new beginning");
        for _ in 0..10 {
            silence.asked(at(10), at(1_000));
        }
        assert_eq!(silence.due(at(10)), at(1_600));
    }
}
