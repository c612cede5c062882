//! One request at a stand-in, and every way to answer it, the broken ones included.
//! Replies are written by hand: a stand-in must be able to say what a correct server never would.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kube2iam::for_tests::Wall;

use super::wire::Board;

/// A request that waits for its answer.
pub struct Exchange {
    request: tiny_http::Request,
    connection: Connection,
}

impl Exchange {
    pub fn new(request: tiny_http::Request, board: Arc<Board>) -> Self {
        let peer = *request.remote_addr().expect("a TCP peer has an address");
        Self { request, connection: Connection { board, peer } }
    }

    pub fn method(&self) -> String {
        self.request.method().to_string()
    }

    /// The request target as it stood in the request line.
    pub fn target(&self) -> &str {
        self.request.url()
    }

    pub fn headers(&self) -> Vec<(String, String)> {
        self.request.headers().iter().map(|header| (header.field.to_string(), header.value.to_string())).collect()
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let mut headers = self.request.headers().iter();
        headers
            .find(|header| header.field.as_str().as_str().eq_ignore_ascii_case(name))
            .map(|header| header.value.to_string())
    }

    pub fn body(&mut self) -> String {
        let mut bytes = Vec::new();
        let _ = self.request.as_reader().take(MAX_BODY).read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub fn answer(self, reply: Reply) {
        let head_only = *self.request.method() == tiny_http::Method::Head;
        let mut bytes = reply.head().into_bytes();
        if !head_only {
            reply.write_body(&mut bytes);
        }
        let mut writer = self.request.into_writer();
        let _ = writer.write_all(&bytes).and_then(|()| writer.flush());
        drop(writer);
        if matches!(reply.framing, Framing::Closing | Framing::HalfBody) {
            self.connection.finish();
        }
    }

    /// Answers 200 with a body of which nobody knows the end.
    pub fn stream(self, headers: &[(&'static str, String)]) -> Stream {
        let head = Reply { status: 200, headers: headers.to_vec(), body: Vec::new(), framing: Framing::Chunked }.head();
        let mut stream = Stream { writer: self.request.into_writer(), connection: self.connection };
        let _ = stream.writer.write_all(head.as_bytes()).and_then(|()| stream.writer.flush());
        stream
    }

    /// Hangs up without a word.
    pub fn close(self) {
        self.connection.cut();
    }

    /// Says nothing until the client goes away.
    pub fn hang(self) {
        self.connection.wait_closed();
        self.connection.cut();
    }
}

/// The client's end, as far as a stand-in cares.
pub struct Connection {
    board: Arc<Board>,
    peer: SocketAddr,
}

impl Connection {
    pub fn is_open(&self) -> bool {
        self.board.is_open(self.peer)
    }

    pub fn cut(&self) {
        self.board.cut(self.peer);
    }

    fn wait_closed(&self) {
        self.board.wait_closed(self.peer, HANG_LIMIT);
    }

    /// Hangs up after the last byte that was written.
    fn finish(&self) {
        self.board.finish(self.peer);
    }
}

/// A whole answer.
#[derive(Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    pub framing: Framing,
}

/// How the end of a body is made known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Length,
    /// With `Connection: close`, as the metadata service does it.
    Closing,
    Chunked,
    /// The whole length is announced, half of the body comes, then the connection ends.
    HalfBody,
}

impl Reply {
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type", content_type.to_owned())];
        Self { status, headers, body: body.into(), framing: Framing::Length }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn framed(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.headers.iter().any(|(name, _)| *name == "Date") {
            head.push_str(&format!("Date: {}\r\n", wall_now().http_date()));
        }
        match self.framing {
            Framing::Length | Framing::HalfBody => head.push_str(&format!("Content-Length: {}\r\n", self.body.len())),
            Framing::Closing => {
                head.push_str(&format!("Content-Length: {}\r\nConnection: close\r\n", self.body.len()));
            }
            Framing::Chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
        }
        head.push_str("\r\n");
        head
    }

    fn write_body(&self, out: &mut Vec<u8>) {
        match self.framing {
            Framing::Length | Framing::Closing => out.extend_from_slice(&self.body),
            Framing::HalfBody => out.extend_from_slice(&self.body[..self.body.len() / 2]),
            Framing::Chunked => {
                for part in self.body.chunks(CHUNK) {
                    out.extend_from_slice(&chunk(part));
                }
                out.extend_from_slice(b"0\r\n\r\n");
            }
        }
    }
}

/// A chunked body on its way. Every piece is flushed at once. Dropped without [`Stream::end`], the client waits on.
pub struct Stream {
    writer: Box<dyn Write + Send>,
    connection: Connection,
}

impl Stream {
    /// Sends one chunk. An error means that the client has gone.
    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.writer.write_all(&chunk(bytes))?;
        self.writer.flush()
    }

    pub fn is_open(&self) -> bool {
        self.connection.is_open()
    }

    /// Ends the body in good order; the connection lives on.
    pub fn end(mut self) {
        let _ = self.writer.write_all(b"0\r\n\r\n").and_then(|()| self.writer.flush());
    }

    /// Hangs up in the middle of the body, after the last byte that was sent.
    pub fn close(self) {
        drop(self.writer);
        self.connection.finish();
    }

    /// Sends nothing more until the client goes away.
    pub fn hang(self) {
        self.connection.wait_closed();
        self.connection.cut();
    }
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut out = format!("{:x}\r\n", bytes.len()).into_bytes();
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
    out
}

/// The system's time; stand-ins date what they grant by it, as AWS does.
pub fn wall_now() -> Wall {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    Wall::from_unix_seconds(i64::try_from(since_epoch.as_secs()).expect("seconds fit for ages"))
}

fn reason(status: u16) -> &'static str {
    tiny_http::StatusCode(status).default_reason_phrase()
}

/// What a stand-in reads of a body.
const MAX_BODY: u64 = 1 << 20;
/// Longer than any deadline of the agent, short enough to end with the test.
const HANG_LIMIT: Duration = Duration::from_secs(120);
const CHUNK: usize = 8 * 1024;
