//! The HTTP/1.x server: plain and blocking, for clients that may be hostile.
//!
//! One thread accepts; each open connection has a worker of its own, so a client that drips bytes or waits for a role
//! holds only that worker. The number of connections, and so of workers, is bounded by [`Limits`]; which connection is
//! closed when there are too many is decided in `admission`, a pure struct behind one lock that is never held across IO.
//!
//! Invariants:
//! - A byte sequence has one reading: whatever could be read in two ways (bare LF, two lengths, a length beside a
//!   coding, folded lines) is answered with an error, and the connection ends.
//! - A connection whose request is being answered is never evicted; only those without a complete head are, and those
//!   whose client doesn't read its answer.
//! - No byte of a client can end a thread: a panic is caught, counted and answered with 500.
//! - Nothing waits without a deadline: heads, idle connections, answers, lingering, idle workers and shutting down.
//! - An answer is never copied to be sent.
//!
//! Reading order: `wire` and `chunked` (bytes to a request), `reply` (an answer's head), `admission` (which connections stay),
//! `connection` (one connection as others see it), `shared` (what all threads share), `request_loop` (one connection
//! from its first byte to its last) with `connection_state`, `read_buffer`, `response_writer` and `timed_writer`
//! (reading and writing under deadlines), `pool` (workers), `bind` (listening sockets), `acceptor`, `server` (start,
//! shut down).

mod acceptor;
mod admission;
mod bind;
mod chunked;
mod connection;
mod connection_state;
mod lifecycle;
mod pool;
mod read_buffer;
mod reply;
mod request_loop;
mod response_writer;
mod shared;
mod timed_writer;
mod wire;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use connection::Connection;
use shared::Shared;

pub use admission::Refusal;
pub use bind::{bind, bind_shared, has_address, is_bound_to, is_free, is_taken, may_be_free_later};
/// How requests are read; public for fuzzing alone.
#[doc(hidden)]
pub use chunked::ChunkedBody;
pub use lifecycle::{Drained, Server};
pub use wire::BadHead;
#[doc(hidden)]
pub use wire::{Afterwards, BodyLength, Head, HttpVersion, read_head, worth_another_look};

use crate::logic::request::message::{Request, Response};
use crate::ports::Clock;

/// Answers requests. Called on the worker of the connection, which may wait as long as its client may.
pub trait Handler: Send + Sync + 'static {
    fn handle(&self, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Response;

    /// What to answer to a head that is none, of which `start` is there; `None`: the server's own words.
    fn answer_bad_head(&self, bad: BadHead, start: &[u8], endpoints: &Endpoints<'_>) -> Option<Response> {
        let _ = (bad, start, endpoints);
        None
    }
}

/// What a server is made of.
pub struct Front {
    pub limits: Limits,
    pub handler: Arc<dyn Handler>,
    pub observer: Arc<dyn Observer>,
    pub clock: Arc<dyn Clock>,
    /// Whether an address is the node's own, for which slots are kept; `127.0.0.1` and `::1` always are.
    pub own_address: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    pub local_pods: LocalPods,
}

/// Whether pods connect to the node itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalPods {
    None,
    /// At loopback and at the address of container credentials: those who do get no slots that are kept for the node.
    MayConnect,
}

/// The two ends of the connection that a request came over.
pub struct Endpoints<'a> {
    /// The client's address; v4-mapped v6 addresses are folded to v4.
    pub peer: IpAddr,
    connection: &'a Connection,
    shared: &'a Shared,
}

impl<'a> Endpoints<'a> {
    fn of(shared: &'a Shared, connection: &'a Connection) -> Self {
        Self { peer: connection.peer, connection, shared }
    }

    /// Counts the connection for the pod that proved itself over it, from now on; an error if that pod has too many.
    pub fn prove_pod(&self, uid: &Arc<str>) -> Result<(), Refusal> {
        self.shared.prove(self.connection, uid)
    }

    /// The address of this end of the connection, folded likewise. One system call for a connection.
    pub fn local_address(&self) -> Option<IpAddr> {
        self.connection.local_address()
    }

    /// Where the client meant to connect to, if connection tracking knows: the address before the redirect
    /// (`SO_ORIGINAL_DST`), or the agent's own where nothing was redirected. One system call for a connection.
    pub fn original_destination(&self) -> Option<SocketAddr> {
        self.connection.destination()
    }
}

