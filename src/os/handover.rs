//! Passes listening sockets from an agent to its successor: as descriptors (`SCM_RIGHTS`, unix(7)) over a Unix socket
//! in the state directory.
//!
//! Closing a listening socket resets the connections in its queue, unless another process holds the same socket. So the
//! agent that answers requests makes an [`Offer`], its successor requests the sockets at start ([`request`]), and from
//! then on both hold the same queue. Nothing more is sent over the connection between them; only its end has a meaning.
//! To the successor: the predecessor has ended. To the predecessor: the successor answers requests now, or has ended.
//!
//! - Each agent offers under its own name, so it never replaces the offer of another live agent.
//! - Both sides check the credentials that the kernel reports of the other (`SO_PEERCRED`): listeners are sent to, and
//!   accepted from, only processes that [`StateDir::admits`].
//! - A process behind such a name can't delay a start by more than [`TIMEOUT`], whatever it does.
//! - The caller checks the listeners received.

use std::collections::VecDeque;
use std::fs::{read_dir, remove_file, rename};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use log::{info, warn};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use socket2::{Domain, SockAddr, Socket, Type};

use super::peer::credentials;
use super::state_dir::StateDir;
use super::threads;
use crate::logic::base::time::Mono;
use crate::ports::Clock;

/// Listening sockets offered to a successor until withdrawn.
pub struct Offer {
    /// Closing it stops the thread.
    wake: UnixStream,
    thread: JoinHandle<()>,
    path: PathBuf,
}

impl Offer {
    /// Starts offering `listeners` to other agents. `number` must differ from other agents'; `waiting` is called with
    /// the number of successors that wait for this agent to end.
    pub fn make(
        dir: &StateDir,
        listeners: Vec<TcpListener>,
        number: u64,
        waiting: impl Fn(usize) + Send + 'static,
    ) -> io::Result<Self> {
        let name = format!("{PREFIX}{:08x}", number & 0xffff_ffff);
        let (draft, path) = (dir.join(&format!("{name}.new")), dir.join(&format!("{name}{SUFFIX}")));
        let listen = UnixListener::bind(&draft)?;
        listen.set_nonblocking(true)?;
        dir.share(&draft)?;
        // Renamed only once it listens: other agents remove a name behind which nothing listens.
        rename(&draft, &path)?;
        let (wake, woken) = UnixStream::pair()?;
        let admitting = dir.clone();
        let thread = threads::spawn("handover", threads::STACK_BYTES, move || {
            serve(&listen, &admitting, &woken, &listeners, &waiting);
        })?;
        Ok(Self { wake, thread, path })
    }

    /// Closes the connections to all successors, and closes the listeners.
    pub fn withdraw(self) {
        let _ = remove_file(&self.path); // it may have been removed already
        drop(self.wake);
        let _ = self.thread.join(); // no result to report
    }
}

/// The connection to the agent that handed over its listeners. Dropped once this agent answers requests.
pub struct Predecessor(UnixStream);

impl Predecessor {
    /// Whether the predecessor still runs; waits at most `timeout` for its end.
    pub fn is_running(&self, timeout: Duration) -> bool {
        matches!(poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&timespec(timeout))), Ok(0) | Err(Errno::INTR))
    }
}

/// The result of requesting listeners.
pub struct HandoverReply {
    pub handed: Option<(Vec<TcpListener>, Predecessor)>,
    /// Why offering agents failed to hand over, one line each.
    pub failures: Vec<String>,
}

/// Requests listeners from the agents that offer them, the latest first, until one hands them over. Removes names
/// behind which nothing listens any more.
pub fn request(dir: &StateDir, clock: &dyn Clock) -> HandoverReply {
    let deadline = clock.now().mono.after(TIMEOUT);
    let mut failures = Vec::new();
    for path in offers(dir) {
        match request_from(dir, &path, clock, deadline) {
            Ok((listeners, connection)) => {
                return HandoverReply { handed: Some((listeners, Predecessor(connection))), failures };
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                info!("took away what an agent left behind: `{}`", path.display());
                let _ = remove_file(&path); // on failure, the next agent tries again
            }
            // The offer was withdrawn just now.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                failures.push(format!("failed to take over from the agent behind `{}`: {error}", path.display()));
            }
        }
    }
    HandoverReply { handed: None, failures }
}

/// Whether an agent offers its listeners in `dir`.
pub fn has_offer(dir: &StateDir) -> bool {
    !offers(dir).is_empty()
}

/// The sockets in the directory with an offer's name, the latest first.
fn offers(dir: &StateDir) -> Vec<PathBuf> {
    let is_name = |name: &str| name.starts_with(PREFIX) && name.ends_with(SUFFIX);
    let mut found = Vec::new();
    for entry in read_dir(dir.path()).into_iter().flatten().flatten().take(MAX_FILES) {
        let is_socket = entry.file_type().is_ok_and(|kind| kind.is_socket());
        if !is_socket || !entry.file_name().to_str().is_some_and(is_name) {
            continue;
        }
        if let Ok(facts) = entry.metadata() {
            let socket = ((facts.mtime(), facts.mtime_nsec()), entry.path());
            found.insert(found.partition_point(|known| *known > socket), socket);
        }
    }
    found.into_iter().map(|(_, path)| path).collect()
}

