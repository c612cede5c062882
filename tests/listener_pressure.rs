//! The front door when the machine's resources are what is attacked: descriptors, threads, memory, time.
//!
//! These tests change or measure what belongs to the whole process, so they have a binary of their own and run one
//! after the other.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "all of this is test code, helpers too")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use kube2iam::for_tests::{
    Clock, ConnectionEvent, Drained, Endpoints, Front, Handler, Limits, LocalPods, Mono, Now, Observer, Request,
    Response, Server, Wall, bind, spawn_thread,
};
use parking_lot::{Mutex, MutexGuard};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, SockRef, Socket, Type};

/// Longer than anything here takes; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Hostile connections at once, if the process may hold as many descriptors.
const CROWD: usize = 1_500;

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
        // What doesn't fit is dropped: in a crowd's memory the events that nobody reads must not count.
        let _ = self.0.try_send(*event);
    }
}

struct House {
    server: Server,
    address: SocketAddr,
    events: Receiver<ConnectionEvent>,
    _alone: MutexGuard<'static, ()>,
}

impl House {
    fn open() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock();
        // Strangers are the other addresses of 127/8.
        let listener = bind(Some(Ipv4Addr::UNSPECIFIED.into()), 0).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (saw, events) = bounded(10_000);
        let front = Front {
            limits,
            handler: Arc::new(Fixed),
            observer: Arc::new(Events(saw)),
            clock: Arc::new(RealClock),
            own_address: Box::new(|_| false),
            local_pods: LocalPods::None,
        };
        let server = Server::start(vec![listener], front).unwrap();
        Self { server, address: (Ipv4Addr::LOCALHOST, port).into(), events, _alone: alone }
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

/// One request over one connection, and how long it took from connecting to the end of the stream.
fn exchange(number: u8, address: SocketAddr) -> Duration {
    let start = RealClock.now().mono;
    let mut stream = connected(number, address);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.ends_with("my-role"), "{reply:?}");
    RealClock.now().mono.since(start)
}

/// Lets the process hold as many descriptors as it may, and tells how many that are.
fn raise_descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).unwrap();
    usize::try_from(limit.maximum.unwrap_or(u64::MAX)).unwrap()
}

#[test]
fn descriptor_exhaustion_sheds_idle_connections_and_passes() {
    let house = House::open();
    let before = getrlimit(Resource::Nofile);
    // Connecting takes no descriptor that the client doesn't hold already; accepting does.
    let sockets: Vec<_> = (0..60).map(|number| socket(2 + number % 30)).collect();
    let spare = 20;
    let lowest_free = std::fs::File::open("/dev/null").map(|file| std::os::fd::AsRawFd::as_raw_fd(&file)).unwrap();
    let tight = u64::try_from(lowest_free).unwrap() + spare;
    setrlimit(Resource::Nofile, Rlimit { current: Some(tight), maximum: before.maximum }).unwrap();

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

    setrlimit(Resource::Nofile, before).unwrap();
    drop(clients);
    exchange(1, house.address);
    assert_eq!(house.server.shut_down(PATIENCE), Drained { unfinished: 0 });
}

/// `EMFILE` on Linux.
const EMFILE: i32 = 24;

#[test]
fn thread_exhaustion_serves_the_newest_at_the_cost_of_the_idle() {
    const STACK: usize = 16 * 1024 * 1024;
    let house = House::with(Limits { stack: STACK, ..Limits::default() });
    let before = getrlimit(Resource::As);
    // Address space for a few more stacks, and some for everything else.
    let tight = u64::try_from(kib_of("VmSize:") * 1024 + 4 * STACK).unwrap();
    setrlimit(Resource::As, Rlimit { current: Some(tight), maximum: before.maximum }).unwrap();
    let mut clients: Vec<_> = (0..20).map(|number| connected(2 + number, house.address)).collect();
    house.await_event(|event| matches!(event, ConnectionEvent::Evicted { .. }));
    let mut last = clients.pop().unwrap();
    last.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut reply = String::new();
    last.read_to_string(&mut reply).unwrap();
    assert!(reply.ends_with("my-role"), "{reply:?}");
    assert!(house.server.workers() < 5);
    setrlimit(Resource::As, before).unwrap();
    assert_eq!(house.server.shut_down(PATIENCE), Drained { unfinished: 0 });
}

