//! Finds the process that holds a port, in `/proc`, and whether it answers like kube2iam.

use std::fs::{File, read_dir, read_link, read_to_string};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::logic::operator::port_holder::{
    HolderProcess, ListeningSocket, PortAnswer, PortHolder, listening, read_health,
};
use crate::ports::Clock;

/// The processes that listen on `port` in this network namespace, as far as visible: processes of other containers
/// aren't, nor are those of other users without the right to trace them.
pub fn holders(port: u16) -> Vec<PortHolder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let sockets = tables.into_iter().flat_map(|path| listening(&table(Path::new(path)), port));
    let mut holders: Vec<PortHolder> = Vec::new();
    for ListeningSocket { uid, inode } in sockets {
        let holder = PortHolder { uid, process: process(inode) };
        if !holders.contains(&holder) {
            holders.push(holder);
        }
    }
    holders
}

/// The lines of listening sockets, which the kernel lists before connected ones.
fn table(path: &Path) -> String {
    let Ok(file) = File::open(path) else { return String::new() };
    let is_over = |line: &str| line.split_ascii_whitespace().nth(3).is_some_and(|state| !["st", "0A"].contains(&state));
    let lines = BufReader::new(file.take(MAX_TABLE_BYTES)).lines().map_while(Result::ok);
    lines.take_while(|line| !is_over(line)).map(|line| line + "\n").collect()
}

/// The first process found that has the socket open.
fn process(inode: u64) -> Option<HolderProcess> {
    let wanted = format!("socket:[{inode}]");
    let mut left = MAX_DESCRIPTORS;
    for entry in read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        for descriptor in read_dir(entry.path().join("fd")).into_iter().flatten().flatten() {
            left = left.checked_sub(1)?;
            if read_link(descriptor.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str()) {
                let command = read_to_string(entry.path().join("comm")).unwrap_or_default();
                return Some(HolderProcess { pid, command: command.trim_end().to_owned() });
            }
        }
    }
    None
}

/// Requests `/healthz`. Takes at most [`TIMEOUT`], since the redirect may wait for the result.
pub fn ask_health(address: SocketAddr, clock: &dyn Clock) -> PortAnswer {
    match exchange(address, clock) {
        Ok(answer) => read_health(&answer),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => PortAnswer::Refused,
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
            PortAnswer::Otherwise
        }
        Err(_) => PortAnswer::Nothing,
    }
}

fn exchange(address: SocketAddr, clock: &dyn Clock) -> std::io::Result<Vec<u8>> {
    let deadline = clock.now().mono.after(TIMEOUT);
    let left = || match clock.now().mono.until(deadline) {
        left if left.is_zero() => Err(std::io::Error::from(ErrorKind::TimedOut)),
        left => Ok(left),
    };
    let mut stream = TcpStream::connect_timeout(&address, left()?)?;
    stream.set_write_timeout(Some(left()?))?;
    // HTTP/1.0 excludes keep-alive and chunked responses.
    stream.write_all(format!("GET /healthz HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; READ_BYTES];
    // Some servers keep the connection open anyway: then the bytes received in time are the response.
    while answer.len() < MAX_RESPONSE_BYTES && read_health(&answer) != PortAnswer::AsKube2iam {
        let read = left().and_then(|left| stream.set_read_timeout(Some(left))).and_then(|()| stream.read(&mut piece));
        match read {
            Ok(0) => break,
            Ok(length) => answer.extend_from_slice(&piece[..length]),
            Err(error) if answer.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(answer)
}

/// Bytes; several thousand listening sockets.
const MAX_TABLE_BYTES: u64 = 1 << 20;
/// Descriptors inspected, of all processes together.
const MAX_DESCRIPTORS: u32 = 100_000;
/// kube2iam answers from memory, well within this.
const TIMEOUT: Duration = Duration::from_millis(500);
const MAX_RESPONSE_BYTES: usize = 4 * 1024;
const READ_BYTES: usize = 1024;

#[cfg(test)]
mod tests;
