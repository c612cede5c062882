//! A worker's state of the connection it serves: deadlines, and the remaining time budgets of its client.

use std::time::Duration;

use super::Limits;
use crate::logic::base::time::Mono;

pub(super) struct ConnectionState {
    /// Start of the deadline of the request being read; `None` before its first byte
    pub(super) head_began: Option<Mono>,
    /// The read timeout set on the socket
    pub(super) read_timeout: Duration,
    pub(super) next_read: NextRead,
    /// Remaining time that all responses together may wait for the client to read
    pub(super) write_budget: Duration,
    /// Total time spent making responses, except those from memory
    pub(super) handler_time: Duration,
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
    /// State of a new connection: the deadline of the first head runs from its arrival.
    pub(super) fn new(arrived: Mono, limits: &Limits) -> Self {
        Self {
            head_began: Some(arrived),
            read_timeout: limits.head_deadline,
            next_read: NextRead::FirstByte,
            write_budget: limits.write_deadline,
            handler_time: Duration::ZERO,
        }
    }

    /// Resets the deadline between two requests.
    pub(super) fn await_next_request(&mut self) {
        self.head_began = None;
        self.next_read = NextRead::NextRequest;
    }
}
