//! Listening sockets: exclusive, or shared with other processes of the same user.
//!
//! Exclusive means that no other process can listen where it would receive pods' requests: without SO_REUSEPORT on the
//! listening socket, the kernel refuses any other listener on the port, whatever its options, on the wildcard and on
//! each specific address. With SO_REUSEPORT, a process of the same user can take a share of the connections, or all of
//! them by binding a more specific address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Binds and listens, exclusively. Without an address: on every address of the host, through one dual-stack socket, or
/// a v4 socket where v6 is off.
pub fn bind(address: Option<IpAddr>, port: u16) -> io::Result<TcpListener> {
    listen(socket(address, port, ReusePort::None)?)
}

/// Like [`bind`], but shares the port with other processes of the same user that bind it the same way.
pub fn bind_shared(address: Option<IpAddr>, port: u16) -> io::Result<TcpListener> {
    listen(socket(address, port, ReusePort::SameUser)?)
}

/// Whether another socket holds the port already.
pub fn is_taken(address: Option<IpAddr>, port: u16) -> bool {
    socket(address, port, ReusePort::None).is_err_and(|error| is_in_use(&error))
}

/// Whether a bind error may be temporary: another socket holds the port, or the host doesn't have the address yet.
pub fn may_be_free_later(error: &io::Error) -> bool {
    is_in_use(error) || error.raw_os_error().map(Errno::from_raw_os_error) == Some(Errno::ADDRNOTAVAIL)
}

/// Whether the port could be bound now: no other socket holds it and the host has the address.
pub fn is_free(address: Option<IpAddr>, port: u16) -> bool {
    !socket(address, port, ReusePort::None).is_err_and(|error| may_be_free_later(&error))
}

/// Whether the host has an address.
pub fn has_address(address: IpAddr) -> bool {
    !bound(address, 0, ReusePort::None).is_err_and(|error| may_be_free_later(&error))
}

/// Whether binding or listening failed because the port is in use.
pub fn is_in_use(error: &io::Error) -> bool {
    error.raw_os_error().map(Errno::from_raw_os_error) == Some(Errno::ADDRINUSE)
}

/// The processes a port is shared with.
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

/// Whether `listener`, received from another process, equals what [`bind`] would create; a shared one doesn't.
pub fn is_bound_to(listener: &TcpListener, address: Option<IpAddr>, port: u16) -> bool {
    let socket = SockRef::from(listener);
    let is_listening = socket.is_listener().unwrap_or(false) && socket.r#type().is_ok_and(|kind| kind == Type::STREAM);
    let Ok(bound) = listener.local_addr() else { return false };
    // With a v6-only socket, pods that connect to the node over v4 would get no answer.
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
    // The previous agent's connections may be in TIME_WAIT. It doesn't permit a bind beside another listener.
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

/// The kernel has no IPv6, or it is disabled on every interface.
fn is_without_v6(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL | Errno::PROTONOSUPPORT))
}

/// Established connections that the kernel queues before they are accepted; std uses 128.
pub(super) const BACKLOG: i32 = 1_024;
