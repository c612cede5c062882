//! The server over real loopback sockets. No test sleeps: a client's read ends with a response, the end of the stream
//! or its own timeout, and tests wait for the server's events.

mod bodies;
mod crowds;
mod hostile;
mod requests;
mod shutdown;
mod workers;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use socket2::{Domain, SockRef, Socket, Type};

use super::*;
use crate::logic::base::time::{Mono, Now, Wall};
use crate::logic::request::message::Body;

/// Longer than any step takes; only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// The system clock, so that deadlines are real.
struct RealClock;

impl Clock for RealClock {
    #[allow(clippy::disallowed_methods, reason = "the deadlines under test are those of real sockets")]
    fn now(&self) -> Now {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        let since = ORIGIN.get_or_init(Instant::now).elapsed();
        let micros = u64::try_from(since.as_micros()).unwrap();
        Now { mono: Mono::from_micros(micros), wall: Wall::from_unix_seconds(1_795_412_524) }
    }
}

fn elapsed_since(start: Mono) -> Duration {
    RealClock.now().mono.since(start)
}

/// Waits for a condition that the server's threads bring about.
fn wait_until(condition: impl Fn() -> bool) {
    let deadline = RealClock.now().mono.after(PATIENCE);
    while !condition() {
        assert!(RealClock.now().mono < deadline, "the condition never became true");
        std::thread::yield_now();
    }
}

struct Events(Sender<ConnectionEvent>);

impl Observer for Events {
    fn saw(&self, event: &ConnectionEvent) {
        let _ = self.0.send(*event);
    }
}

/// Answers by request target; requests to `/wait` are released one by one through the gate.
struct TestHandler {
    arrived: Sender<()>,
    gate: Receiver<()>,
}

impl Handler for TestHandler {
    fn handle(&self, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Response {
        match request.target {
            "/panic" => panic!("planned"),
            "/wait" => {
                self.arrived.send(()).unwrap();
                self.gate.recv_timeout(PATIENCE).unwrap();
                Response::text(200, "waited")
            }
            "/big" => Response::text(200, vec![b'x'; BIG]),
            "/peer" => Response::text(200, endpoints.peer.to_string()),
            "/destination" => Response::text(200, format!("{:?}", endpoints.original_destination())),
            "/static" => Response { body: Body::Static(b"static"), ..Response::empty(200) },
            target => match target.strip_prefix("/stream/") {
                Some(kind) => Response { body: bodies::stream(kind), ..Response::empty(200) },
                None => Response::text(200, format!("{} {target}", request.method.label())),
            },
        }
    }
}

/// Bytes; more than the kernel buffers of a connection hold.
const BIG: usize = 8 * 1024 * 1024;

struct TestServer {
    server: Server,
    address: SocketAddr,
    events: Receiver<ConnectionEvent>,
    arrived: Receiver<()>,
    gate: Sender<()>,
}

impl TestServer {
    fn open() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        Self::among(limits, LocalPods::None)
    }

    fn among(limits: Limits, local_pods: LocalPods) -> Self {
        let listener = bind(Some(Ipv4Addr::UNSPECIFIED.into()), 0).unwrap();
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), listener.local_addr().unwrap().port());
        let (arrived_in, arrived) = unbounded();
        let (gate, gate_out) = unbounded();
        let (saw, events) = unbounded();
        let front = Front {
            limits,
            handler: Arc::new(TestHandler { arrived: arrived_in, gate: gate_out }),
            observer: Arc::new(Events(saw)),
            clock: Arc::new(RealClock),
            own_address: Box::new(|_| false),
            local_pods,
        };
        let server = Server::start(vec![listener], front).unwrap();
        Self { server, address, events, arrived, gate }
    }

    /// Connects as the node itself.
    fn client(&self) -> Client {
        self.client_from(1)
    }

    /// Connects as the peer `127.0.0.number`; all but the first are not the node.
    fn client_from(&self, number: u8) -> Client {
        self.client_over(Socket::new(Domain::IPV4, Type::STREAM, None).unwrap(), number)
    }

    /// Connects as the node itself, with a small receive buffer.
    fn client_with_small_window(&self) -> Client {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4 * 1024).unwrap();
        self.client_over(socket, 1)
    }

    fn client_over(&self, socket: Socket, number: u8) -> Client {
        socket.bind(&SocketAddr::from(([127, 0, 0, number], 0)).into()).unwrap();
        socket.connect_timeout(&self.address.into(), PATIENCE).unwrap();
        Client::over(socket.into())
    }

    /// Waits until the server reports an `expected` event; earlier events are skipped.
    fn await_event(&self, expected: impl Fn(&ConnectionEvent) -> bool) -> ConnectionEvent {
        for _ in 0..100_000 {
            let event = self.events.recv_timeout(PATIENCE).expect("the event should arrive");
            if expected(&event) {
                return event;
            }
        }
        panic!("too many other events");
    }

    fn await_bad_head(&self, expected: BadHead) {
        self.await_event(|event| matches!(event, ConnectionEvent::BadHead { bad, .. } if *bad == expected));
    }

    /// Sends `bytes` over a new connection and returns everything received until it closes.
    fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut client = self.client();
        client.send(bytes);
        client.rest()
    }
}

fn peer(number: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, number])
}

struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

#[derive(Debug, PartialEq, Eq)]
struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Client {
    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { stream, reader }
    }

    /// Ignores write errors: they show in what is read.
    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    fn get(&mut self, target: &str) -> Reply {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        self.reply()
    }

    fn head_of_reply(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = self.reader.read_line(&mut head).expect("a reply should arrive");
            assert_ne!(read, 0, "the connection ended after {head:?}");
        }
        head
    }

    /// Reads one reply with a `Content-Length`.
    fn reply(&mut self) -> Reply {
        let head = self.head_of_reply();
        let length = header(&head, "Content-Length").expect("a length").parse().unwrap();
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).unwrap();
        let status = head[9..12].parse().unwrap();
        Reply { status, head, body: String::from_utf8(body).unwrap() }
    }

    /// A complete reply, or `None` if the connection closed before its first byte.
    fn reply_if_any(&mut self) -> Option<Reply> {
        let begun = self.reader.fill_buf().is_ok_and(|bytes| !bytes.is_empty());
        begun.then(|| self.reply())
    }

    /// Reads until the server closes the connection without a reset.
    fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).expect("the server should close without a reset");
        String::from_utf8(rest).unwrap()
    }

    /// Whether the server closed or reset the connection without sending another byte.
    fn is_closed(&mut self) -> bool {
        match self.reader.read(&mut [0]) {
            Ok(read) => read == 0,
            Err(error) => !super::timed_writer::is_timeout(&error),
        }
    }

    /// Closes the connection with RST.
    fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}