fn request_from(
    dir: &StateDir,
    path: &Path,
    clock: &dyn Clock,
    deadline: Mono,
) -> io::Result<(Vec<TcpListener>, UnixStream)> {
    let left = || {
        let left = clock.now().mono.until(deadline);
        if left.is_zero() { Err(io::Error::from(ErrorKind::TimedOut)) } else { Ok(left) }
    };
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A plain connect would block while the queue of a process that never accepts is full.
    socket.connect_timeout(&SockAddr::unix(path)?, left()?)?;
    socket.set_read_timeout(Some(left()?))?;
    let connection = UnixStream::from(std::os::fd::OwnedFd::from(socket));
    admitted(&connection, dir)?;
    let listeners = receive(&connection)?;
    Ok((listeners, connection))
}

/// Receives the message and the descriptors, which arrive together.
fn receive(connection: &UnixStream) -> io::Result<Vec<TcpListener>> {
    let mut message = [0; MESSAGE.len() + 1];
    let mut room = [MaybeUninit::uninit(); CMSG_BYTES];
    let mut rights = RecvAncillaryBuffer::new(&mut room);
    let received = loop {
        match recvmsg(connection, &mut [IoSliceMut::new(&mut message)], &mut rights, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Err(ErrorKind::TimedOut.into()),
            received => break received?,
        }
    };
    let mut listeners = Vec::new();
    for message in rights.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            listeners.extend(descriptors.map(TcpListener::from));
        }
    }
    match &message[..received.bytes] {
        MESSAGE if !listeners.is_empty() => Ok(listeners),
        [] => Err(ErrorKind::UnexpectedEof.into()),
        _ => Err(io::Error::other("it sends something else than an agent would")),
    }
}

/// Serves successors until `woken` is closed, and reports how many wait.
fn serve(
    listen: &UnixListener,
    dir: &StateDir,
    woken: &UnixStream,
    listeners: &[TcpListener],
    waiting: &dyn Fn(usize),
) {
    let mut connections = VecDeque::new();
    loop {
        let mut waited = vec![PollFd::new(listen, PollFlags::IN), PollFd::new(woken, PollFlags::IN)];
        waited.extend(connections.iter().map(|connection| PollFd::new(connection, PollFlags::IN)));
        if poll(&mut waited, None).is_err() {
            thread::park_timeout(PAUSE);
            continue;
        }
        let mut happened = waited.iter().map(|waited| !waited.revents().is_empty()).collect::<Vec<_>>().into_iter();
        let (has_connection, is_stopped) = (happened.next() == Some(true), happened.next() == Some(true));
        if is_stopped {
            return;
        }
        // Successors send nothing: an event means that one answers requests now, or has ended.
        connections.retain(|_| happened.next() == Some(false));
        if has_connection {
            // Counted before the listeners are sent, so that this agent isn't seen as ready in between.
            waiting(connections.len() + 1);
            admit(listen, dir, listeners, &mut connections);
        }
        waiting(connections.len());
    }
}

fn admit(listen: &UnixListener, dir: &StateDir, listeners: &[TcpListener], connections: &mut VecDeque<UnixStream>) {
    match listen.accept() {
        Ok((connection, _)) => match admitted(&connection, dir).and_then(|()| send(&connection, listeners)) {
            Ok(()) => {
                info!("handed the listener to the next agent");
                if connections.len() == MAX_CONNECTIONS {
                    connections.pop_front();
                }
                connections.push_back(connection);
            }
            Err(error) => warn!("failed to hand the listener to the next agent: {error}"),
        },
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(_) => thread::park_timeout(PAUSE),
    }
}

fn admitted(connection: &UnixStream, dir: &StateDir) -> io::Result<()> {
    dir.admits(credentials(connection)?)
}

fn send(connection: &UnixStream, listeners: &[TcpListener]) -> io::Result<()> {
    // A new connection has room for the message; a full one is an error.
    connection.set_nonblocking(true)?;
    let descriptors: Vec<BorrowedFd<'_>> = listeners.iter().map(AsFd::as_fd).collect();
    let mut room = [MaybeUninit::uninit(); CMSG_BYTES];
    let mut rights = SendAncillaryBuffer::new(&mut room);
    if !rights.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("too many listeners"));
    }
    sendmsg(connection, &[IoSlice::new(MESSAGE)], &mut rights, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn timespec(span: Duration) -> Timespec {
    let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec: seconds, tv_nsec: span.subsec_nanos().into() }
}

const PREFIX: &str = "agent-";
const SUFFIX: &str = ".sock";
/// The message sent with the listeners.
const MESSAGE: &[u8] = b"kube2iam listeners 1\n";
/// Space for eight descriptors: more listeners than an agent has, in case later versions have more.
const CMSG_BYTES: usize = rustix::cmsg_space!(ScmRights(8));
/// How long a start waits for all predecessors together. A live one answers within a millisecond.
const TIMEOUT: Duration = Duration::from_millis(500);
/// Directory entries inspected.
const MAX_FILES: usize = 256;
/// Connections to successors kept open; more than are ever useful.
const MAX_CONNECTIONS: usize = 8;
/// The pause after the system ran out of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
