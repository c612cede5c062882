//! A netlink socket: requests with their replies, atomic batches, notifications.
//!
//! Every wait has a timeout. Replies to an earlier, failed request are recognised by their sequence number and skipped,
//! and so are messages from other processes.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{
    Timeout, set_socket_recv_buffer_size, set_socket_recv_buffer_size_force, set_socket_timeout,
};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::message::{NetlinkMessage, NetlinkReply, native_u32, replies};

/// The kernel answers from memory; a batch may wait for a slow module to load.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// Dumps arrive in datagrams of at most 32 KiB (netlink_dump), notifications in smaller ones.
const DATAGRAM_BYTES: usize = 64 * 1024;
/// kube-proxy may write thousands of elements at once; an overflow is reported as lost.
const NOTIFICATION_BYTES: usize = 1024 * 1024;
/// Datagrams read before the watch checks anything else.
const NOTIFICATIONS_AT_ONCE: usize = 1024;

/// The data changed while it was being read.
pub(super) const INTERRUPTED: Errno = Errno::INTR;
/// Attempts to read unchanged data: at boot, routes and rules change many times a second.
const READ_ATTEMPTS: usize = 8;

/// linux/netlink.h.
pub(super) const FLAG_REQUEST: u16 = 0x1;
pub(super) const FLAG_ACK: u16 = 0x4;
pub(super) const FLAG_EXCLUSIVE: u16 = 0x200;
pub(super) const FLAG_DUMP: u16 = 0x300;
pub(super) const FLAG_CREATE: u16 = 0x400;
pub(super) const FLAG_APPEND: u16 = 0x800;
const FLAG_DUMP_INTERRUPTED: u16 = 0x10;
const KIND_ERROR: u16 = 2;
const KIND_DONE: u16 = 3;

#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// The result of a wait for notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    Something,
    Nothing,
    /// The socket's buffer overflowed.
    Lost,
}

/// A refused batch, with the index of the refused message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NetlinkRefusal {
    pub(super) cause: Errno,
    pub(super) message: usize,
}

impl Netlink {
    pub(super) fn open(protocol: Option<Protocol>) -> Result<Self, Errno> {
        Self::with_groups(protocol, 0)
    }

    /// A socket that only receives notifications, waiting at most `wait` at a time.
    pub(super) fn listen(protocol: Option<Protocol>, groups: u32, wait: Duration) -> Result<Self, Errno> {
        let listener = Self::with_groups(protocol, groups)?;
        set_socket_timeout(&listener.socket, Timeout::Recv, Some(wait))?;
        // Exceeding the system's limit needs NET_ADMIN in the initial user namespace; otherwise the limit applies.
        set_socket_recv_buffer_size_force(&listener.socket, NOTIFICATION_BYTES)
            .or_else(|_| set_socket_recv_buffer_size(&listener.socket, NOTIFICATION_BYTES))?;
        Ok(listener)
    }

    fn with_groups(protocol: Option<Protocol>, groups: u32) -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_WAIT))?;
        set_socket_timeout(&socket, Timeout::Send, Some(ANSWER_WAIT))?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, groups))?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; DATAGRAM_BYTES] })
    }

    /// Sends a request and passes every reply to `each`, until the kernel ends the sequence.
    pub(super) fn ask(
        &mut self,
        mut request: NetlinkMessage,
        each: &mut dyn FnMut(NetlinkReply<'_>),
    ) -> Result<(), Errno> {
        let dump = request.flags & FLAG_DUMP == FLAG_DUMP;
        request.flags |= if dump { FLAG_REQUEST } else { FLAG_REQUEST | FLAG_ACK };
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        self.send(&request.to_bytes(sequence))?;
        let mut interrupted = false;
        loop {
            let datagram = self.receive()?;
            for reply in replies(datagram).filter(|reply| reply.sequence == sequence) {
                interrupted |= reply.flags & FLAG_DUMP_INTERRUPTED != 0;
                match reply.kind {
                    KIND_ERROR | KIND_DONE if interrupted => return Err(INTERRUPTED),
                    KIND_ERROR | KIND_DONE => return outcome(reply.body),
                    _ => each(reply),
                }
            }
        }
    }

    /// Sends all messages as one datagram, and waits until the last is acknowledged or one is refused.
    pub(super) fn batch(&mut self, messages: &[NetlinkMessage]) -> Result<(), NetlinkRefusal> {
        let first = self.sequence.wrapping_add(1);
        let mut bytes = Vec::new();
        for message in messages {
            self.sequence = self.sequence.wrapping_add(1);
            bytes.extend(message.to_bytes(self.sequence));
        }
        let whole = |cause| NetlinkRefusal { cause, message: 0 };
        self.send(&bytes).map_err(whole)?;
        let confirms = messages.iter().rposition(|message| message.flags & FLAG_ACK != 0).unwrap_or_default();
        loop {
            let datagram = self.receive().map_err(whole)?;
            for reply in replies(datagram).filter(|reply| reply.kind == KIND_ERROR) {
                let message = usize::try_from(reply.sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
                match outcome(reply.body) {
                    Err(cause) if message < messages.len() => return Err(NetlinkRefusal { cause, message }),
                    Ok(()) if message == confirms => return Ok(()),
                    _ => {}
                }
            }
        }
    }

    /// Waits for a notification, then passes it and all others received by then to `each`.
    pub(super) fn notifications(&mut self, each: &mut dyn FnMut(NetlinkReply<'_>)) -> Result<Received, Errno> {
        let mut received = Received::Nothing;
        for datagram in 0..NOTIFICATIONS_AT_ONCE {
            let flags = if datagram == 0 { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
            match self.receive_with(flags) {
                Ok(datagram) => {
                    replies(datagram).for_each(&mut *each);
                    received = Received::Something;
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::NOBUFS) => return Ok(Received::Lost),
                Err(cause) => return Err(cause),
            }
        }
        Ok(received)
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Errno> {
        rustix::io::retry_on_intr(|| rustix::net::send(&self.socket, bytes, SendFlags::empty())).map(drop)
    }

    /// Receives one datagram from the kernel, whose port is 0 (netlink(7)); empty for one from another process.
    fn receive(&mut self) -> Result<&[u8], Errno> {
        self.receive_with(RecvFlags::empty())
    }

    fn receive_with(&mut self, flags: RecvFlags) -> Result<&[u8], Errno> {
        let (socket, buffer) = (&self.socket, &mut self.buffer);
        let receive = || rustix::net::recvfrom(socket, buffer.as_mut_slice(), flags);
        let (length, _, sender) = rustix::io::retry_on_intr(receive)?;
        let sender = sender.and_then(|sender| SocketAddrNetlink::try_from(sender).ok());
        let from_kernel = sender.is_some_and(|sender| sender.pid() == 0);
        Ok(if from_kernel { self.buffer.get(..length).unwrap_or_default() } else { &[] })
    }
}

/// Repeats a read until the data didn't change during it.
pub(super) fn read_consistently<T>(mut read: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    for _ in 1..READ_ATTEMPTS {
        match read() {
            Err(INTERRUPTED) => {}
            other => return other,
        }
    }
    read()
}

/// Both kinds of final message begin with a negative errno or zero.
fn outcome(body: &[u8]) -> Result<(), Errno> {
    match native_u32(body, 0).map(u32::cast_signed) {
        None | Some(0) => Ok(()),
        Some(number) => Err(Errno::from_raw_os_error(number.saturating_neg())),
    }
}

#[cfg(test)]
mod tests;
