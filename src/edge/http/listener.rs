//! Accept, shut down. The accepting thread reads no byte of a client and outlives whatever accepting brings.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use socket2::SockRef;

use super::admission::Refusal;
use super::bind::BACKLOG;
use super::door::{Door, Visit};
use super::lounge::Lounge;
use super::pool::Pool;
use super::reception::Reception;
use super::{Event, Front, Limits};
use crate::edge::threads;

/// A running front door. Dropping it stops accepting; [`Server::shut_down`] also waits for what is in progress.
pub struct Server {
    door: Arc<Door>,
    pool: Arc<Pool>,
    /// The accepting thread, and what wakes it by its end; until it is stopped
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
        let door = Arc::new(Door::new(front));
        let reception = Arc::new(Reception { door: door.clone(), listeners });
        let lounge = Lounge::new(door.front.limits.porters)?;
        let pool = Arc::new(Pool::new(door.clone(), Arc::downgrade(&reception), lounge));
        pool.open_lounge()?;
        let (wake, woken) = UnixStream::pair()?;
        let acceptor = Acceptor { pool: pool.clone(), reception, woken };
        let acceptor = threads::spawn("door-accept", ACCEPTOR_STACK, move || acceptor.run())?;
        Ok(Self { door, pool, acceptor: Some((acceptor, wake)) })
    }

    /// Open connections.
    pub fn connections(&self) -> usize {
        self.door.seated()
    }

    /// Tells open connections, also after the server has been given away.
    pub fn seats(&self) -> Box<dyn Fn() -> usize + Send + Sync> {
        let door = self.door.clone();
        Box::new(move || door.seated())
    }

    /// Living workers.
    pub fn workers(&self) -> usize {
        self.pool.workers()
    }

    /// Whether a worker does anything.
    #[cfg(test)]
    pub(super) fn is_busy(&self) -> bool {
        self.pool.is_busy()
    }

    #[cfg(test)]
    pub(super) fn is_deserted(&self) -> bool {
        self.pool.is_deserted()
    }

    /// Stops accepting and closes the listeners; who had been in their queues is let in before. Ends the wait of idle
    /// connections and half heads at once, but for newcomers: their request is on its way, and they have done nothing
    /// wrong. They get [`Limits::newcomer`]. Returns at once.
    pub fn stop_accepting(&mut self) {
        let Some((acceptor, wake)) = self.acceptor.take() else { return };
        self.door.begin_closing();
        drop(wake);
        acceptor.thread().unpark();
        // Its panics are caught; there is nothing to learn from its end.
        let _ = acceptor.join();
        let now = self.door.now().mono;
        let newcomer = self.door.front.limits.newcomer;
        let guests = self.door.guests();
        guests.iter().filter(|guest| now.since(guest.arrived) >= newcomer).for_each(|guest| guest.stop_listening());
        self.pool.close();
    }

    /// After [`Server::stop_accepting`]: lets answers in progress end, for at most `grace`. A request that has arrived
    /// by now is still answered.
    pub fn drain(&self, grace: Duration) -> Drained {
        let first = self.door.front.limits.newcomer.min(grace);
        let mut unfinished = self.pool.wait_until_deserted(first);
        if !self.pool.is_deserted() {
            self.door.guests().iter().for_each(|guest| guest.stop_listening());
            unfinished = self.pool.wait_until_deserted(grace.saturating_sub(first));
        }
        Drained { unfinished }
    }

    /// Cuts what is left, but for answers that are there in a moment: what they waited for may just have ended. Takes
    /// at most a quarter of a second; only a handler that is still waiting then keeps its thread.
    pub fn cut_off(self) {
        self.pool.wait_until_deserted(LAST_WORD);
        if !self.pool.is_deserted() {
            self.door.guests().iter().for_each(|guest| guest.cut_off());
            self.pool.wait_until_deserted(LAST_WAIT);
        }
        self.pool.join_gone();
    }

    /// All of that in order.
    pub fn shut_down(mut self, grace: Duration) -> Drained {
        self.stop_accepting();
        let drained = self.drain(grace);
        self.cut_off();
        drained
    }
}

struct Acceptor {
    pool: Arc<Pool>,
    reception: Arc<Reception>,
    woken: UnixStream,
}

/// What one attempt to accept came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Welcomed,
    /// Nobody is waiting.
    Dry,
    /// This connection was lost, the next may be good.
    Lost,
    /// The system is out of something; trying at once again is useless.
    Exhausted,
}