/// Learns of events, to count them. Called from every thread of the server; must not wait.
pub trait Observer: Send + Sync + 'static {
    fn saw(&self, event: &ConnectionEvent);
}

/// What happens besides requests, which their [`Handler`] sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEvent {
    /// A connection was accepted; a refusal of it is an event of its own.
    Accepted { peer: IpAddr },
    /// A connection was closed unread: there was no slot or no thread for it.
    Refused { peer: IpAddr, why: Refusal },
    /// A connection without a complete head, or whose client doesn't read, was closed for a newer one.
    Evicted { peer: IpAddr },
    /// The server itself answered, with `bad.status()`, and closed.
    BadHead { peer: IpAddr, bad: BadHead },
    /// A handler or the source of a body panicked.
    Panicked { peer: IpAddr },
    /// An answer couldn't be finished.
    Cut { peer: IpAddr, why: CutReason },
    /// Accepting failed with `errno`.
    AcceptFailed { errno: i32 },
}

/// Why an answer was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutReason {
    /// The client took longer than [`Limits::write_deadline`] to read it.
    SlowReader,
    /// The client went away.
    Gone,
    /// The source of the body failed, or didn't give as many bytes as it had promised.
    BrokenSource,
}

impl CutReason {
    /// The words for the log.
    pub const fn label(self) -> &'static str {
        match self {
            Self::SlowReader => "the client reads too slowly",
            Self::Gone => "the client went away",
            Self::BrokenSource => "the source of the body failed",
        }
    }
}

/// Every bound of the server. The defaults stand in `manifests/docs/operate.md`.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a request line and its headers, empty line included. Real heads are below 1 KiB; 8 KiB is what
    /// other servers take.
    pub head_bytes: usize,
    /// Headers of a request; at most 64.
    pub headers: usize,
    /// Bytes of a request body. No route uses one: it is read and thrown away.
    pub body_bytes: u64,
    /// From the first byte of a head, on a new connection from its arrival, to the last byte of head and body.
    pub head_deadline: Duration,
    /// From the moment that an answer is ready until the kernel has its last byte; also the bound of all waits for room
    /// in the kernel's buffers, all answers of a connection together.
    pub write_deadline: Duration,
    /// Between an answer and the first byte of the next request.
    pub keep_alive_idle: Duration,
    /// How long bytes are still read and dropped after an error was answered, so that the client sees the answer
    /// instead of a reset (RFC 9112, section 9.6).
    pub linger: Duration,
    /// At shutdown: how old a connection is before it counts as idle. The request of a client that has just connected
    /// is on its way, even on a busy node.
    pub newcomer: Duration,
    /// From so many connections of one peer on each of its answers says `Connection: close`: its clients, of which
    /// there are many, come back by themselves and each gets its turn.
    pub close_from_per_peer: usize,
    /// Connections of one peer.
    pub per_peer: usize,
    /// A connection that was answered less than this ago isn't evicted: its client is between two requests.
    pub keep_answered: Duration,
    /// From so many connections on every answer says `Connection: close`, and a peer gets no more than
    /// `close_from_per_peer`.
    pub crowded_from: usize,
    /// Connections in all, and so the most workers.
    pub connections: usize,
    /// Of `connections`, slots that only the node's own addresses get: probes are answered under any load.
    pub reserved_for_node: usize,
    /// A worker without a connection exits after this.
    pub idle_worker: Duration,
    /// Stack of a worker in bytes. Address space; only what is touched becomes memory. The server itself needs
    /// 32 KiB unoptimised; the rest is for handlers that speak TLS.
    pub stack: usize,
}

impl Limits {
    /// Connections at loopback, all together, over which no pod has proved itself: they have one address.
    pub const fn of_loopback(&self) -> usize {
        self.connections / 2
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 8 * 1024,
            headers: 64,
            body_bytes: 8 * 1024,
            head_deadline: Duration::from_secs(2),
            write_deadline: Duration::from_secs(5),
            keep_alive_idle: Duration::from_secs(5),
            linger: Duration::from_millis(500),
            newcomer: Duration::from_secs(1),
            close_from_per_peer: 32,
            per_peer: 256,
            keep_answered: Duration::from_secs(2),
            crowded_from: 768,
            connections: 1_024,
            reserved_for_node: 16,
            idle_worker: Duration::from_secs(10),
            stack: 256 * 1024,
        }
    }
}
