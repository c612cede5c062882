//! A tiny HTTP/1.1 client: raw bytes out, raw bytes in, from any loopback address, and never longer than its deadline.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// An answer, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|cause| panic!("no JSON ({cause}): {}", self.text()))
    }
}

/// Asks as the pod with the address `from`, as if through the metadata address.
pub fn get(server: SocketAddr, from: &str, path: &str) -> Answer {
    Ask::get(path).send(server, from)
}

/// Asks as an operator on the node: the `Host` is the agent's own address.
pub fn get_as_operator(server: SocketAddr, path: &str) -> Answer {
    Ask::get(path).host(&server.to_string()).send(server, "127.0.0.1")
}

/// Fetches an IMDSv2 token as a pod.
pub fn token(server: SocketAddr, from: &str) -> String {
    let answer = Ask::new("PUT", "/latest/api/token").header(TTL_HEADER, "21600").send(server, from);
    assert_eq!(answer.status, 200, "no token: {}", answer.text());
    answer.text()
}

/// Sends bytes as they are and gives all that comes back until the server hangs up or falls silent.
pub fn raw(server: SocketAddr, from: &str, bytes: &[u8]) -> Vec<u8> {
    let mut connection = Connection::open(server, from);
    connection.send(bytes);
    connection.read_to_end()
}

/// A request in the making. It has a `Host` and what is added, nothing else.
#[derive(Clone, Debug)]
pub struct Ask {
    method: String,
    target: String,
    host: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Ask {
    pub fn new(method: &str, target: &str) -> Self {
        let (method, target) = (method.to_owned(), target.to_owned());
        Self { method, target, host: METADATA_HOST.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a body and its `Content-Length`.
    pub fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self.header("Content-Length", &body.len().to_string())
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.host);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }

    /// Sends it on a connection of its own.
    pub fn send(&self, server: SocketAddr, from: &str) -> Answer {
        Connection::open(server, from).ask(self)
    }
}

/// An open connection; it can carry many requests.
pub struct Connection {
    stream: TcpStream,
    /// Read but not yet used.
    buffer: Vec<u8>,
}

impl Connection {
    pub fn open(server: SocketAddr, from: &str) -> Self {
        Self::try_open(server, from)
            .unwrap_or_else(|cause| panic!("failed to connect to {server} from {from}: {cause}"))
    }

    pub fn try_open(server: SocketAddr, from: &str) -> std::io::Result<Self> {
        let from: IpAddr = from.parse().expect("a pod's address");
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(from, 0).into())?;
        socket.connect_timeout(&server.into(), DEADLINE)?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    pub fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().expect("a connected socket has an address")
    }

    /// The socket itself; what was read ahead is not in it.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Another deadline for each read and write than 10 s.
    pub fn set_deadline(&self, deadline: Duration) {
        self.stream.set_read_timeout(Some(deadline)).expect("set a read timeout");
        self.stream.set_write_timeout(Some(deadline)).expect("set a write timeout");
    }

    /// Sends bytes as they are. A server that hung up is no failure here: the answer will show it.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Says that no more bytes will come.
    pub fn finish_sending(&self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    pub fn ask(&mut self, ask: &Ask) -> Answer {
        self.send(&ask.to_bytes());
        let answer = if ask.method == "HEAD" { self.read_head() } else { self.read_answer() };
        answer.unwrap_or_else(|cause| panic!("no answer to {} {}: {cause}", ask.method, ask.target))
    }

    /// Reads the next answer with its body.
    pub fn read_answer(&mut self) -> std::io::Result<Answer> {
        let head = self.read_head()?;
        self.read_body(head)
    }

    /// Reads the next answer byte for byte; its body must have a length.
    pub fn read_raw_answer(&mut self) -> std::io::Result<Vec<u8>> {
        let mut bytes = self.take_through(b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length = length.and_then(|text| text.trim().parse().ok());
        let body = self.take(length.ok_or_else(|| std::io::Error::other("an answer without a length"))?)?;
        bytes.extend(body);
        Ok(bytes)
    }

    /// Reads what follows an answer's head.
    pub fn read_body(&mut self, mut answer: Answer) -> std::io::Result<Answer> {
        let length = answer.header("Content-Length").map(|text| text.parse().unwrap_or(0));
        answer.body = match length {
            _ if answer.header("Transfer-Encoding").is_some() => self.read_chunks()?,
            Some(length) => self.take(length)?,
            None if matches!(answer.status, 100..=199 | 204 | 304) => Vec::new(),
            None => self.read_to_end(),
        };
        Ok(answer)
    }

    /// Reads the next answer's head, as that of a `HEAD` request has no body.
    pub fn read_head(&mut self) -> std::io::Result<Answer> {
        let head = self.take_through(b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status = status.ok_or_else(|| std::io::Error::other(format!("no status line: {head:?}")))?;
        let fields = lines.filter_map(|line| line.split_once(':'));
        let headers = fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        Ok(Answer { status, headers, body: Vec::new() })
    }

    /// All that comes until the server hangs up or falls silent for the deadline.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.buffer);
        let _ = self.stream.read_to_end(&mut all);
        all
    }

    /// One chunk of a body, `None` after the last.
    pub fn read_chunk(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let line = self.take_through(b"\r\n")?;
        let size = String::from_utf8_lossy(&line);
        let size = usize::from_str_radix(size.trim(), 16).map_err(std::io::Error::other)?;
        let mut chunk = self.take(size + 2)?;
        chunk.truncate(size);
        Ok((size > 0).then_some(chunk))
    }

    fn read_chunks(&mut self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = self.read_chunk()? {
            body.extend(chunk);
        }
        Ok(body)
    }

    fn take(&mut self, count: usize) -> std::io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            self.read_more()?;
        }
        Ok(self.buffer.drain(..count).collect())
    }

    fn take_through(&mut self, end: &[u8]) -> std::io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return Ok(self.buffer.drain(..at + end.len()).collect());
            }
            self.read_more()?;
        }
    }

    fn read_more(&mut self) -> std::io::Result<()> {
        let mut part = [0; 16 * 1024];
        match self.stream.read(&mut part) {
            Ok(0) => Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the server hung up")),
            Ok(count) => {
                self.buffer.extend_from_slice(&part[..count]);
                Ok(())
            }
            // A process that was stopped and goes on: a read with a timeout isn't taken up again (signal(7)).
            Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => Ok(()),
            Err(cause) => Err(cause),
        }
    }
}

/// What a pod's SDK sends as `Host`.
pub const METADATA_HOST: &str = "169.254.169.254";
pub const TTL_HEADER: &str = "X-aws-ec2-metadata-token-ttl-seconds";
pub const TOKEN_HEADER: &str = "X-aws-ec2-metadata-token";
/// For each connect, read and write.
const DEADLINE: Duration = Duration::from_secs(10);