#[test]
fn crowd_from_one_address_hurts_nobody_else() {
    withstand(1);
}

#[test]
fn crowd_from_thirty_addresses_hurts_nobody_else() {
    withstand(30);
}

/// 1,500 connections from so many addresses, each with half a head, while a pod and the node ask.
fn withstand(addresses: u8) {
    let descriptors = raise_descriptor_limit();
    let house = House::open();
    let crowd = CROWD.min(descriptors.saturating_sub(200) / 2);
    let stop = Arc::new(AtomicBool::new(false));
    let (report, reported) = unbounded();
    let hostile = {
        let (stop, address) = (stop.clone(), house.address);
        let besiege = move || report.send(besiege(crowd, addresses, address, &stop)).unwrap();
        spawn_thread("test-hostile", 256 * 1024, besiege).unwrap()
    };

    let mut measured = Vec::new();
    let good = (0..ROUNDS).any(|_| {
        measured.push(p99(&house));
        measured.last() < Some(&BOUND.mul_f64(crowding()))
    });
    let memory = kib_of("VmRSS:");
    stop.store(true, Ordering::Relaxed);
    let attempts = reported.recv_timeout(PATIENCE).unwrap();
    hostile.join().unwrap();

    println!("{attempts} attempts, p99 {measured:?}, {memory} KiB");
    assert!(good, "p99 {measured:?}");
    assert!(memory < 32 * 1024, "{memory} KiB resident, clients included");
    assert_eq!(house.server.shut_down(PATIENCE), Drained { unfinished: 0 });
}

/// Of 400 requests, of a pod and of the node by turns.
fn p99(house: &House) -> Duration {
    let mut times: Vec<_> = (0..400).map(|round| exchange([100, 1][round % 2], house.address)).collect();
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// How many times more programs want to run here than there is room for, at least 1: so much longer takes everything.
fn crowding() -> f64 {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap();
    let load: f64 = load.split(' ').next().unwrap().parse().unwrap();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (load / (2.0 * f64::from(u32::try_from(cores).unwrap()))).max(1.0)
}

/// A machine may be busy with something else for a while; a door that is slow is slow every time.
const ROUNDS: usize = 6;
const BOUND: Duration = Duration::from_millis(50);

/// Keeps `crowd` connections up, some silent, some dripping, some reset again and again, until told to stop, then waits until the door has closed every one of them.
/// Tells how many were opened.
fn besiege(crowd: usize, addresses: u8, address: SocketAddr, stop: &AtomicBool) -> usize {
    let mut attempts = 0;
    let mut open = |number: usize| {
        attempts += 1;
        let mut stream = connected(2 + u8::try_from(number % usize::from(addresses)).unwrap(), address);
        let _ = stream.write_all(b"GET /latest/meta-data/ HTTP/1.1\r\nHost: ");
        stream
    };
    let mut streams: Vec<_> = (0..crowd).map(&mut open).collect();
    while !stop.load(Ordering::Relaxed) {
        for (number, stream) in streams.iter_mut().enumerate() {
            if number % 16 == 0 {
                // Ends with RST instead of FIN when it is replaced.
                SockRef::from(&*stream).set_linger(Some(Duration::ZERO)).unwrap();
                *stream = open(number);
            } else if number % 3 > 0 && stream.write_all(b"x").is_err() {
                *stream = open(number);
            }
        }
    }
    let stopped = RealClock.now().mono;
    for stream in &mut streams {
        // An answer of 408, the end of the stream or a reset.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    let stayed = RealClock.now().mono.since(stopped);
    assert!(stayed < Duration::from_secs(10), "hostile connections stayed for {stayed:?}");
    attempts
}

/// A line of the process's own status.
fn kib_of(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
