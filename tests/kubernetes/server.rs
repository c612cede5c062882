//! A stand-in API server on a loopback socket: plays replies in order, and remembers what it was asked.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// What is sent when the next request has arrived.
#[derive(Clone)]
pub(crate) struct Reply {
    pub(crate) bytes: Vec<u8>,
    pub(crate) then: Then,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// The next request may follow on the same connection.
    KeepOpen,
    Close,
    /// Say nothing more until the client hangs up.
    Hold,
    /// Send one line that never ends, until the client hangs up.
    Babble,
}

/// Whatever a connection is wrapped into.
pub(crate) trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}
pub(crate) type Wrap = Box<dyn Fn(TcpStream) -> io::Result<Box<dyn Wire>> + Send>;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    requests: Vec<String>,
    connections: usize,
}

impl Server {
    pub(crate) fn play(replies: Vec<Reply>) -> Self {
        Self::play_over(replies, Box::new(|stream| Ok(Box::new(stream))))
    }

    pub(crate) fn play_over(replies: Vec<Reply>, wrap: Wrap) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let theirs = Arc::clone(&seen);
        let run = move || {
            let mut replies = replies.into_iter();
            while replies.len() > 0 {
                let Ok((stream, _)) = listener.accept() else { return };
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_write_timeout(Some(PATIENCE)).unwrap();
                theirs.lock().unwrap().connections += 1;
                // A handshake may fail on purpose.
                if let Ok(mut wire) = wrap(stream) {
                    converse(&mut *wire, &mut replies, &theirs);
                }
            }
        };
        let thread = Builder::new().name("stand-in".to_owned()).spawn(run).unwrap();
        Self { address, seen, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads of all requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().requests.clone()
    }

    /// The request lines of all requests so far, without method and version.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.requests().iter().map(|head| head.split(' ').nth(1).unwrap().to_owned()).collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    /// Waits until all replies were played.
    pub(crate) fn finish(mut self) -> Vec<String> {
        self.thread.take().unwrap().join().unwrap();
        self.requests()
    }
}

/// Answers one request after the other on a connection.
fn converse(wire: &mut dyn Wire, replies: &mut impl Iterator<Item = Reply>, seen: &Mutex<Seen>) {
    loop {
        let Some(head) = read_head(wire) else { return };
        seen.lock().unwrap().requests.push(head);
        let Some(reply) = replies.next() else { return };
        if wire.write_all(&reply.bytes).and_then(|()| wire.flush()).is_err() {
            return;
        }
        match reply.then {
            Then::KeepOpen => {}
            Then::Close => return,
            Then::Hold => drop(wire.read(&mut [0])),
            Then::Babble => while wire.write_all(&[b'x'; 4096]).is_ok() {},
        }
    }
}

fn read_head(wire: &mut dyn Wire) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match wire.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    Some(String::from_utf8(head).unwrap())
}

impl Reply {
    /// A recorded answer, its body in chunks again.
    pub(crate) fn recorded(name: &str) -> Self {
        let path = format!("{}/tests/fixtures/kubernetes/{name}.http", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let head = head.split_once("HTTP/1.1 ").unwrap().1;
        let mut bytes = format!("HTTP/1.1 {head}\r\n\r\n").into_bytes();
        if head.contains("Transfer-Encoding: chunked") {
            bytes.extend(chunked(body.as_bytes()));
            bytes.extend(b"0\r\n\r\n");
        } else {
            bytes.extend(body.as_bytes());
        }
        Self { bytes, then: Then::KeepOpen }
    }

    /// A status with a body of known length.
    pub(crate) fn status(status: &str, headers: &str, body: &str) -> Self {
        let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len());
        Self { bytes: head.into_bytes(), then: Then::KeepOpen }
    }

    /// The beginning of an open watch.
    pub(crate) fn watch(lines: &str, then: Then) -> Self {
        let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        bytes.extend(chunked(lines.as_bytes()));
        if then == Then::Babble {
            bytes.extend(format!("{:x}\r\n", 1_u64 << 40).into_bytes());
        }
        Self { bytes, then }
    }

    /// These bytes and no more.
    pub(crate) fn raw(bytes: &[u8], then: Then) -> Self {
        Self { bytes: bytes.to_vec(), then }
    }
}

/// Pieces of no meaningful size, so that lines and items are torn apart.
fn chunked(body: &[u8]) -> Vec<u8> {
    let chunk = |piece: &[u8]| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
    body.chunks(1_009).flat_map(chunk).collect()
}

/// Longer than any test needs; a test that errs ends nevertheless.
const PATIENCE: Duration = Duration::from_secs(20);
