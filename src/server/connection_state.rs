//! What a worker keeps of the connection that it serves: deadlines, and what is left of its client's time.

use std::time::Duration;

use super::Limits;
use crate::logic::base::time::Mono;

pub(super) struct ConnectionState {
    /// Since when the request that is being read has its deadline; `None` before its first byte
    pub(super) head_began: Option<Mono>,
    /// What the socket's read timeout is
    pub(super) read_timeout: Duration,
    pub(super) next_read: NextRead,
    /// What is left of the time that all answers together may wait for their reader
    pub(super) patience: Duration,
    /// How long all answers together took to make, those from memory left out
    pub(super) worked: Duration,
}

/// What the next read waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NextRead {
    /// The first byte of the connection, with the timeout inherited from the listener.
    FirstByte,
    NextRequest,
    RestOfHead,
}

impl ConnectionState {
    /// A connection that was just accepted: the deadline of its first head runs already.
    pub(super) fn new(arrived: Mono, limits: &Limits) -> Self {
        Self {
            head_began: Some(arrived),
            read_timeout: limits.head_deadline,
            next_read: NextRead::FirstByte,
            patience: limits.write_deadline,
            worked: Duration::ZERO,
        }
    }

    /// Between two requests.
    pub(super) fn await_next_request(&mut self) {
        self.head_began = None;
        self.next_read = NextRead::NextRequest;
    }
}
