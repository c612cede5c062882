//! Clients that mean harm, against the whole agent: what they cost the others, and how soon they are gone.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use socket2::{Domain, Socket, Type};

use crate::siege::{Siege, raise_descriptor_limit};
use crate::site::{BASE, OWN, POD, REGION, ROLES, Site};
use crate::standins::agent::{Agent, Setup, test_binary};
use crate::standins::client::{self, Connection};
use crate::standins::kubernetes::PodSpec;
use crate::standins::sts::StsFault;
use crate::standins::{Lab, STS_CANARY, Times};

/// What is measured here would only measure the others: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Each has as many connections as one peer may have, and they could fill all slots between them.
#[test]
fn four_crowds_at_the_cap_of_a_peer_hurt_nobody_else() {
    withstand(4);
}

#[test]
fn a_crowd_from_thirty_addresses_hurts_nobody_else() {
    withstand(30);
}

/// 1,500 connections of every kind from so many addresses, while a pod and the node ask.
fn withstand(addresses: u8) {
    let alone = ALONE.lock();
    let crowd = 1_500.min(raise_descriptor_limit().saturating_sub(500) / 2);
    let [site, calm] = [(); 2].map(|()| Site::open(&["--log-level=error"]));
    assert_eq!([site.get(OWN).status, calm.get(OWN).status], [200, 200]);
    let before = sockets(&site.agent);
    let siege = Siege::lay(site.addr(), crowd, addresses);
    let (mut memory, mut measured) = (0, Vec::new());
    let good = (0..ROUNDS).any(|_| {
        let [besieged, calm] = p99s([&site, &calm]);
        measured.push((besieged, calm));
        memory = memory.max(resident_kib(&site.agent));
        besieged < BOUND + AS_BUSY * calm
    });
    let opened = siege.opened();
    let crowd = siege.lift();
    drop(alone);
    let stayed = wait_until_gone(&site.agent, before);
    drop(crowd);
    println!("{addresses} addresses: {opened} connections, p99 {measured:?}, {memory} KiB, gone after {stayed:?}");
    assert!(good, "p99, and that of an agent beside it that nobody attacks: {measured:?}");
    assert!(memory < MEMORY_KIB, "{memory} KiB");
    assert!(stayed < Duration::from_secs(10), "hostile connections stayed for {stayed:?}");
    assert!(site.metric("kube2iam_connections_total{event=\"evicted\"}").unwrap() > 0.0);
    assert_eq!(site.metric("kube2iam_connections_total{event=\"panicked\"}"), Some(0.0));
}

/// A pod's cached answer over a connection of its own; `/healthz` is answered in between.
fn ask(site: &Site) -> Duration {
    assert_eq!(client::get_as_operator(site.addr(), "/healthz").status, 200);
    let start = Instant::now();
    let answer = site.get(OWN);
    let took = start.elapsed();
    assert!(answer.status == 200 && answer.text().contains(STS_CANARY), "{answer:?}");
    took
}

/// Of 200 requests to each, by turns: what else runs on the machine delays both alike.
fn p99s(sites: [&Site; 2]) -> [Duration; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..200 {
        times.iter_mut().zip(sites).for_each(|(times, site)| times.push(ask(site)));
    }
    times.map(|mut times| {
        times.sort_unstable();
        times[198]
    })
}

/// How long the agent holds more sockets than it did, though nobody else hangs up.
fn wait_until_gone(agent: &Agent, before: usize) -> Duration {
    let start = Instant::now();
    // Its calls to others come and go.
    while sockets(agent) > before + 4 && start.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(20));
    }
    start.elapsed()
}

