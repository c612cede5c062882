//! Sockets to listen on, alone or beside others.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Binds and listens. Without an address: every address of the host, v6 and v4 through one socket, or v4 alone where
/// v6 is off.
pub fn bind(address: Option<IpAddr>, port: u16) -> io::Result<TcpListener> {
    listen(socket(address, port, Neighbours::Welcome)?)
}

/// Whether somebody else listens there already, who would share the connections with us.
pub fn is_taken(address: Option<IpAddr>, port: u16) -> bool {
    let errno = socket(address, port, Neighbours::None).err().and_then(|error| error.raw_os_error());
    errno.map(Errno::from_raw_os_error) == Some(Errno::ADDRINUSE)
}

/// Whether a port is shared with whoever shares it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Neighbours {
    None,
    Welcome,
}

fn socket(address: Option<IpAddr>, port: u16, neighbours: Neighbours) -> io::Result<Socket> {
    let Some(address) = address else {
        return match bound(Ipv6Addr::UNSPECIFIED.into(), port, neighbours) {
            Err(error) if is_without_v6(&error) => bound(Ipv4Addr::UNSPECIFIED.into(), port, neighbours),
            socket => socket,
        };
    };
    bound(address, port, neighbours)
}

/// Whether `listener`, from another process, is what [`bind`] would have made.
pub fn is_bound_to(listener: &TcpListener, address: Option<IpAddr>, port: u16) -> bool {
    let socket = SockRef::from(listener);
    let is_listening = socket.is_listener().unwrap_or(false) && socket.r#type().is_ok_and(|kind| kind == Type::STREAM);
    let Ok(bound) = listener.local_addr() else { return false };
    let fits = match address {
        Some(address) => bound.ip() == address,
        None => bound.ip() == Ipv6Addr::UNSPECIFIED || bound.ip() == Ipv4Addr::UNSPECIFIED && !has_v6(),
    };
    is_listening && bound.port() == port && fits
}

fn bound(address: IpAddr, port: u16, neighbours: Neighbours) -> io::Result<Socket> {
    let address = SocketAddr::new(address, port);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(neighbours == Neighbours::Welcome)?;
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
