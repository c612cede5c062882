//! The server where the system gives it no more descriptors or threads. Crowds before the whole agent, and what they cost
//! others, are in `closed/hostile.rs`.
//!
//! Limits of the whole process are changed here, hence a binary of its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of this is test code, helpers too")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use kube2iam::for_tests::{
    Clock, ConnectionEvent, Drained, Endpoints, Front, Handler, Limits, LocalPods, Mono, Now, Observer, Request,
    Response, Server, Wall, bind,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

/// Longer than anything here takes; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

struct RealClock;

impl Clock for RealClock {
    #[allow(clippy::disallowed_methods, reason = "the deadlines under test are those of real sockets")]
    fn now(&self) -> Now {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        let since = ORIGIN.get_or_init(Instant::now).elapsed();
        let mono = Mono::from_micros(u64::try_from(since.as_micros()).unwrap());
        Now { mono, wall: Wall::from_unix_seconds(1_795_412_524) }
    }
}

struct Fixed;

impl Handler for Fixed {
    fn handle(&self, _: &Request<'_>, _: &Endpoints<'_>) -> Response {
        Response::text(200, "my-role")
    }
}

struct Events(Sender<ConnectionEvent>);

impl Observer for Events {
    fn saw(&self, event: &ConnectionEvent) {
        let _ = self.0.send(*event);
    }
}

struct House {
    server: Server,
    address: SocketAddr,
    events: Receiver<ConnectionEvent>,
}

impl House {
    fn open() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        // Strangers are the other addresses of 127/8.
        let listener = bind(Some(Ipv4Addr::UNSPECIFIED.into()), 0).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (saw, events) = unbounded();
        let front = Front {
            limits,
            handler: Arc::new(Fixed),
            observer: Arc::new(Events(saw)),
            clock: Arc::new(RealClock),
            own_address: Box::new(|_| false),
            local_pods: LocalPods::None,
        };
        let server = Server::start(vec![listener], front).unwrap();
        Self { server, address: (Ipv4Addr::LOCALHOST, port).into(), events }
    }

    fn await_event(&self, expected: impl Fn(&ConnectionEvent) -> bool) {
        for _ in 0..1_000_000 {
            if expected(&self.events.recv_timeout(PATIENCE).expect("the event should come")) {
                return;
            }
        }
        panic!("too many other events");
    }
}

/// A socket of the peer `127.0.0.number` that isn't connected yet.
fn socket(number: u8) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, number], 0)).into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn connected(number: u8, address: SocketAddr) -> TcpStream {
    let socket = socket(number);
    socket.connect_timeout(&address.into(), PATIENCE).unwrap();
    socket.into()
}

/// One request over a connection of its own.
fn exchange(number: u8, address: SocketAddr) {
    let mut stream = connected(number, address);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.ends_with("my-role"), "{reply:?}");
}

/// A lower limit of the process, until this is dropped: what runs after a test that fails has its resources again.
struct Tight(Resource, Rlimit);

impl Tight {
    fn to(resource: Resource, current: u64) -> Self {
        let before = getrlimit(resource);
        setrlimit(resource, Rlimit { current: Some(current), maximum: before.maximum }).unwrap();
        Self(resource, before)
    }
}

impl Drop for Tight {
    fn drop(&mut self) {
        let _ = setrlimit(self.0, self.1);
    }
}

/// One after the other on one thread: under a limit on address space the other's thread may fail to start.
#[test]
fn a_system_without_descriptors_or_threads_costs_idle_connections_only() {
    descriptor_exhaustion_sheds_idle_connections_and_passes();
    thread_exhaustion_serves_the_newest_at_the_cost_of_the_idle();
}

fn descriptor_exhaustion_sheds_idle_connections_and_passes() {
    let house = House::open();
    // Connecting takes no descriptor that the client doesn't hold already; accepting does.
    let sockets: Vec<_> = (0..60).map(|number| socket(2 + number % 30)).collect();
    let spare = 20;
    let lowest_free = std::fs::File::open("/dev/null").map(|file| std::os::fd::AsRawFd::as_raw_fd(&file)).unwrap();
    let tight = Tight::to(Resource::Nofile, u64::try_from(lowest_free).unwrap() + spare);

    let clients: Vec<TcpStream> = sockets
        .into_iter()
        .map(|socket| {
            socket.connect_timeout(&house.address.into(), PATIENCE).unwrap();
            socket.into()
        })
        .collect();
    house.await_event(|event| matches!(event, ConnectionEvent::AcceptFailed { errno } if *errno == EMFILE));
    house.await_event(|event| matches!(event, ConnectionEvent::Evicted { .. }));
    // The last in the queue gets its turn: those before it, silent, were sent away.
    let mut last = clients.last().unwrap();
    last.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut reply = String::new();
    last.read_to_string(&mut reply).unwrap();
    assert!(reply.ends_with("my-role"), "{reply:?}");

    drop(tight);
    drop(clients);
    exchange(1, house.address);
    assert_eq!(house.server.shut_down(PATIENCE), Drained { unfinished: 0 });
}

/// `EMFILE` on Linux.
const EMFILE: i32 = 24;

fn thread_exhaustion_serves_the_newest_at_the_cost_of_the_idle() {
    const STACK: usize = 16 * 1024 * 1024;
    let house = House::with(Limits { stack: STACK, ..Limits::default() });
    // Its threads have started, and reserved what the allocator gives each of them.
    exchange(1, house.address);
    // Address space for a few more stacks, and some for everything else.
    let tight = Tight::to(Resource::As, u64::try_from(kib_of("VmSize:") * 1024 + 4 * STACK).unwrap());
    let mut clients: Vec<_> = (0..20).map(|number| connected(2 + number, house.address)).collect();
    house.await_event(|event| matches!(event, ConnectionEvent::Evicted { .. }));
    let mut last = clients.pop().unwrap();
    last.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut reply = String::new();
    last.read_to_string(&mut reply).unwrap();
    assert!(reply.ends_with("my-role"), "{reply:?}");
    assert!(house.server.workers() < 5);
    drop(tight);
    assert_eq!(house.server.shut_down(PATIENCE), Drained { unfinished: 0 });
}

/// A line of the process's own status.
fn kib_of(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
