//! The HTTP/1.x server: blocking, plain text, for clients that may be hostile.
//!
//! One thread accepts; each open connection has its own worker, so a client that sends slowly or waits for a role
//! occupies only that worker. [`Limits`] bounds the number of connections, and so of workers; `admission`, a pure
//! struct behind one lock that is never held across IO, decides which connection is closed when there are too many.
//!
//! Invariants:
//! - Ambiguous requests (bare LF, two lengths, a length beside a transfer coding, folded lines) are rejected with an
//!   error, and the connection is closed.
//! - A connection whose request is being answered is never evicted; only those without a complete head are, or those
//!   whose client doesn't read the response.
//! - No input of a client can end a thread: a panic is caught, counted and answered with 500.
//! - Every wait has a deadline: heads, idle connections, responses, lingering, idle workers and shutdown.
//! - A response body is never copied before it is sent.
//!
//! Reading order: `wire` and `chunked` (parsing requests), `reply` (response heads), `admission` (slots and eviction),
//! `connection` (one connection's state, shared between threads), `shared` (the server's shared state), `request_loop`
//! (serves one connection) with `connection_state`, `read_buffer`, `response_writer` and `timed_writer` (reading and
//! writing under deadlines), `pool` (workers), `bind` (listening sockets), `acceptor`, `lifecycle` (start, shutdown).

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
pub use bind::{bind, bind_shared, has_address, is_bound_to, is_free, is_in_use, is_taken, may_be_free_later};
pub use chunked::ChunkedBody;
pub use lifecycle::{Drained, Server};
pub use wire::BadHead;
pub use wire::{BodyLength, Head, HttpVersion, Persistence, read_head, worth_parsing_again};

use crate::logic::request::message::{Request, Response};
use crate::ports::Clock;

/// Answers requests. Called on the connection's worker, so it may block as long as the client is willing to wait.
pub trait Handler: Send + Sync + 'static {
    fn handle(&self, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Response;

    /// The response to an invalid head, of which the bytes `start` were received; `None` for the server's default.
    fn answer_bad_head(&self, bad: BadHead, start: &[u8], endpoints: &Endpoints<'_>) -> Option<Response> {
        let _ = (bad, start, endpoints);
        None
    }
}

/// The parts a server is started with.
pub struct Front {
    pub limits: Limits,
    pub handler: Arc<dyn Handler>,
    pub observer: Arc<dyn Observer>,
    pub clock: Arc<dyn Clock>,
    /// Whether an address is the node's own, for which slots are reserved; `127.0.0.1` and `::1` always are.
    pub own_address: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    pub local_pods: LocalPods,
}

/// Whether hostNetwork pods may connect to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalPods {
    None,
    /// To loopback or to the container credentials address; such connections get no slots reserved for the node.
    MayConnect,
}

/// The two ends of a request's connection.
pub struct Endpoints<'a> {
    /// The client's address; v4-mapped v6 addresses are converted to v4.
    pub peer: IpAddr,
    connection: &'a Connection,
    shared: &'a Shared,
}

impl<'a> Endpoints<'a> {
    fn of(shared: &'a Shared, connection: &'a Connection) -> Self {
        Self { peer: connection.peer, connection, shared }
    }

    /// Counts the connection for the pod whose identity was proven on it; an error if that pod is at its cap.
    pub fn prove_pod(&self, uid: &Arc<str>) -> Result<(), Refusal> {
        self.shared.prove(self.connection, uid)
    }

    /// The local address, converted likewise. One system call per connection.
    pub fn local_address(&self) -> Option<IpAddr> {
        self.connection.local_address()
    }

    /// The destination before the redirect (`SO_ORIGINAL_DST`), or the agent's own address without a redirect; `None`
    /// if the connection isn't tracked. One system call per connection.
    pub fn original_destination(&self) -> Option<SocketAddr> {
        self.connection.destination()
    }
}

/// Receives events, to count them. Called from every thread of the server; must not block.
pub trait Observer: Send + Sync + 'static {
    fn saw(&self, event: &ConnectionEvent);
}

/// Events other than requests, which go to the [`Handler`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEvent {
    /// A connection was accepted; a refusal follows as a separate event.
    Accepted { peer: IpAddr },
    /// A connection was closed unread for lack of a slot or a thread.
    Refused { peer: IpAddr, why: Refusal },
    /// A connection without a complete head, or whose client doesn't read, was closed for a newer one.
    Evicted { peer: IpAddr },
    /// The server answered with `bad.status()` itself, and closed.
    BadHead { peer: IpAddr, bad: BadHead },
    /// A handler or a body's source panicked.
    Panicked { peer: IpAddr },
    /// A response couldn't be finished.
    Cut { peer: IpAddr, why: CutReason },
    /// Accepting failed with `errno`.
    AcceptFailed { errno: i32 },
}

/// Why a response was cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutReason {
    /// The client took longer than [`Limits::write_deadline`] to read.
    SlowReader,
    /// The client closed the connection.
    Gone,
    /// The body's source failed, or gave fewer bytes than announced.
    BrokenSource,
}

impl CutReason {
    /// Text for the log.
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
    /// Bytes of request line and headers, including the empty line. Real heads are below 1 KiB; other servers allow
    /// 8 KiB.
    pub head_bytes: usize,
    /// Headers per request; at most 64.
    pub headers: usize,
    /// Bytes of a request body. No route uses one: it is read and discarded.
    pub body_bytes: u64,
    /// From the first byte of a head (on a new connection from its arrival) to the last byte of head and body.
    pub head_deadline: Duration,
    /// From the time a response is ready until the kernel has its last byte; also bounds the total time that all
    /// responses of a connection wait for space in the kernel's buffers.
    pub write_deadline: Duration,
    /// Between a response and the first byte of the next request.
    pub keep_alive_idle: Duration,
    /// How long input is still read and discarded after an error response, so that the client receives the response
    /// instead of a reset (RFC 9112, section 9.6).
    pub linger: Duration,
    /// At shutdown: the age from which a connection without a request counts as idle. The request of a younger one may
    /// still be in flight on a busy node.
    pub newcomer: Duration,
    /// From this many connections of one peer on, its responses carry `Connection: close`: its many clients reconnect
    /// and each gets a turn.
    pub close_from_per_peer: usize,
    /// Connections per peer.
    pub per_peer: usize,
    /// A connection answered less than this ago isn't evicted: its client is between two requests.
    pub keep_answered: Duration,
    /// From this many connections on, every response carries `Connection: close`, and the cap per peer is
    /// `close_from_per_peer`.
    pub crowded_from: usize,
    /// Connections in total, and so the maximum number of workers.
    pub connections: usize,
    /// Slots, out of `connections`, reserved for the node's own addresses: probes are answered under any load.
    pub reserved_for_node: usize,
    /// A worker without a connection exits after this time.
    pub idle_worker: Duration,
    /// Stack of a worker in bytes: address space, of which only touched pages become memory. The server itself needs
    /// 32 KiB unoptimised; the rest is for handlers that use TLS.
    pub stack: usize,
}

impl Limits {
    /// Cap on loopback connections without a proven pod, which can't be told apart by address.
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
