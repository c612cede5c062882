//! A crowd that means harm: so many connections, each of some kind, kept up until it is told to stop.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, SockRef, Socket, Type};

/// What one connection of the crowd does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing at all
    Silent,
    /// Half a head, then nothing
    Half,
    /// A head that never ends, byte by byte
    Drips,
    /// A body that never ends, byte by byte
    SlowWriter,
    /// Many requests, and no eye for the answers
    NeverReads,
    /// The same, reading a little now and then
    SlowReader,
    /// Ends with RST, and comes again
    Resets,
    /// Says what can be read in two ways, and comes again
    Lies,
    /// Asks for a role at an address that no pod has, and comes again
    Waits,
}

const KINDS: [Kind; 9] = [
    Kind::Silent,
    Kind::Half,
    Kind::Drips,
    Kind::SlowWriter,
    Kind::NeverReads,
    Kind::SlowReader,
    Kind::Resets,
    Kind::Lies,
    Kind::Waits,
];

/// A crowd at work, on a thread of its own.
pub struct Siege {
    stop: Arc<AtomicBool>,
    opened: Arc<AtomicUsize>,
    crowd: std::thread::JoinHandle<Crowd>,
}

impl Siege {
    /// So many connections from so many addresses, all of them up when this returns.
    pub fn lay(server: SocketAddr, connections: usize, addresses: u8) -> Self {
        let (stop, opened) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut crowd = Crowd { server, addresses, opened: opened.clone(), members: Vec::new() };
        (0..connections).for_each(|number| crowd.join(number));
        let stopping = stop.clone();
        let crowd = std::thread::spawn(move || {
            while !stopping.load(Ordering::Relaxed) {
                crowd.press();
                // It is the agent's time that is attacked, not the machine's.
                std::thread::sleep(Duration::from_millis(1));
            }
            crowd
        });
        Self { stop, opened, crowd }
    }

    /// Gives up: whoever is connected still is, and does nothing any more.
    pub fn lift(self) -> Crowd {
        self.stop.store(true, Ordering::Relaxed);
        self.crowd.join().unwrap()
    }

    pub fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }
}

pub struct Crowd {
    server: SocketAddr,
    addresses: u8,
    opened: Arc<AtomicUsize>,
    members: Vec<(Kind, TcpStream)>,
}

impl Crowd {
    fn join(&mut self, number: usize) {
        let member = self.open(number);
        self.members.push(member);
    }

    fn open(&self, number: usize) -> (Kind, TcpStream) {
        let kind = KINDS[number % KINDS.len()];
        let from = u8::try_from(number % usize::from(self.addresses)).unwrap() + 1;
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 1, from], 0)).into()).unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        socket.connect_timeout(&self.server.into(), LONG).unwrap();
        self.opened.fetch_add(1, Ordering::Relaxed);
        let mut stream = TcpStream::from(socket);
        stream.set_nonblocking(true).unwrap();
        let _ = stream.write_all(kind.opening().as_bytes());
        (kind, stream)
    }

    /// Everybody does a little.
    fn press(&mut self) {
        for number in 0..self.members.len() {
            let (kind, stream) = &mut self.members[number];
            if kind.presses(stream, number) {
                continue;
            }
            if *kind == Kind::Resets {
                let _ = SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
            }
            self.members[number] = self.open(number);
        }
    }
}

impl Kind {
    fn opening(self) -> String {
        let pipeline = "GET /latest/meta-data/iam/info HTTP/1.1\r\nHost: x\r\n\r\n";
        match self {
            Self::Silent => String::new(),
            Self::Half | Self::Resets => "GET /latest/meta-data/ HTTP/1.1\r\nHost: ".to_owned(),
            Self::Drips => "GET /latest/meta-data/ HTTP/1.1\r\nX: ".to_owned(),
            Self::SlowWriter => {
                "POST /latest/meta-data/ HTTP/1.1\r\nHost: x\r\nContent-Length: 8000\r\n\r\n".to_owned()
            }
            Self::NeverReads | Self::SlowReader => pipeline.repeat(100),
            Self::Lies => "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            Self::Waits => "GET /latest/meta-data/iam/security-credentials/ HTTP/1.0\r\n\r\n".to_owned(),
        }
    }

    /// Does its part; `false` if the connection is over, or should be.
    fn presses(self, stream: &mut TcpStream, number: usize) -> bool {
        let mut bytes = [0; 64];
        match self {
            Self::Silent | Self::Half | Self::Lies | Self::Waits => is_open(stream.read(&mut bytes)),
            Self::Drips | Self::SlowWriter => is_open(stream.write(b"x")),
            Self::NeverReads => is_open(stream.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")),
            Self::SlowReader => is_open(stream.read(&mut bytes)),
            // Not all at once.
            Self::Resets => !number.is_multiple_of(16),
        }
    }
}

fn is_open(outcome: std::io::Result<usize>) -> bool {
    match outcome {
        Ok(count) => count > 0,
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    }
}

/// Lets this process hold as many descriptors as it may, and tells how many that are.
pub fn raise_descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    usize::try_from(limit.maximum.unwrap_or(u64::MAX)).unwrap_or(usize::MAX)
}

/// Longer than anything here takes; only a failing test waits for it.
const LONG: Duration = Duration::from_secs(20);