fn sockets(agent: &Agent) -> usize {
    let files = std::fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap();
    let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

fn resident_kib(agent: &Agent) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A request may be unlucky for a while; an agent that is slow is slow every time.
const ROUNDS: usize = 6;
/// Beyond what a request takes here anyway
const BOUND: Duration = Duration::from_millis(50);
/// A busy machine has a thousand threads of the besieged agent to wake, and one of the other.
const AS_BUSY: u32 = 3;
/// An unoptimised build touches twice as much of its thousand stacks.
const MEMORY_KIB: usize = if cfg!(debug_assertions) { 48 } else { 32 } * 1_024;

#[test]
fn whatever_can_be_read_in_two_ways_is_refused_and_closed() {
    let site = Site::open(&[]);
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(300_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(60_000));
    for (bytes, status) in [
        (&b"GET /latest/ HTTP/1.1\nHost: x\n\n"[..], "400"),
        (b"GET /latest/ HTTP/1.1\r\nHost: x\n\r\n", "400"),
        (b"GET /latest/\r\n", "400"),
        (b"GET /latest/ HTTP/0.9\r\n\r\n", "505"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"),
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", "400"),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400"),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", "400"),
        (b"GET / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\n\n", "400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n", "400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n", "413"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", "501"),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\n", "413"),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", "400"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "400"),
        (b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na", "400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 0x1\r\n\r\na", "400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\nX: a\r\n folded\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\nX : a\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\nExpect: a-miracle\r\n\r\n", "417"),
        (b"GET /latest/\x00 HTTP/1.1\r\n\r\n", "400"),
        (b"GET  / HTTP/1.1\r\n\r\n", "400"),
        (b"\r\n\r\n\r\n\r\n", "400"),
        (long.as_bytes(), "431"),
        (many.as_bytes(), "431"),
    ] {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
        let all = client::raw(site.addr(), POD, bytes);
        let all = String::from_utf8_lossy(&all);
        assert!(all.starts_with(&format!("HTTP/1.1 {status} ")), "{shown:?} gave {all:?}");
        assert!(all.contains("Connection: close") && all.matches("HTTP/1.1 ").count() == 1, "{shown:?} gave {all:?}");
        assert_eq!(site.get(OWN).status, 200, "after {shown:?}");
    }
    assert_eq!(site.metric("kube2iam_connections_total{event=\"panicked\"}"), Some(0.0));
}

#[test]
fn half_requests_are_gone_within_ten_seconds() {
    let site = Site::open(&[]);
    let start = Instant::now();
    let openings = [
        "",
        "G",
        "GET / HTTP/1.1\r\nHost: x\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc",
        "POST / HTTP/1.1\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n",
        "GET /latest/meta-data/iam/info HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /latest/meta-data/iam/info HTTP/1.1\r\nHost: x\r\n\r\nGET /",
    ];
    let mut connections: Vec<_> = openings.iter().map(|_| Connection::open(site.addr(), POD)).collect();
    for (connection, opening) in connections.iter_mut().zip(openings) {
        connection.send(opening.as_bytes());
    }
    for connection in &mut connections {
        connection.read_to_end();
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// Each single answer is read in time; all of them together would take minutes.
#[test]
fn a_slow_reader_of_a_pipeline_is_gone_within_ten_seconds() {
    let site = Site::open(&[]);
    let mut stream = with_small_window(site.addr());
    stream.write_all("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(400).as_bytes()).unwrap();
    let start = Instant::now();
    let mut read = 0;
    let mut block = [0; 4 * 1024];
    // What is in flight when the server has had enough still arrives, and is read at once.
    while let Ok(count @ 1..) = stream.read(&mut block) {
        read += count;
        std::thread::sleep(if start.elapsed() < Duration::from_secs(8) {
            Duration::from_millis(10)
        } else {
            Duration::ZERO
        });
        assert!(start.elapsed() < Duration::from_secs(15), "{read} bytes and no end");
    }
    println!("gone after {:?} and {read} bytes", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(10), "gone after {:?}", start.elapsed());
    assert_eq!(site.get(OWN).status, 200);
}

fn with_small_window(server: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 1, 1], 0)).into()).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&server.into()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.into()
}

#[test]
fn an_agent_without_descriptors_sends_the_idle_away_and_recovers() {
    let lab = Lab::start();
    lab.kubernetes.add_pod(PodSpec::new("default", "web").ip(POD).role("app"));
    let shell = Setup::of(Path::new("/bin/sh")).flags(&[
        "-c",
        "ulimit -n 64; exec \"$@\"",
        "sh",
        test_binary().to_str().unwrap(),
        BASE,
    ]);
    let agent = lab.configure(shell).start();
    assert_eq!(client::get(agent.addr(), POD, OWN).status, 200);
    let crowd: Vec<_> =
        (0..200).map(|number| Connection::open(agent.addr(), &format!("127.0.1.{}", number % 10))).collect();
    let deadline = Instant::now() + Duration::from_secs(20);
    for _ in 0..20 {
        let mut connection = Connection::open(agent.addr(), POD);
        connection.send(&client::Ask::get(OWN).to_bytes());
        match connection.read_answer() {
            Ok(answer) => assert_eq!(answer.status, 200),
            Err(cause) => panic!("an honest request was lost: {cause}"),
        }
        assert!(Instant::now() < deadline);
    }
    drop(crowd);
    while client::get(agent.addr(), POD, REGION).status != 200 {
        assert!(Instant::now() < deadline, "it doesn't recover");
    }
    let metrics = client::get_as_operator(agent.addr(), "/metrics").text();
    assert!(metrics.contains("kube2iam_connections_total{event=\"accept_failed\"}"));
}

#[test]
fn what_starts_calls_is_rationed_per_peer_and_what_joins_them_is_not() {
    const GREEDY: &str = "127.0.0.8";
    let site = Site::open(&["--iam-role-error-ttl=0s"]);
    let role = |name: &str| format!("arn:aws:iam::123456789012:role/{name}");
    site.lab.sts.fault(Some(&role("denied")), StsFault::ACCESS_DENIED, Times::Always);
    site.lab.kubernetes.add_pod(PodSpec::new("default", "greedy").ip(GREEDY).role("denied"));
    let start = Instant::now();
    for _ in 0..300 {
        // 503 only on a machine that crawls, where the calls themselves take too long.
        assert!(matches!(client::get(site.addr(), GREEDY, &format!("{ROLES}denied")).status, 403 | 503));
    }
    let most = 21.0 + 2.0 * start.elapsed().as_secs_f64();
    let calls = site.lab.sts.assumed(&role("denied"));
    assert!((f64::from(u32::try_from(calls).unwrap())) <= most, "{calls} calls");
    // Another role each time, of which nothing is known yet.
    let refused = (0..100).find_map(|number| {
        let name = format!("role-{number}");
        site.lab.kubernetes.update_pod("default", "greedy", |pod| pod.role(&name));
        while client::get(site.addr(), GREEDY, ROLES).text() != name {
            assert!(start.elapsed() < Duration::from_secs(60), "the pod never gets `{name}`");
        }
        let answer = client::get(site.addr(), GREEDY, &format!("{ROLES}{name}"));
        (answer.status != 200).then_some(answer)
    });
    let refused = refused.expect("a hundred calls can't all be started");
    let told = (refused.status, refused.text(), refused.header("Retry-After").map(str::to_owned));
    assert_eq!(told, (503, "busy\n".to_owned(), Some("1".to_owned())));
    for _ in 0..100 {
        assert_eq!([site.get(OWN).status, site.get(ROLES).status], [200, 200]);
    }
}
