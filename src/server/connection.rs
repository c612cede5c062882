//! One open connection, as used by its worker, by admission and by shutdown.

use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use socket2::SockRef;

use super::admission::{Evictable, Idle, PeerKey, PeerOrigin};
use crate::logic::base::time::Mono;

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) peer: IpAddr,
    pub(super) arrived: Mono,
    /// Phase and the time it began
    state: AtomicU64,
    /// Read from the kernel once: it doesn't change during the connection.
    destination: OnceLock<Option<SocketAddr>>,
    local_address: OnceLock<Option<IpAddr>>,
    /// The slot's number, and the peer's origin
    slot: OnceLock<(u64, PeerOrigin)>,
    /// Uid of the first pod whose identity was proven on this connection
    pod: OnceLock<Arc<str>>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, peer: IpAddr, arrived: Mono) -> Self {
        let state = AtomicU64::new(word_of(SILENT, arrived));
        let (destination, local_address, slot, pod) = Default::default();
        Self { stream, peer, arrived, state, destination, local_address, slot, pod }
    }

    /// The local address it was accepted on; v4-mapped v6 addresses are converted to v4.
    pub(super) fn local_address(&self) -> Option<IpAddr> {
        *self.local_address.get_or_init(|| Some(self.stream.local_addr().ok()?.ip().to_canonical()))
    }

    /// The destination the client connected to, before any redirect (`SO_ORIGINAL_DST`).
    pub(super) fn destination(&self) -> Option<SocketAddr> {
        *self.destination.get_or_init(|| {
            let socket = SockRef::from(&self.stream);
            let found = if self.peer.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
            found.ok()?.as_socket()
        })
    }

    /// Records the slot; called once.
    pub(super) fn take_slot(&self, number: u64, origin: PeerOrigin) {
        let _ = self.slot.set((number, origin)); // a connection is admitted once
    }

    /// The number of its slot; `None` before it has one.
    pub(super) fn slot(&self) -> Option<u64> {
        self.slot.get().map(|(number, _)| *number)
    }

    /// The peer that it counts for.
    pub(super) fn peer_key(&self) -> PeerKey {
        match (self.pod.get(), self.slot.get()) {
            (Some(uid), _) => PeerKey::Pod(uid.clone()),
            (None, Some((_, origin))) => PeerKey::of(self.peer, *origin),
            (None, None) => PeerKey::of(self.peer, PeerOrigin::Elsewhere),
        }
    }

    pub(super) fn is_proved(&self) -> bool {
        self.pod.get().is_some()
    }

    /// Counts it for a pod from now on.
    pub(super) fn prove(&self, uid: &Arc<str>) {
        let _ = self.pod.set(uid.clone()); // the first one counts
    }

    /// The first bytes have arrived.
    pub(super) fn begin_request(&self) {
        self.enter(READING, self.arrived);
    }

    /// A request is complete: from here on the connection can't be evicted. If it was evicted just before, this request
    /// is still answered.
    pub(super) fn begin_answer(&self) {
        self.enter(ANSWERING, self.arrived);
    }

    pub(super) fn end_answer(&self, now: Mono) {
        self.enter(ANSWERED, now);
    }

    /// The client doesn't read the response: from here on the connection can be evicted again.
    pub(super) fn begin_stall(&self, now: Mono) {
        self.enter(STALLED, now);
    }

    pub(super) fn end_stall(&self) {
        self.enter(ANSWERING, self.arrived);
    }

    /// Whether it was evicted.
    pub(super) fn is_evicted(&self) -> bool {
        is_evicted(self.state.load(Ordering::Acquire))
    }

    /// Wakes the worker of an evicted connection from its wait for a request, or for the client to read.
    pub(super) fn end_wait(&self) {
        if phase(self.state.load(Ordering::Acquire)) == EVICTED_STALLED {
            self.shut_down()
        } else {
            self.shut_down_reading()
        }
    }

    /// Ends the wait for more bytes: what has arrived can still be read and answered, then the stream ends.
    /// On Linux this wakes a blocked reader at once.
    pub(super) fn shut_down_reading(&self) {
        // The client may have reset the connection; then there is nothing to stop.
        let _ = self.stream.shutdown(Shutdown::Read);
    }

    /// Ends any read or write that the worker is blocked in.
    pub(super) fn shut_down(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Enters a phase, unless the connection was evicted, which is final.
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

/// Packs a phase and its start into one word, so that an eviction succeeds only in the state in which it was decided.
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
/// Nothing received yet.
const SILENT: u64 = 0;
/// Part of the first request received.
const READING: u64 = 1;
/// A complete request is being answered.
const ANSWERING: u64 = 2;
/// Waiting for the next request, or reading it.
const ANSWERED: u64 = 3;
/// The client reads the response more slowly than it is written.
const STALLED: u64 = 4;
/// Evicted while no response was being written; final.
const EVICTED_READING: u64 = 5;
/// Evicted while stalled; final.
const EVICTED_STALLED: u64 = 6;
