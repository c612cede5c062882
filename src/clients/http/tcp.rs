//! TCP for ureq with keep-alive, which ureq's own connector lacks: a peer that vanished (a node without power, a flow
//! dropped by a firewall) is detected within 45 s, even during a silent watch.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use socket2::{SockRef, TcpKeepalive};
use ureq::unversioned::transport::time::Instant;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, ShutdownHandle, Transport,
};
use ureq::{Error, Timeout};

/// Connects to the first address that accepts.
#[derive(Debug)]
pub(super) struct KeptAliveConnector;

impl<In: Transport> Connector<In> for KeptAliveConnector {
    type Out = Either<In, KeptAlive>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        if let Some(proxied) = chained {
            return Ok(Some(Either::A(proxied)));
        }
        let stream = connect(details)?;
        stream.set_nodelay(details.config.no_delay())?;
        keep_alive(&stream)?;
        let stream = Arc::new(stream);
        (details.register_shutdown)(Arc::downgrade(&stream) as Weak<dyn ShutdownHandle>)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(KeptAlive { stream, buffers, read_timeout: None, write_timeout: None })))
    }
}

/// Tries the addresses in order. Each gets an equal share of the remaining time, the last one all of it.
fn connect(details: &ConnectionDetails<'_>) -> Result<TcpStream, Error> {
    let mut last = Error::HostNotFound;
    for (tried, address) in details.addrs.iter().enumerate() {
        let others = u32::try_from(details.addrs.len() - tried).unwrap_or(u32::MAX);
        let attempt = match time_left(details) {
            None => TcpStream::connect(address),
            Some(left) if left.is_zero() => return Err(Error::Timeout(Timeout::Connect)),
            Some(left) => TcpStream::connect_timeout(address, (left / others).max(MIN_TIMEOUT)),
        };
        match attempt {
            Ok(stream) => return Ok(stream),
            Err(error) => last = failure(*address, details.addrs.len(), error),
        }
    }
    Err(last)
}

fn failure(address: SocketAddr, addresses: usize, error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Error::Timeout(Timeout::Connect),
        kind if addresses > 1 => io::Error::new(kind, format!("{error} at `{address}`")).into(),
        _ => error.into(),
    }
}

/// `None` if there is no limit.
fn time_left(details: &ConnectionDetails<'_>) -> Option<Duration> {
    let limit = details.timeout.not_zero()?;
    let passed = match (details.now, (details.current_time)()) {
        (Instant::Exact(start), Instant::Exact(now)) => now.saturating_duration_since(start),
        _ => Duration::ZERO,
    };
    Some(limit.saturating_sub(passed))
}

/// Sends a probe after [`PROBE_AFTER`] of silence; the connection is dropped when probes or data stay unacknowledged
/// for [`UNANSWERED`] (RFC 5482; Linux applies TCP_USER_TIMEOUT to probes too).
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY))?;
    socket.set_tcp_user_timeout(Some(UNANSWERED))
}

/// A TCP connection with keep-alive probes.
pub(super) struct KeptAlive {
    /// ureq holds a weak reference, to shut it down from another thread
    stream: Arc<TcpStream>,
    buffers: LazyBuffers,
    /// The timeouts set on the socket
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

impl Transport for KeptAlive {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        let limit = limit(timeout)?;
        if self.write_timeout != limit {
            self.stream.set_write_timeout(limit)?;
            self.write_timeout = limit;
        }
        let mut stream = &*self.stream;
        stream.write_all(&self.buffers.output()[..amount]).map_err(|error| ended(timeout, error))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        let limit = limit(timeout)?;
        if self.read_timeout != limit {
            self.stream.set_read_timeout(limit)?;
            self.read_timeout = limit;
        }
        let room = self.buffers.input_append_buf();
        // Each signal restarts the wait, which is harmless since signals are rare.
        let read = loop {
            match (&*self.stream).read(room) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.map_err(|error| ended(timeout, error))?,
            }
        };
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    /// An idle connection is open if nothing can be read: neither the end of the stream nor unsolicited bytes.
    fn is_open(&mut self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        matches!(recv(&self.stream, &mut [0_u8], flags), Err(Errno::WOULDBLOCK))
    }
}

impl fmt::Debug for KeptAlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeptAlive({:?})", self.stream.peer_addr())
    }
}

/// The time limit of an operation; `None` if it has none.
fn limit(timeout: NextTimeout) -> Result<Option<Duration>, Error> {
    if timeout.after.is_zero() {
        return Err(Error::Timeout(timeout.reason));
    }
    Ok(timeout.not_zero().map(|limit| *limit))
}

/// The kernel reports our own timeout as EAGAIN, and a peer that stopped acknowledging as ETIMEDOUT.
fn ended(timeout: NextTimeout, error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::WouldBlock => Error::Timeout(timeout.reason),
        ErrorKind::TimedOut => io::Error::new(ErrorKind::TimedOut, "the peer no longer acknowledges anything").into(),
        _ => error.into(),
    }
}

/// Together less than 45 s: the silence, the time without an acknowledgement, and at most one more probe interval until
/// the kernel checks the clock.
const PROBE_AFTER: Duration = Duration::from_secs(15);
const PROBE_EVERY: Duration = Duration::from_secs(5);
const UNANSWERED: Duration = Duration::from_secs(25);
const MIN_TIMEOUT: Duration = Duration::from_millis(10);
