//! Listening sockets on their way from an agent to its successor: over a Unix socket in the state directory, as
//! descriptors (`SCM_RIGHTS`, unix(7)).
//!
//! Closing a listening socket resets the connections in its queue, unless another process has the same socket. So the
//! agent that answers requests makes an [`Offer`], its successor [`ask`]s at start, and from then on both hold one queue.
//! The connection between them carries nothing more, but its ends do: to the successor it means that it is alone; to the
//! predecessor, that the successor answers requests now, or has gone.
//!
//! - Each agent offers under a name of its own: none takes the place of another that still lives.
//! - Both sides look at the credentials that the kernel has of the other (`SO_PEERCRED`): only what
//!   [`StateDir::admits`] is given a listener, or believed.
//! - Nothing that a process behind such a name does, or leaves undone, delays a start by more than [`PATIENCE`].
//! - What is handed over is checked by the caller; here it is only received.

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

/// Listening sockets, there to be asked for until it is withdrawn.
pub struct Offer {
    /// Its end wakes the thread.
    wake: UnixStream,
    thread: JoinHandle<()>,
    path: PathBuf,
}

impl Offer {
    /// Begins to hand `listeners` to agents that ask. `number` must be one that no other agent drew; `waiting` gets how
    /// many successors wait for their turn.
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
        // Under its name it listens already: who finds nobody listening there may take it away.
        rename(&draft, &path)?;
        let (wake, woken) = UnixStream::pair()?;
        let admitting = dir.clone();
        let thread = threads::spawn("handover", threads::STACK_BYTES, move || {
            hand_out(&listen, &admitting, &woken, &listeners, &waiting);
        })?;
        Ok(Self { wake, thread, path })
    }

    /// Ends the lines to all who asked, and lets the listeners go.
    pub fn withdraw(self) {
        let _ = remove_file(&self.path); // somebody else's housekeeping, if it is gone already
        drop(self.wake);
        let _ = self.thread.join(); // it has nothing to say
    }
}

/// The line to the agent that handed its listeners over. Dropped once requests are answered here too.
pub struct Predecessor(UnixStream);

impl Predecessor {
    /// Whether it still answers requests, as far as can be seen: waits for its end, at most for `patience`.
    pub fn is_there(&self, patience: Duration) -> bool {
        matches!(poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&timespec(patience))), Ok(0) | Err(Errno::INTR))
    }
}

/// What asking for listeners came to.
pub struct HandoverReply {
    pub handed: Option<(Vec<TcpListener>, Predecessor)>,
    /// Why agents that offer some didn't hand them over, one line each.
    pub failures: Vec<String>,
}

/// Asks the agents that offer their listeners, the latest first, until one hands some over. Names behind which nothing
/// listens any more are taken away.
pub fn ask(dir: &StateDir, clock: &dyn Clock) -> HandoverReply {
    let late = clock.now().mono.after(PATIENCE);
    let mut failures = Vec::new();
    for path in offers(dir) {
        match ask_at(dir, &path, clock, late) {
            Ok((listeners, line)) => return HandoverReply { handed: Some((listeners, Predecessor(line))), failures },
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                info!("took away what an agent left behind: `{}`", path.display());
                let _ = remove_file(&path); // the next one tries again
            }
            // It went in this very moment.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                failures.push(format!("failed to take over from the agent behind `{}`: {error}", path.display()));
            }
        }
    }
    HandoverReply { handed: None, failures }
}

/// Whether an agent offers its listeners here.
pub fn is_offered(dir: &StateDir) -> bool {
    !offers(dir).is_empty()
}