impl Acceptor {
    fn run(self) {
        let mut waited: Vec<PollFd<'_>> =
            self.reception.listeners.iter().map(|listener| PollFd::new(listener, PollFlags::IN)).collect();
        waited.push(PollFd::new(&self.woken, PollFlags::IN));
        while !self.door().is_closing() && !self.is_called_off(&waited) {
            // Whatever an observer does, accepting goes on.
            if catch_unwind(AssertUnwindSafe(|| self.round(&mut waited))).is_err() {
                thread::park_timeout(PAUSE);
            }
        }
        let _ = catch_unwind(AssertUnwindSafe(|| self.empty_queues()));
    }

    /// Waits for somebody to come, and lets in a few.
    fn round(&self, waited: &mut [PollFd<'_>]) {
        match poll(waited, None) {
            Ok(_) => {}
            Err(Errno::INTR) => return,
            Err(_) => thread::park_timeout(PAUSE),
        }
        for (listener, waited) in self.reception.listeners.iter().zip(waited) {
            if !waited.revents().is_empty() && self.accept_some(listener, BATCH) == Attempt::Exhausted {
                (0..SHED_AT_ONCE).take_while(|_| self.door().shed()).for_each(drop);
                thread::park_timeout(PAUSE);
            }
        }
    }

    /// Whether the server was dropped without ado: then the other end of `woken` is closed.
    fn is_called_off(&self, waited: &[PollFd<'_>]) -> bool {
        waited.last().is_some_and(|woken| !woken.revents().is_empty())
    }

    /// Who was in a queue before its listener closes is answered, not reset.
    fn empty_queues(&self) {
        for listener in &self.reception.listeners {
            self.accept_some(listener, BACKLOG);
        }
    }

    fn accept_some(&self, listener: &TcpListener, most: i32) -> Attempt {
        (0..most)
            .map(|_| self.accept(listener))
            .find(|attempt| matches!(attempt, Attempt::Dry | Attempt::Exhausted))
            .unwrap_or(Attempt::Welcomed)
    }

    fn accept(&self, listener: &TcpListener) -> Attempt {
        let error = match listener.accept() {
            Ok((stream, address)) => {
                self.greet(stream, address);
                return Attempt::Welcomed;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Attempt::Dry,
            Err(error) => error,
        };
        self.door().saw(&Event::AcceptFailed { errno: error.raw_os_error().unwrap_or(0) });
        if is_lost_connection(&error) { Attempt::Lost } else { Attempt::Exhausted }
    }

    fn greet(&self, stream: TcpStream, address: SocketAddr) {
        let Ok(visit) = self.reception.seat(stream, address) else { return };
        let peer = visit.guest.peer;
        if let Err(visit) = self.pool.dispatch(visit) {
            self.do_without_thread(visit, peer);
        }
    }

    fn door(&self) -> &Door {
        &self.reception.door
    }

    /// The system gives no thread: a worker is freed, if there is one, or the newcomer goes.
    fn do_without_thread(&self, visit: Visit, peer: IpAddr) {
        if self.pool.workers() == 0 || !self.door().shed() || self.pool.enqueue(visit).is_err() {
            self.door().saw(&Event::Refused { peer, why: Refusal::NoThread });
        }
    }
}

/// What an accepted socket takes over from its listener on Linux: no connection needs a `setsockopt` of its own.
fn set_inherited_options(listener: &TcpListener, limits: &Limits) -> io::Result<()> {
    let socket = SockRef::from(listener);
    socket.set_read_timeout(Some(limits.head_deadline))?;
    socket.set_write_timeout(Some(limits.write_deadline))?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(limits.write_deadline))?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_send_buffer_size(SEND_BUFFER)
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

/// Idle connections sent away for each [`PAUSE`]: 800 a second, more than a cap's worth within two.
const SHED_AT_ONCE: usize = 8;

/// What is left for workers that were let go to say so to their clients.
const LAST_WORD: Duration = Duration::from_millis(100);

/// What is left for workers whose connection was cut to notice it.
const LAST_WAIT: Duration = Duration::from_millis(150);

/// The accepting thread calls little, but observers are not ours.
const ACCEPTOR_STACK: usize = 256 * 1024;

/// Kernel memory per connection for bytes that a client sends and we don't read; a head is 8 KiB at most.
const RECEIVE_BUFFER: usize = 16 * 1024;

/// Kernel memory per connection for bytes that a client doesn't read; otherwise up to 4 MiB, which the pod's memory
/// limit counts.
const SEND_BUFFER: usize = 64 * 1024;
