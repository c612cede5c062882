//! One live connection, as its worker, admission and the server's shutdown see it.

use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use socket2::SockRef;

use super::admission::{Evictable, Idle, Party, PeerOrigin};
use crate::logic::base::time::Mono;

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) peer: IpAddr,
    pub(super) arrived: Mono,
    /// Its phase, and since when it is in it
    state: AtomicU64,
    /// Asked of the kernel once: it stays the same as long as the connection.
    destination: OnceLock<Option<SocketAddr>>,
    local_address: OnceLock<Option<IpAddr>>,
    /// Its slot, and for whom it counts there
    slot: OnceLock<(u64, PeerOrigin)>,
    /// The pod that proved itself over it first
    pod: OnceLock<Arc<str>>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, peer: IpAddr, arrived: Mono) -> Self {
        let state = AtomicU64::new(word_of(SILENT, arrived));
        let (destination, local_address, slot, pod) = Default::default();
        Self { stream, peer, arrived, state, destination, local_address, slot, pod }
    }

    /// The address that it was accepted at; v4-mapped v6 addresses are folded to v4.
    pub(super) fn local_address(&self) -> Option<IpAddr> {
        *self.local_address.get_or_init(|| Some(self.stream.local_addr().ok()?.ip().to_canonical()))
    }

    /// Where the client meant to connect to, as connection tracking knows it.
    pub(super) fn destination(&self) -> Option<SocketAddr> {
        *self.destination.get_or_init(|| {
            let socket = SockRef::from(&self.stream);
            let found = if self.peer.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
            found.ok()?.as_socket()
        })
    }

    /// Takes its slot; once.
    pub(super) fn take_slot(&self, number: u64, origin: PeerOrigin) {
        let _ = self.slot.set((number, origin)); // it is admitted once
    }

    /// The number of its slot; `None` before it has one.
    pub(super) fn slot(&self) -> Option<u64> {
        self.slot.get().map(|(number, _)| *number)
    }

    /// For whom it counts.
    pub(super) fn party(&self) -> Party {
        match (self.pod.get(), self.slot.get()) {
            (Some(uid), _) => Party::Pod(uid.clone()),
            (None, Some((_, origin))) => Party::of(self.peer, *origin),
            (None, None) => Party::of(self.peer, PeerOrigin::Elsewhere),
        }
    }

    pub(super) fn is_proved(&self) -> bool {
        self.pod.get().is_some()
    }

    /// Counts for a pod from now on.
    pub(super) fn prove(&self, uid: &Arc<str>) {
        let _ = self.pod.set(uid.clone()); // the first one counts
    }

    /// Its first bytes have come.
    pub(super) fn begin_request(&self) {
        self.enter(READING, self.arrived);
    }

    /// A request is complete: from here on the connection can't be evicted. One that was evicted before is still
    /// answered, once.
    pub(super) fn begin_answer(&self) {
        self.enter(ANSWERING, self.arrived);
    }

    pub(super) fn end_answer(&self, now: Mono) {
        self.enter(ANSWERED, now);
    }

    /// The client doesn't read its answer: from here on the connection can be evicted again.
    pub(super) fn begin_stall(&self, now: Mono) {
        self.enter(STALLED, now);
    }

    pub(super) fn end_stall(&self) {
        self.enter(ANSWERING, self.arrived);
    }

    /// Whether its slot was taken away.
    pub(super) fn is_evicted(&self) -> bool {
        is_evicted(self.state.load(Ordering::Acquire))
    }

    /// Ends what it was evicted from: the wait for a request, or for the reader of its answer.
    pub(super) fn end_wait(&self) {
        if phase(self.state.load(Ordering::Acquire)) == EVICTED_STALLED {
            self.shut_down()
        } else {
            self.shut_down_reading()
        }
    }

    /// Ends the wait for more bytes: what has arrived can still be read and answered, then the stream ends.
    /// On Linux this wakes a reader at once.
    pub(super) fn shut_down_reading(&self) {
        // The client may have reset the connection; then there is nothing to stop.
        let _ = self.stream.shutdown(Shutdown::Read);
    }

    /// Ends whatever the worker does with the socket.
    pub(super) fn shut_down(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Enters a phase unless it was evicted, which is final.
    fn enter(&self, phase: u64, since: Mono) {
        let next = |word| (!is_evicted(word)).then_some(word_of(phase, since));
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
    }
}

impl Evictable for std::sync::Arc<Connection> {
    fn idle(&self) -> Option<Idle> {
        idle_of(self.state.load(Ordering::Acquire))
    }

    fn evict(&self, found: Idle) -> bool {
        let evicted = |word| {
            let to = if phase(word) == STALLED { EVICTED_STALLED } else { EVICTED_READING };
            (idle_of(word) == Some(found)).then_some(word_of(to, self.arrived))
        };
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, evicted).is_ok()
    }
}

/// A phase and since when, in one word, so that a connection is evicted in the state in which it was found or not at all.
fn word_of(phase: u64, since: Mono) -> u64 {
    since.micros() << PHASE_BITS | phase
}

fn phase(word: u64) -> u64 {
    word & ((1 << PHASE_BITS) - 1)
}

fn idle_of(word: u64) -> Option<Idle> {
    let since = Mono::from_micros(word >> PHASE_BITS);
    match phase(word) {
        SILENT => Some(Idle::Silent(since)),
        READING | STALLED => Some(Idle::Unfinished(since)),
        ANSWERED => Some(Idle::Answered(since)),
        _ => None,
    }
}

fn is_evicted(word: u64) -> bool {
    matches!(phase(word), EVICTED_READING | EVICTED_STALLED)
}

const PHASE_BITS: u32 = 3;
/// Has sent nothing yet.
const SILENT: u64 = 0;
/// Has sent a part of its first request.
const READING: u64 = 1;
/// Has a complete request.
const ANSWERING: u64 = 2;
/// Waits for its next request, or reads it.
const ANSWERED: u64 = 3;
/// Its client doesn't read the answer as fast as it is written.
const STALLED: u64 = 4;
/// Was evicted while nothing was written to it; final.
const EVICTED_READING: u64 = 5;
/// Was evicted while stalled; final.
const EVICTED_STALLED: u64 = 6;