/// The sockets of the directory that are named as offers are, the latest first.
fn offers(dir: &StateDir) -> Vec<PathBuf> {
    let is_name = |name: &str| name.starts_with(PREFIX) && name.ends_with(SUFFIX);
    let mut found = Vec::new();
    for entry in read_dir(dir.path()).into_iter().flatten().flatten().take(MOST_FILES) {
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

fn ask_at(dir: &StateDir, path: &Path, clock: &dyn Clock, late: Mono) -> io::Result<(Vec<TcpListener>, UnixStream)> {
    let left = || {
        let left = clock.now().mono.until(late);
        if left.is_zero() { Err(io::Error::from(ErrorKind::TimedOut)) } else { Ok(left) }
    };
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Doesn't wait where a plain connect would: for a place in the queue of somebody who never accepts.
    socket.connect_timeout(&SockAddr::unix(path)?, left()?)?;
    socket.set_read_timeout(Some(left()?))?;
    let line = UnixStream::from(std::os::fd::OwnedFd::from(socket));
    admitted(&line, dir)?;
    let listeners = receive(&line)?;
    Ok((listeners, line))
}

/// The greeting comes in one piece, with everything.
fn receive(line: &UnixStream) -> io::Result<Vec<TcpListener>> {
    let mut greeting = [0; GREETING.len() + 1];
    let mut room = [MaybeUninit::uninit(); ROOM];
    let mut rights = RecvAncillaryBuffer::new(&mut room);
    let received = loop {
        match recvmsg(line, &mut [IoSliceMut::new(&mut greeting)], &mut rights, RecvFlags::CMSG_CLOEXEC) {
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
    match &greeting[..received.bytes] {
        GREETING if !listeners.is_empty() => Ok(listeners),
        [] => Err(ErrorKind::UnexpectedEof.into()),
        _ => Err(io::Error::other("it says something else than an agent would")),
    }
}

/// Accepts agents until `woken` ends, and reports how many wait for their turn.
fn hand_out(
    listen: &UnixListener,
    dir: &StateDir,
    woken: &UnixStream,
    listeners: &[TcpListener],
    waiting: &dyn Fn(usize),
) {
    let mut lines = VecDeque::new();
    loop {
        let mut waited = vec![PollFd::new(listen, PollFlags::IN), PollFd::new(woken, PollFlags::IN)];
        waited.extend(lines.iter().map(|line| PollFd::new(line, PollFlags::IN)));
        if poll(&mut waited, None).is_err() {
            thread::park_timeout(PAUSE);
            continue;
        }
        let mut happened = waited.iter().map(|waited| !waited.revents().is_empty()).collect::<Vec<_>>().into_iter();
        let (came, is_called_off) = (happened.next() == Some(true), happened.next() == Some(true));
        if is_called_off {
            return;
        }
        // Nobody who waits says anything: they answer requests now, or have gone.
        lines.retain(|_| happened.next() == Some(false));
        if came {
            // Known before the successor knows: nobody takes it for ready in between.
            waiting(lines.len() + 1);
            admit(listen, dir, listeners, &mut lines);
        }
        waiting(lines.len());
    }
}

fn admit(listen: &UnixListener, dir: &StateDir, listeners: &[TcpListener], lines: &mut VecDeque<UnixStream>) {
    match listen.accept() {
        Ok((line, _)) => match admitted(&line, dir).and_then(|()| greet(&line, listeners)) {
            Ok(()) => {
                info!("handed the listener to the next agent");
                if lines.len() == MOST_LINES {
                    lines.pop_front();
                }
                lines.push_back(line);
            }
            Err(error) => warn!("failed to hand the listener to the next agent: {error}"),
        },
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(_) => thread::park_timeout(PAUSE),
    }
}

fn admitted(line: &UnixStream, dir: &StateDir) -> io::Result<()> {
    dir.admits(credentials(line)?)
}

fn greet(line: &UnixStream, listeners: &[TcpListener]) -> io::Result<()> {
    // A line that was just opened has room for this; whoever has filled it is left alone.
    line.set_nonblocking(true)?;
    let descriptors: Vec<BorrowedFd<'_>> = listeners.iter().map(AsFd::as_fd).collect();
    let mut room = [MaybeUninit::uninit(); ROOM];
    let mut rights = SendAncillaryBuffer::new(&mut room);
    if !rights.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("too many listeners"));
    }
    sendmsg(line, &[IoSlice::new(GREETING)], &mut rights, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn timespec(span: Duration) -> Timespec {
    let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec: seconds, tv_nsec: span.subsec_nanos().into() }
}

const PREFIX: &str = "agent-";
const SUFFIX: &str = ".sock";
/// What an agent says to its successor, beside the listeners.
const GREETING: &[u8] = b"kube2iam listeners 1\n";
/// Room for the descriptors of all doors that an agent has, and of some that later versions may have.
const ROOM: usize = rustix::cmsg_space!(ScmRights(8));
/// How long a start waits for the agents before, all together. One that lives answers within a millisecond.
const PATIENCE: Duration = Duration::from_millis(500);
/// Files of the directory that are looked at.
const MOST_FILES: usize = 256;
/// Lines kept open, more than there is ever use for.
const MOST_LINES: usize = 8;
/// The pause after the system ran out of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
