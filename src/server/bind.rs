//! Sockets to listen on: exclusive, or shared with other processes of the same user.
//!
//! Exclusive means that no other process can listen where pods' requests would reach it instead: without SO_REUSEPORT on
//! the socket that listens, the kernel refuses each other one on its port, whatever options that has, on all addresses
//! and on each single one. With it, any process of the same user gets a share, or all of it by a more specific address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Binds and listens, exclusively. Without an address: every address of the host, v6 and v4 through one socket, or v4
/// alone where v6 is off.
pub fn bind(address: Option<IpAddr>, port: u16) -> io::Result<TcpListener> {
    listen(socket(address, port, ReusePort::None)?)
}

/// The same, beside other processes of the same user that share the port too.
pub fn bind_shared(address: Option<IpAddr>, port: u16) -> io::Result<TcpListener> {
    listen(socket(address, port, ReusePort::SameUser)?)
}

/// Whether another socket holds the port already.
pub fn is_taken(address: Option<IpAddr>, port: u16) -> bool {
    socket(address, port, ReusePort::None).is_err_and(|error| is_in_use(&error))
}

/// Whether what keeps a port from being opened may pass: another socket holds it, or the host doesn't have the address
/// yet.
pub fn may_be_free_later(error: &io::Error) -> bool {
    is_in_use(error) || error.raw_os_error().map(Errno::from_raw_os_error) == Some(Errno::ADDRNOTAVAIL)
}

/// Whether the port could be opened now, as far as others are concerned.
pub fn is_free(address: Option<IpAddr>, port: u16) -> bool {
    !socket(address, port, ReusePort::None).is_err_and(|error| may_be_free_later(&error))
}

/// Whether the host has an address.
pub fn has_address(address: IpAddr) -> bool {
    !bound(address, 0, ReusePort::None).is_err_and(|error| may_be_free_later(&error))
}

/// Whether that is why binding or listening failed.
pub fn is_in_use(error: &io::Error) -> bool {
    error.raw_os_error().map(Errno::from_raw_os_error) == Some(Errno::ADDRINUSE)
}

/// With which other processes a port is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReusePort {
    None,
    SameUser,
}

fn socket(address: Option<IpAddr>, port: u16, sharing: ReusePort) -> io::Result<Socket> {
    let Some(address) = address else {
        return match bound(Ipv6Addr::UNSPECIFIED.into(), port, sharing) {
            Err(error) if is_without_v6(&error) => bound(Ipv4Addr::UNSPECIFIED.into(), port, sharing),
            socket => socket,
        };
    };
    bound(address, port, sharing)
}

/// Whether `listener`, from another process, is what [`bind`] would have made: one that is shared is not.
pub fn is_bound_to(listener: &TcpListener, address: Option<IpAddr>, port: u16) -> bool {
    let socket = SockRef::from(listener);
    let is_listening = socket.is_listener().unwrap_or(false) && socket.r#type().is_ok_and(|kind| kind == Type::STREAM);
    let Ok(bound) = listener.local_addr() else { return false };
    // A socket for v6 alone would leave pods that dial the node by v4 without an agent.
    let is_dual = bound.ip() != Ipv6Addr::UNSPECIFIED || !socket.only_v6().unwrap_or(true);
    let fits = match address {
        Some(address) => bound.ip() == address,
        None => bound.ip() == Ipv6Addr::UNSPECIFIED || bound.ip() == Ipv4Addr::UNSPECIFIED && !has_v6(),
    };
    is_listening && bound.port() == port && fits && is_dual && !socket.reuse_port().unwrap_or(true)
}

fn bound(address: IpAddr, port: u16, sharing: ReusePort) -> io::Result<Socket> {
    let address = SocketAddr::new(address, port);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // For connections of the agent before that are not quite over; beside one that listens it permits nothing.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(sharing == ReusePort::SameUser)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listen(socket: Socket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn has_v6() -> bool {
    let probe = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))
        .and_then(|socket| socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into()));
    !probe.is_err_and(|error| is_without_v6(&error))
}

/// The kernel has no v6 at all, or it is switched off for every interface.
fn is_without_v6(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL | Errno::PROTONOSUPPORT))
}

/// Connections that the kernel completes for us before they are accepted; std's own is 128.
pub(super) const BACKLOG: i32 = 1_024;
