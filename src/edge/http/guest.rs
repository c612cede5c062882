//! One live connection, as its worker, admission and the one who shuts down see it.

use std::io::{self, Read};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::net::{RecvFlags, recv};
use socket2::SockRef;

use super::admission::Seated;
use crate::logic::time::Mono;

pub(super) struct Guest {
    pub(super) stream: TcpStream,
    pub(super) peer: IpAddr,
    pub(super) arrived: Mono,
    phase: AtomicU8,
    /// Asked of the kernel once: it stays the same as long as the connection
    destination: OnceLock<Option<SocketAddr>>,
}

impl Guest {
    pub(super) fn new(stream: TcpStream, peer: IpAddr, arrived: Mono) -> Self {
        Self { stream, peer, arrived, phase: AtomicU8::new(LISTENING), destination: OnceLock::new() }
    }

    /// Where the client meant to connect to, by connection tracking's word.
    pub(super) fn destination(&self) -> Option<SocketAddr> {
        *self.destination.get_or_init(|| {
            let socket = SockRef::from(&self.stream);
            let found = if self.peer.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
            found.ok()?.as_socket()
        })
    }

    /// Reads what has arrived, without waiting for more.
    pub(super) fn at_hand(&self) -> AtHand<'_> {
        AtHand(&self.stream)
    }

    /// A request is complete: from here on nobody takes the connection away. One whose place is gone already is
    /// still answered, once.
    pub(super) fn begin_answer(&self) {
        let _ = self.phase.compare_exchange(LISTENING, ANSWERING, Ordering::AcqRel, Ordering::Acquire);
    }

    pub(super) fn end_answer(&self) {
        let _ = self.phase.compare_exchange(ANSWERING, LISTENING, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The client doesn't read its answer: from here on its place may be taken away again.
    pub(super) fn begin_stall(&self) {
        let _ = self.phase.compare_exchange(ANSWERING, STALLED, Ordering::AcqRel, Ordering::Acquire);
    }

    pub(super) fn end_stall(&self) {
        let _ = self.phase.compare_exchange(STALLED, ANSWERING, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Whether its place was taken away.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.phase.load(Ordering::Acquire), LEAVING | EXPELLED)
    }

    /// Ends what it was evicted from: the wait for a request, or for its reader.
    pub(super) fn show_out(&self) {
        if self.phase.load(Ordering::Acquire) == EXPELLED { self.cut_off() } else { self.stop_listening() }
    }

    /// Ends the wait for more bytes: what has arrived can still be read and answered, then the stream ends.
    /// On Linux this wakes a reader at once.
    pub(super) fn stop_listening(&self) {
        // The client may have reset the connection; then there is nothing to stop.
        let _ = self.stream.shutdown(Shutdown::Read);
    }

    /// Ends whatever the worker does with the socket.
    pub(super) fn cut_off(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// A connection read without waiting.
pub(super) struct AtHand<'a>(&'a TcpStream);

impl Read for AtHand<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self.0, room, RecvFlags::DONTWAIT)?.0)
    }
}

impl Seated for std::sync::Arc<Guest> {
    fn is_idle(&self) -> bool {
        matches!(self.phase.load(Ordering::Acquire), LISTENING | STALLED)
    }

    fn give_up(&self) -> bool {
        [(LISTENING, LEAVING), (STALLED, EXPELLED)]
            .into_iter()
            .any(|(from, to)| self.phase.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok())
    }
}

/// Waits for a head, or reads one.
const LISTENING: u8 = 0;
/// Has a complete request.
const ANSWERING: u8 = 1;
/// Was evicted while it was listened to; final.
const LEAVING: u8 = 2;
/// Doesn't read its answer as fast as it is written.
const STALLED: u8 = 3;
/// Was evicted while it stalled; final.
const EXPELLED: u8 = 4;
