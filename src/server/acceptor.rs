//! The accepting thread. It reads no byte of a client and outlives any failure to accept.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::ConnectionEvent;
use super::admission::Refusal;
use super::bind::BACKLOG;
use super::connection::Connection;
use super::pool::Pool;
use super::shared::{Shared, Slot};

/// The listening sockets. The acceptor owns them: with its end they are closed.
pub(super) struct Listeners {
    pub(super) shared: Arc<Shared>,
    pub(super) sockets: Vec<TcpListener>,
}

impl Listeners {
    /// Accepts a waiting connection on a worker that has just become free: under load that saves passing it on.
    pub(super) fn accept_waiting(&self) -> Option<Slot> {
        let waiting = || self.sockets.iter().find_map(|listener| listener.accept().ok());
        let (stream, address) = (!self.shared.is_closing()).then(waiting).flatten()?;
        self.admit(stream, address).ok()
    }

    /// Gives an accepted connection a slot, or closes and reports it.
    fn admit(&self, stream: TcpStream, address: SocketAddr) -> Result<Slot, ()> {
        let peer = address.ip().to_canonical();
        self.shared.report(&ConnectionEvent::Accepted { peer });
        let admitted = self.shared.admit(Connection::new(stream, peer, self.shared.now().mono));
        admitted.map_err(|why| self.shared.report(&ConnectionEvent::Refused { peer, why }))
    }
}

pub(super) struct Acceptor {
    pub(super) pool: Arc<Pool>,
    pub(super) listeners: Arc<Listeners>,
    /// Its other end is closed when the server is dropped or stops accepting.
    pub(super) stopped: UnixStream,
}

/// What one attempt to accept came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Accepted,
    /// The queue is empty.
    Empty,
    /// This connection was lost, the next may be good.
    Lost,
    /// The system is out of something; trying at once again is useless.
    Exhausted,
}

impl Acceptor {
    pub(super) fn run(self) {
        let mut polled: Vec<PollFd<'_>> =
            self.listeners.sockets.iter().map(|listener| PollFd::new(listener, PollFlags::IN)).collect();
        polled.push(PollFd::new(&self.stopped, PollFlags::IN));
        while !self.shared().is_closing() && !self.is_stopped(&polled) {
            // Accepting goes on, whatever panicked.
            if catch_unwind(AssertUnwindSafe(|| self.round(&mut polled))).is_err() {
                thread::park_timeout(PAUSE);
            }
        }
        let _ = catch_unwind(AssertUnwindSafe(|| self.empty_queues()));
    }

    /// Waits for connections, and accepts a few.
    fn round(&self, polled: &mut [PollFd<'_>]) {
        match poll(polled, None) {
            Ok(_) => {}
            Err(Errno::INTR) => return,
            Err(_) => thread::park_timeout(PAUSE),
        }
        for (listener, polled) in self.listeners.sockets.iter().zip(polled) {
            if !polled.revents().is_empty() && self.accept_some(listener, BATCH) == Attempt::Exhausted {
                (0..SHED_AT_ONCE).take_while(|_| self.shared().shed()).for_each(drop);
                thread::park_timeout(PAUSE);
            }
        }
    }

    /// Whether the server was dropped without shutting down: then the other end of `stopped` is closed.
    fn is_stopped(&self, polled: &[PollFd<'_>]) -> bool {
        polled.last().is_some_and(|stopped| !stopped.revents().is_empty())
    }

    /// A connection that was queued before its listener closes is answered, not reset.
    fn empty_queues(&self) {
        for listener in &self.listeners.sockets {
            self.accept_some(listener, BACKLOG);
        }
    }

    fn accept_some(&self, listener: &TcpListener, most: i32) -> Attempt {
        (0..most)
            .map(|_| self.accept(listener))
            .find(|attempt| matches!(attempt, Attempt::Empty | Attempt::Exhausted))
            .unwrap_or(Attempt::Accepted)
    }

    fn accept(&self, listener: &TcpListener) -> Attempt {
        let error = match listener.accept() {
            Ok((stream, address)) => {
                self.dispatch(stream, address);
                return Attempt::Accepted;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Attempt::Empty,
            Err(error) => error,
        };
        self.shared().report(&ConnectionEvent::AcceptFailed { errno: error.raw_os_error().unwrap_or(0) });
        if is_lost_connection(&error) { Attempt::Lost } else { Attempt::Exhausted }
    }

    fn dispatch(&self, stream: TcpStream, address: SocketAddr) {
        let Ok(slot) = self.listeners.admit(stream, address) else { return };
        if let Err(slot) = self.pool.dispatch(slot) {
            self.serve_without_new_thread(slot);
        }
    }

    /// The system gives no thread: an eviction frees a worker, or the new connection is closed.
    fn serve_without_new_thread(&self, slot: Slot) {
        let peer = slot.connection.peer;
        if self.pool.workers() == 0 || !self.shared().shed() || self.pool.enqueue(slot).is_err() {
            self.shared().report(&ConnectionEvent::Refused { peer, why: Refusal::NoThread });
        }
    }

    fn shared(&self) -> &Shared {
        &self.listeners.shared
    }
}

/// Errors that belong to the connection, not to accepting: accept(2), "Error handling".
fn is_lost_connection(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(
            Errno::CONNABORTED
                | Errno::INTR
                | Errno::NETDOWN
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH
                | Errno::PERM
        )
    )
}

/// Connections accepted before the next look at the other listeners and at shutting down.
const BATCH: i32 = 16;

/// The pause after the system ran out of descriptors or memory: long enough for a worker to close a connection.
const PAUSE: Duration = Duration::from_millis(10);

/// Idle connections evicted for each [`PAUSE`]: 800 a second, more than a cap's worth within two.
const SHED_AT_ONCE: usize = 8;
