//! Credentials of the process at the other end of a Unix socket (`SO_PEERCRED`, unix(7)).
//!
//! rustix's own function has a process id type that excludes 0. The kernel reports 0 if the process is in another PID
//! namespace, like an agent in another pod.

#![allow(unsafe_code, reason = "getsockopt(2) has no safe form that takes a process id of 0")]

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use super::state_dir::Peer;

/// The credentials of the peer process at the time it connected or started listening.
pub(super) fn credentials(connection: &UnixStream) -> io::Result<Peer> {
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let wanted = libc::socklen_t::try_from(size_of::<libc::ucred>()).map_err(io::Error::other)?;
    let mut length = wanted;
    // SAFETY: `found` is a `ucred`, for which any bytes are valid, and outlives the call; `length` is its size, and the
    // kernel writes no more than that. The descriptor is open as long as `connection` is borrowed.
    let result = unsafe {
        libc::getsockopt(
            connection.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut length,
        )
    };
    match result {
        0 if length == wanted => Ok(Peer { uid: found.uid, gid: found.gid }),
        0 => Err(io::Error::other("the kernel gives no credentials")),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests;
