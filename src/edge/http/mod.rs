//! The front door: plain blocking HTTP/1.x for clients that may be hostile.
//!
//! One thread accepts; each connection then has a worker of its own, so whoever drips bytes or waits for a role holds
//! only that worker. After an answer it waits in the lounge for its next request, without a worker: what a porter there
//! can answer from memory it does, everything else goes to a worker again. What may be held is bounded by [`Limits`];
//! who must leave when it is full is decided in `admission`, a pure struct behind one lock that is never held across IO.
//!
//! Invariants:
//! - A byte sequence has one reading: whatever could be read in two ways (bare LF, two lengths, a length beside a
//!   coding, folded lines) is answered with an error, and the connection ends.
//! - A connection whose request is being answered is never taken away from its client; only those without a complete
//!   head are, and those whose client lets its answer lie.
//! - No byte of a client can end a thread: a panic is caught, counted and answered with 500.
//! - Nothing waits without a deadline: heads, idle connections, answers, lingering, idle workers and shutting down.
//! - A body is copied only for a client that doesn't take it at once, into a buffer that is wiped.
//!
//! Reading order: `wire` (bytes to a request), `reply` (an answer's head), `admission` (who may stay), `guest` (one
//! connection as others see it), `door` (what all share), `conversation` (one connection from its first byte to its
//! last) with `standing`, `inbox`, `pen` and `outlet` (reading and writing under deadlines), `pool` (workers), `lounge`
//! (between two requests), `bind` (sockets to listen on), `reception` (who comes in), `listener` (accept, shut down).

mod admission;
mod bind;
mod conversation;
mod door;
mod guest;
mod inbox;
mod listener;
mod lounge;
mod outlet;
mod pen;
mod pool;
mod reception;
mod reply;
mod standing;
mod wire;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use guest::Guest;

pub use admission::Refusal;
pub use bind::{bind, is_bound_to, is_taken};
pub use listener::{Drained, Server};
pub use wire::BadHead;
/// How heads are read: outside of this room for those alone who throw bytes at it.
#[doc(hidden)]
pub use wire::{Afterwards, Head, Version, read_head, worth_another_look};

use crate::logic::http::{Request, Response};
use crate::ports::Clock;

/// Answers requests. Called on the worker of the connection, which may wait as long as its client may.
pub trait Handler: Send + Sync + 'static {
    fn handle(&self, request: &Request<'_>, connection: &Connection<'_>) -> Response;

    /// Answers if that takes no waiting for anything, out of memory. `None`, and nothing has happened:
    /// [`Handler::handle`] is to be asked. Called on a thread on which other connections wait for their turn.
    fn handle_at_once(&self, _: &Request<'_>, _: &Connection<'_>) -> Option<Response> {
        None
    }
}

/// What a server is made of.
pub struct Front {
    pub limits: Limits,
    pub handler: Arc<dyn Handler>,
    pub observer: Arc<dyn Observer>,
    pub clock: Arc<dyn Clock>,
    /// Tells the addresses of the node itself, for which places are kept; `127.0.0.1` and `::1` always count.
    pub own_address: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
}

/// The connection that a request came over.
pub struct Connection<'a> {
    /// The client's address; v4-mapped v6 addresses are folded to v4.
    pub peer: IpAddr,
    destination: Destination<'a>,
}

enum Destination<'a> {
    Ask(&'a Guest),
    Told(Option<SocketAddr>),
}

impl<'a> Connection<'a> {
    fn over(guest: &'a Guest) -> Self {
        Self { peer: guest.peer, destination: Destination::Ask(guest) }
    }

    /// A connection without a socket, for rehearsing a [`Handler`].
    pub const fn rehearsed(peer: IpAddr, original_destination: Option<SocketAddr>) -> Connection<'static> {
        Connection { peer, destination: Destination::Told(original_destination) }
    }

    /// Where the client meant to connect to, if connection tracking knows: the address before the redirect
    /// (`SO_ORIGINAL_DST`), or the agent's own where nothing was redirected. One system call for a connection.
    pub fn original_destination(&self) -> Option<SocketAddr> {
        match self.destination {
            Destination::Told(address) => address,
            Destination::Ask(guest) => guest.destination(),
        }
    }
}

/// Sees what happens at the door, to count it. Called from every thread of the door; must not wait.
pub trait Observer: Send + Sync + 'static {
    fn saw(&self, event: &Event);
}

/// What happens at the door besides requests, which their [`Handler`] sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection came in; a refusal of it follows on its own.
    Accepted { peer: IpAddr },
    /// A connection was closed unheard: there was no place or no thread for it.
    Refused { peer: IpAddr, why: Refusal },
    /// A connection without a complete head, or without a reader, made room for a newer one.
    Evicted { peer: IpAddr },
    /// The door itself answered, with `bad.status()`, and closed.
    BadHead { peer: IpAddr, bad: BadHead },
    /// A handler or the source of a body panicked.
    Panicked { peer: IpAddr },
    /// An answer couldn't be finished.
    Cut { peer: IpAddr, why: Cut },
    /// The system gave no connection, `errno` says why.
    AcceptFailed { errno: i32 },
}

/// Why an answer was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The client took longer than [`Limits::write_deadline`] to read it.
    SlowReader,
    /// The client went away.
    Gone,
    /// The source of the body failed, or didn't give as many bytes as it had promised.
    BrokenSource,
}

/// Every bound of the door. The defaults are those of the README.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a request line and its headers, empty line included. Real heads are below 1 KiB; 8 KiB is what
    /// other servers take.
    pub head_bytes: usize,
    /// Headers of a request; at most 64.
    pub headers: usize,
    /// Bytes of a request body. Nothing here has a use for one: it is read and thrown away.
    pub body_bytes: u64,
    /// From the first byte of a head, on a new connection from its arrival, to the last byte of head and body.
    pub head_deadline: Duration,
    /// From the moment that an answer is ready to its last byte in the kernel's hands; and all that a connection may
    /// make us wait for room there, its answers together.
    pub write_deadline: Duration,
    /// Between an answer and the first byte of the next request.
    pub keep_alive_idle: Duration,
    /// How long bytes are still read and dropped after an error was answered, so that the client sees the answer
    /// instead of a reset (RFC 9112, section 9.6).
    pub linger: Duration,
    /// At shutdown: how old a connection is before it counts as idle. A client that has just connected will say what
    /// it wants in a moment, even on a busy node.
    pub newcomer: Duration,
    /// Connections of one address.
    pub per_peer: usize,
    /// Connections in all, and so the most workers.
    pub connections: usize,
    /// Of `connections`, places that only the node's own addresses get: probes are answered in any crowd.
    pub reserved_for_node: usize,
    /// Threads that watch over connections between two requests and answer from memory what they ask; with none, each
    /// connection keeps its worker. One answers as fast as nginx, and two on two cores a quarter slower: each finds
    /// nothing to do more often, goes to sleep and has to be woken.
    pub porters: usize,
    /// A worker without a connection leaves after this.
    pub idle_worker: Duration,
    /// Stack of a worker in bytes. Address space; only what is touched becomes memory. The door itself gets along
    /// with 32 KiB unoptimised; the rest is for handlers that speak TLS.
    pub stack: usize,
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
            per_peer: 64,
            connections: 1_024,
            reserved_for_node: 16,
            porters: 1,
            idle_worker: Duration::from_secs(10),
            stack: 256 * 1024,
        }
    }
}
