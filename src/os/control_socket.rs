//! The control socket: HTTP over a Unix socket that only its owner can connect to.
//!
//! tiny_http doesn't bound its input (an endless header takes memory, a hostile length ends the process). That is
//! acceptable: only root on the node can connect.
//!
//! Invariants: the socket is never accessible to others, not even for a moment; the path always leads to the newest
//! agent; an agent that ends removes only its own file.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process;

use rustix::fs::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};
use tiny_http::{Header, Method, Response, Server};

/// A bound and listening control socket; its file is removed on close or drop.
pub struct ControlSocket {
    server: Server,
    path: PathBuf,
    identity: FileIdentity,
}

/// A request received over the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRequest {
    pub verb: ControlVerb,
    pub path: String,
    /// Decoded query parameters, in order
    pub parameters: Vec<(String, String)>,
}

/// The HTTP method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlVerb {
    Get,
    Post,
    Other,
}

/// A response: a status and one JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlAnswer {
    pub status: u16,
    pub json: String,
}

/// The identity of the file at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileIdentity {
    device: u64,
    inode: u64,
}

impl ControlSocket {
    /// Opens the socket at `path`, replacing the file of an earlier agent. Creates missing directories.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let draft = draft(path);
        let listener = listen(&draft)?;
        let identity = FileIdentity::of(&draft)?;
        let server = Server::from_listener(listener, None).map_err(io::Error::other)?;
        fs::rename(&draft, path).inspect_err(|_| drop(fs::remove_file(&draft)))?;
        Ok(Self { server, path: path.to_owned(), identity })
    }

    /// Answers requests, one at a time, until [`ControlSocket::close`].
    pub fn serve(&self, answer: &dyn Fn(&ControlRequest) -> ControlAnswer) {
        while let Ok(request) = self.server.recv() {
            let ControlAnswer { status, json } = answer(&ControlRequest::of(request.method(), request.url()));
            let response = Response::from_string(format!("{json}\n")).with_status_code(status);
            let response = header().into_iter().fold(response, Response::with_header);
            let _ = request.respond(response); // the client may have disconnected
        }
    }

    /// Removes the file if it is this agent's, and ends [`ControlSocket::serve`] on its thread.
    pub fn close(&self) {
        if FileIdentity::of(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path); // the next agent replaces a leftover file
        }
        self.server.unblock();
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.close();
    }
}

impl ControlRequest {
    fn of(method: &Method, target: &str) -> Self {
        let verb = match method {
            Method::Get => ControlVerb::Get,
            Method::Post => ControlVerb::Post,
            _ => ControlVerb::Other,
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parameters = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self { verb, path: path.to_owned(), parameters }
    }

    /// The value of a query parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl FileIdentity {
    fn of(path: &Path) -> io::Result<Self> {
        fs::symlink_metadata(path).map(|found| Self { device: found.dev(), inode: found.ino() })
    }
}

/// A temporary name beside `path`, renamed once the socket listens: a client reaches the old agent or the new one.
fn draft(path: &Path) -> PathBuf {
    path.with_file_name(format!(".{}", process::id()))
}

/// Listens at `path`. On Linux the file gets the mode that the socket has at bind (unix(7)), so others can never
/// connect.
fn listen(path: &Path) -> io::Result<UnixListener> {
    if path.exists() {
        fs::remove_file(path)?; // left by a killed process with the same pid
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    Ok(UnixListener::from(OwnedFd::from(socket)))
}

fn header() -> Option<Header> {
    Header::from_bytes("Content-Type", "application/json").ok()
}

/// Enough for an operator and a few scripts.
const BACKLOG: i32 = 16;

#[cfg(test)]
mod tests;
