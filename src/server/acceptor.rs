//! The accepting thread. It never reads from a client, and no accept error ends it.

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

/// The listening sockets, owned by the acceptor: they close when it ends.
pub(super) struct Listeners {
    pub(super) shared: Arc<Shared>,
    pub(super) sockets: Vec<TcpListener>,
}

impl Listeners {
    /// Accepts a queued connection on a worker that has just become free, which saves a hand-off between threads.
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
    /// The other end closes when the server is dropped or stops accepting.
    pub(super) stopped: UnixStream,
}

/// The outcome of one `accept` call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Accepted,
    /// The queue is empty.
    Empty,
    /// This connection failed; the next may succeed.
    Lost,
    /// The system is out of descriptors or memory; retrying at once would fail again.
    Exhausted,
}

impl Acceptor {
    pub(super) fn run(self) {
        let mut polled: Vec<PollFd<'_>> =
            self.listeners.sockets.iter().map(|listener| PollFd::new(listener, PollFlags::IN)).collect();
        polled.push(PollFd::new(&self.stopped, PollFlags::IN));
        while !self.shared().is_closing() && !self.is_stopped(&polled) {
            // A panic must not end the accepting thread.
            if catch_unwind(AssertUnwindSafe(|| self.round(&mut polled))).is_err() {
                thread::park_timeout(PAUSE);
            }
        }
        let _ = catch_unwind(AssertUnwindSafe(|| self.empty_queues()));
    }

    /// Waits for connections and accepts up to [`BATCH`] per listener.
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

    /// Whether the other end of `stopped` is closed, as after a drop without shutdown.
    fn is_stopped(&self, polled: &[PollFd<'_>]) -> bool {
        polled.last().is_some_and(|stopped| !stopped.revents().is_empty())
    }

    /// Accepts connections queued before the listener closes, so that they are answered instead of reset.
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

    /// Without a new thread: queues the connection for the worker that an eviction frees, or closes it.
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

/// Errors of the connection rather than of the listener: accept(2), "Error handling".
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

/// Connections accepted from one listener before the others and the shutdown flag are checked.
const BATCH: i32 = 16;

/// The pause after the system ran out of descriptors or memory: long enough for a worker to close a connection.
const PAUSE: Duration = Duration::from_millis(10);

/// Idle connections evicted per [`PAUSE`]: 800 per second, so more than the default cap within two seconds.
const SHED_AT_ONCE: usize = 8;
