//! A running server: starts accepting, counts, shuts down.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::SockRef;

use super::acceptor::{Acceptor, Listeners};
use super::pool::Pool;
use super::shared::Shared;
use super::{Front, Limits};
use crate::os::threads;

/// A running server. Dropping it stops accepting; [`Server::shut_down`] also waits for what is in progress.
pub struct Server {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    /// The accepting thread, and what stops it by its end; until it is stopped
    acceptor: Option<(JoinHandle<()>, UnixStream)>,
}

/// How shutting down went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Answers that weren't finished in time; their connections were cut.
    pub unfinished: usize,
}

impl Server {
    /// Accepts from all `listeners`, which may have been bound by another process, and answers.
    pub fn start(listeners: Vec<TcpListener>, front: Front) -> io::Result<Self> {
        for listener in &listeners {
            set_inherited_options(listener, &front.limits)?;
            listener.set_nonblocking(true)?;
        }
        let shared = Arc::new(Shared::new(front));
        let listeners = Arc::new(Listeners { shared: shared.clone(), sockets: listeners });
        let pool = Arc::new(Pool::new(shared.clone(), Arc::downgrade(&listeners)));
        let (stop, stopped) = UnixStream::pair()?;
        let acceptor = Acceptor { pool: pool.clone(), listeners, stopped };
        let acceptor = threads::spawn("http-accept", ACCEPTOR_STACK, move || acceptor.run())?;
        Ok(Self { shared, pool, acceptor: Some((acceptor, stop)) })
    }

    /// Open connections.
    pub fn connections(&self) -> usize {
        self.shared.open_connections()
    }

    /// Counts open connections, also after the server has been moved.
    pub fn connection_count(&self) -> Box<dyn Fn() -> usize + Send + Sync> {
        let shared = self.shared.clone();
        Box::new(move || shared.open_connections())
    }

    /// Living workers.
    pub fn workers(&self) -> usize {
        self.pool.workers()
    }

    /// Whether a worker serves a connection.
    #[cfg(test)]
    pub(super) fn is_busy(&self) -> bool {
        self.pool.is_busy()
    }

    #[cfg(test)]
    pub(super) fn has_no_workers(&self) -> bool {
        self.pool.is_empty()
    }

    /// Stops accepting and closes the listeners; connections in their queues are accepted before. Ends the wait of idle
    /// connections and half heads at once, but for those younger than [`Limits::newcomer`]: their request is on its
    /// way. Returns at once.
    pub fn stop_accepting(&mut self) {
        let Some((acceptor, stop)) = self.acceptor.take() else { return };
        self.shared.begin_closing();
        drop(stop);
        acceptor.thread().unpark();
        // Its panics are caught; there is nothing to learn from its end.
        let _ = acceptor.join();
        let now = self.shared.now().mono;
        let newcomer = self.shared.front.limits.newcomer;
        let connections = self.shared.connections();
        let old = connections.iter().filter(|connection| now.since(connection.arrived) >= newcomer);
        old.for_each(|connection| connection.shut_down_reading());
        self.pool.close();
    }

    /// After [`Server::stop_accepting`]: lets answers in progress end, for at most `grace`. A request that has arrived
    /// by now is still answered.
    pub fn drain(&self, grace: Duration) -> Drained {
        let first = self.shared.front.limits.newcomer.min(grace);
        let mut unfinished = self.pool.wait_until_empty(first);
        if !self.pool.is_empty() {
            self.shared.connections().iter().for_each(|connection| connection.shut_down_reading());
            unfinished = self.pool.wait_until_empty(grace.saturating_sub(first));
        }
        Drained { unfinished }
    }

    /// Cuts what is left, except answers that are ready in a moment: what they waited for may just have ended. Takes
    /// at most a quarter of a second; only a handler that is still waiting then keeps its thread.
    pub fn cut_off(self) {
        self.pool.wait_until_empty(LAST_ANSWERS);
        if !self.pool.is_empty() {
            self.shared.connections().iter().for_each(|connection| connection.shut_down());
            self.pool.wait_until_empty(LAST_WAIT);
        }
        self.pool.join_ended();
    }

    /// All of that in order.
    pub fn shut_down(mut self, grace: Duration) -> Drained {
        self.stop_accepting();
        let drained = self.drain(grace);
        self.cut_off();
        drained
    }
}

/// What an accepted socket inherits from its listener on Linux: no connection needs a `setsockopt` of its own.
fn set_inherited_options(listener: &TcpListener, limits: &Limits) -> io::Result<()> {
    let socket = SockRef::from(listener);
    socket.set_read_timeout(Some(limits.head_deadline))?;
    socket.set_write_timeout(Some(limits.write_deadline))?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(limits.write_deadline))?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_send_buffer_size(SEND_BUFFER)
}

/// What is left for workers whose wait has just ended to answer.
const LAST_ANSWERS: Duration = Duration::from_millis(100);

/// What is left for workers whose connection was cut to notice it.
const LAST_WAIT: Duration = Duration::from_millis(150);

/// The accepting thread calls little, but observers are not ours.
const ACCEPTOR_STACK: usize = 256 * 1024;

/// Kernel memory per connection for bytes that a client sends and we don't read; a head is 8 KiB at most.
const RECEIVE_BUFFER: usize = 16 * 1024;

/// Kernel memory per connection for bytes that a client doesn't read; otherwise up to 4 MiB, which the pod's memory
/// limit counts.
const SEND_BUFFER: usize = 64 * 1024;
