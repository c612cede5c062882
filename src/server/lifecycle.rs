//! A running server: start, connection counts, shutdown.

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
    /// The accepting thread, and the socket whose close stops it; `None` once stopped
    acceptor: Option<(JoinHandle<()>, UnixStream)>,
}

/// The result of draining.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Workers still busy when the grace period ended; their connections are cut off.
    pub unfinished: usize,
}

impl Server {
    /// Starts accepting from all `listeners`, which may have been bound by another process.
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

    /// The number of open connections.
    pub fn connections(&self) -> usize {
        self.shared.open_connections()
    }

    /// A function that returns the number of open connections, for use after the server has been moved.
    pub fn connection_count(&self) -> Box<dyn Fn() -> usize + Send + Sync> {
        let shared = self.shared.clone();
        Box::new(move || shared.open_connections())
    }

    /// The number of worker threads.
    pub fn workers(&self) -> usize {
        self.pool.workers()
    }

    /// Whether any worker is serving a connection.
    #[cfg(test)]
    pub(super) fn is_busy(&self) -> bool {
        self.pool.is_busy()
    }

    #[cfg(test)]
    pub(super) fn has_no_workers(&self) -> bool {
        self.pool.is_empty()
    }

    /// Accepts what is queued on the listeners, then closes them. Shuts down reading on idle connections and on those
    /// with an incomplete head, except connections younger than [`Limits::newcomer`], whose request may be in flight.
    /// Doesn't wait for workers.
    pub fn stop_accepting(&mut self) {
        let Some((acceptor, stop)) = self.acceptor.take() else { return };
        self.shared.begin_closing();
        drop(stop);
        acceptor.thread().unpark();
        // It catches its panics, so the result carries nothing.
        let _ = acceptor.join();
        let now = self.shared.now().mono;
        let newcomer = self.shared.front.limits.newcomer;
        let connections = self.shared.connections();
        let old = connections.iter().filter(|connection| now.since(connection.arrived) >= newcomer);
        old.for_each(|connection| connection.shut_down_reading());
        self.pool.close();
    }

    /// After [`Server::stop_accepting`]: waits at most `grace` for responses in progress. A request that has arrived by
    /// now is still answered.
    pub fn drain(&self, grace: Duration) -> Drained {
        let first = self.shared.front.limits.newcomer.min(grace);
        let mut unfinished = self.pool.wait_until_empty(first);
        if !self.pool.is_empty() {
            self.shared.connections().iter().for_each(|connection| connection.shut_down_reading());
            unfinished = self.pool.wait_until_empty(grace.saturating_sub(first));
        }
        Drained { unfinished }
    }

    /// Cuts the remaining connections after a last 100 ms for responses that just became ready. Takes at most 250 ms;
    /// only a handler that is still blocked then keeps its thread.
    pub fn cut_off(self) {
        self.pool.wait_until_empty(LAST_ANSWERS);
        if !self.pool.is_empty() {
            self.shared.connections().iter().for_each(|connection| connection.shut_down());
            self.pool.wait_until_empty(LAST_WAIT);
        }
        self.pool.join_ended();
    }

    /// Stops accepting, drains, cuts off.
    pub fn shut_down(mut self, grace: Duration) -> Drained {
        self.stop_accepting();
        let drained = self.drain(grace);
        self.cut_off();
        drained
    }
}

/// Sets options that accepted sockets inherit from the listener on Linux, which saves a `setsockopt` per connection.
fn set_inherited_options(listener: &TcpListener, limits: &Limits) -> io::Result<()> {
    let socket = SockRef::from(listener);
    socket.set_read_timeout(Some(limits.head_deadline))?;
    socket.set_write_timeout(Some(limits.write_deadline))?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(limits.write_deadline))?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_send_buffer_size(SEND_BUFFER)
}

/// Time for workers whose wait has just ended to answer.
const LAST_ANSWERS: Duration = Duration::from_millis(100);

/// Time for workers whose connection was cut to exit.
const LAST_WAIT: Duration = Duration::from_millis(150);

/// The accepting thread's own calls are shallow; the rest is for the observer.
const ACCEPTOR_STACK: usize = 256 * 1024;

/// Kernel receive buffer per connection, in bytes; a head is at most 8 KiB.
const RECEIVE_BUFFER: usize = 16 * 1024;

/// Kernel send buffer per connection, in bytes. Unset, it grows to 4 MiB, which counts against the pod's memory limit.
const SEND_BUFFER: usize = 64 * 1024;
