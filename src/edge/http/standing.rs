//! How a connection stands between two looks at it: what whoever takes it over goes on from.

use std::time::Duration;

use zeroize::Zeroizing;

use super::Limits;
use crate::logic::time::Mono;

pub(super) struct Standing {
    /// Since when the request that is being read has its deadline; `None` before its first byte.
    pub(super) head_began: Option<Mono>,
    /// What the socket's read timeout is.
    pub(super) read_timeout: Duration,
    pub(super) waits: Waits,
    /// What is left of the time that all answers together may wait for their reader.
    pub(super) patience: Duration,
    /// How long all answers together took to make, those from memory left out.
    pub(super) worked: Duration,
    /// Since when it has had nothing to say
    pub(super) quiet_since: Mono,
    /// Bytes that were read and not looked at
    pub(super) unread: Vec<u8>,
    /// The rest of an answer that the kernel had no room for
    pub(super) owed: Zeroizing<Vec<u8>>,
}

/// What the next read waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// For the first byte of all, with the timeout that came from the listener.
    Inherited,
    ForRequest,
    ForRest,
}

impl Standing {
    /// A connection that has just come in: its first head is under way.
    pub(super) fn of_newcomer(arrived: Mono, limits: &Limits) -> Self {
        Self {
            head_began: Some(arrived),
            read_timeout: limits.head_deadline,
            waits: Waits::Inherited,
            patience: limits.write_deadline,
            worked: Duration::ZERO,
            quiet_since: arrived,
            unread: Vec::new(),
            owed: Zeroizing::default(),
        }
    }

    /// Between two requests.
    pub(super) fn rest(&mut self, now: Mono) {
        self.head_began = None;
        self.waits = Waits::ForRequest;
        self.quiet_since = now;
    }
}
