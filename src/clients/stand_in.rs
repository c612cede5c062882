//! A loopback HTTP server for the tests of this room; a closure decides the response to each request.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::logic::base::time::{Now, Wall};
use crate::os::clock::SystemClock;
use crate::os::threads;
use crate::ports::Clock;

/// A received request.
#[derive(Clone, Debug)]
pub(super) struct SeenRequest {
    /// `GET /path`
    pub(super) line: String,
    /// Names in lower case
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl SeenRequest {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// How the server reacts to a request.
pub(super) enum Act {
    /// Sends the text; the connection stays open.
    Say(String),
    /// Sends the text, then closes the connection.
    SayAndClose(String),
    /// Sends nothing until the test is over.
    Hang,
    /// Closes the connection without a response.
    Close,
}

pub(super) struct StandIn {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<SeenRequest>>>,
    over: Arc<AtomicBool>,
}

type Decide = dyn Fn(&SeenRequest, usize) -> Act + Send + Sync;

impl StandIn {
    /// Serves until dropped. `decide` gets each request and the number of earlier ones.
    pub(super) fn start(decide: impl Fn(&SeenRequest, usize) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stand_in = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            over: Arc::new(AtomicBool::new(false)),
        };
        let (seen, over) = (Arc::clone(&stand_in.seen), Arc::clone(&stand_in.over));
        let decide: Arc<Decide> = Arc::new(decide);
        threads::spawn("stand-in", threads::STACK_BYTES, move || {
            for connection in listener.incoming() {
                if over.load(Ordering::Acquire) {
                    break;
                }
                let (seen, over, decide) = (Arc::clone(&seen), Arc::clone(&over), Arc::clone(&decide));
                let serve = move || drop(serve(connection.unwrap(), &seen, &over, &*decide));
                threads::spawn("stand-in-conn", threads::STACK_BYTES, serve).unwrap();
            }
        })
        .unwrap();
        stand_in
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn seen(&self) -> Vec<SeenRequest> {
        self.seen.lock().clone()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address));
    }
}

/// A response with `Content-Length`.
pub(super) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status} Said\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A clock with a wall time set by the test.
pub(super) struct WallAt {
    system: SystemClock,
    wall: Mutex<Wall>,
    /// Added to the system's monotonic time
    ahead: Mutex<Duration>,
}

impl WallAt {
    pub(super) fn new(wall: Wall) -> Arc<Self> {
        Arc::new(Self { system: SystemClock::new(), wall: Mutex::new(wall), ahead: Mutex::default() })
    }

    /// Advances both clocks.
    pub(super) fn advance(&self, span: Duration) {
        let mut wall = self.wall.lock();
        *wall = wall.after(span);
        *self.ahead.lock() += span;
    }
}

impl Clock for WallAt {
    fn now(&self) -> Now {
        Now { mono: self.system.now().mono.after(*self.ahead.lock()), wall: *self.wall.lock() }
    }
}

/// A URL that refuses connections.
pub(super) fn refused_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<SeenRequest>>,
    over: &AtomicBool,
    decide: &Decide,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(TICK))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = read_request(&mut reader, over)? {
        let before = {
            let mut seen = seen.lock();
            seen.push(request.clone());
            seen.len() - 1
        };
        match decide(&request, before) {
            Act::Say(answer) => stream.write_all(answer.as_bytes())?,
            Act::SayAndClose(answer) => return stream.write_all(answer.as_bytes()),
            Act::Hang => drop(read_request(&mut reader, over)),
            Act::Close => return Ok(()),
        }
    }
    Ok(())
}

fn read_request(reader: &mut BufReader<TcpStream>, over: &AtomicBool) -> std::io::Result<Option<SeenRequest>> {
    let mut first = String::new();
    while !first.ends_with('\n') {
        match reader.read_line(&mut first) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(_) if over.load(Ordering::Acquire) => return Ok(None),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length =
        headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let line = first.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    Ok(Some(SeenRequest { line, headers, body: String::from_utf8(body).unwrap() }))
}

/// How often a hanging connection checks whether its test is over.
const TICK: Duration = Duration::from_millis(50);
