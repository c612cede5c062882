//! A small cloud made of network namespaces: a node, its pods, and the real metadata service behind the node's uplink.
//!
//! ```text
//!   pod --- cali1 [node] eth0 --- up [cloud]  169.254.169.254 and fd00:ec2::254 answer "canary"
//!   pod --- cali2   |
//!   pod --- other1  +-- the stand-in agent at 10.77.0.2:8181 and [fd77::2]:8181 answers "agent for PEER"
//! ```
//! The node forwards, so without the redirect every pod reaches the canary. Everything is gone when the lab is dropped.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

pub(crate) const METADATA_V4: &str = "169.254.169.254:80";
pub(crate) const METADATA_V6: &str = "[fd00:ec2::254]:80";
/// The real service does not listen there; something else on that address might.
pub(crate) const METADATA_OTHER_PORT: &str = "169.254.169.254:8080";
pub(crate) const AGENT_PORT: u16 = 8181;

/// How long a packet may take within one machine before it counts as lost.
const LOST: Duration = Duration::from_millis(1_200);
const ANSWERED: Duration = Duration::from_secs(10);

pub(crate) struct Lab {
    prefix: String,
    names: Vec<String>,
    real_service: Vec<Server>,
}

/// A server that stops to listen when it is dropped. Connections it has accepted go on.
pub(crate) struct Server(Arc<TcpListener>);

/// What a request ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Text(String),
    Refused,
    /// Nothing came back, or the connection was torn down.
    Nothing,
}

/// Whether packets can be sent here: root and the tools. With `CI` set it is an error if not.
pub(crate) fn ready() -> bool {
    let missing: Vec<&str> = ["ip", "nft", "iptables-nft", "iptables-legacy", "curl", "setpriv"]
        .into_iter()
        .filter(|tool| Command::new(tool).arg("--help").output().is_err())
        .collect();
    let root = rustix::process::geteuid().is_root();
    if root && missing.is_empty() {
        return true;
    }
    #[allow(clippy::disallowed_methods)] // a test asks where it runs
    let must = std::env::var("CI").is_ok();
    assert!(!must, "the redirect must be tested with packets: root {root}, missing {missing:?}");
    eprintln!("SKIPPED: the redirect is not tested with packets: root {root}, missing tools {missing:?}");
    false
}

/// `ip netns` is not made for many at once.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static IP: Mutex<()> = Mutex::new(());
    IP.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lab {
    /// A node with its uplink and, for each of `interfaces`, a pod behind it; the real service answers.
    pub(crate) fn new(interfaces: &[&str]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let prefix = format!("k2i{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut lab = Self { prefix, names: Vec::new(), real_service: Vec::new() };
        let _alone = one_at_a_time();
        for name in ["node", "cloud"] {
            lab.add(name);
        }
        lab.wire(("node", "eth0", ["10.77.0.2/24", "fd77::2/64"]), ("cloud", "up", ["10.77.0.1/24", "fd77::1/64"]));
        lab.ip("cloud", &["addr", "add", "169.254.169.254/32", "dev", "lo"]);
        lab.ip("cloud", &["addr", "add", "fd00:ec2::254/128", "dev", "lo", "nodad"]);
        lab.ip("node", &["route", "add", "default", "via", "10.77.0.1"]);
        lab.ip("node", &["route", "add", "default", "via", "fd77::1"]);
        lab.ip("cloud", &["route", "add", "10.0.0.0/8", "via", "10.77.0.2"]);
        lab.ip("cloud", &["route", "add", "fd00::/8", "via", "fd77::2"]);
        for (number, interface) in (1..).zip(interfaces) {
            lab.add_pod(number, interface);
        }
        for address in [METADATA_V4, METADATA_V6, METADATA_OTHER_PORT] {
            lab.real_service.push(lab.serve("cloud", address, |_| "canary".to_owned()));
        }
        lab.wait_for_links();
        lab
    }

    /// One more pod, behind an interface that was not there before.
    pub(crate) fn plug(&mut self, number: usize, interface: &str) {
        let alone = one_at_a_time();
        self.add_pod(number, interface);
        drop(alone);
        self.wait_for_links();
    }

    /// The namespaces are called `pod1`, `pod2`, ...; pod n has 10.N.0.2 and fdN::2, where N is 80 + n.
    fn add_pod(&mut self, number: usize, interface: &str) {
        let pod = format!("pod{number}");
        self.add(&pod);
        let net = 80 + number;
        let addresses = |host: u8| [format!("10.{net}.0.{host}/24"), format!("fd{net}::{host}/64")];
        let (node, own) = (addresses(1), addresses(2));
        self.wire(("node", interface, [&node[0], &node[1]]), (&pod, "eth0", [&own[0], &own[1]]));
        self.ip(&pod, &["route", "add", "default", "via", &format!("10.{net}.0.1")]);
        self.ip(&pod, &["route", "add", "default", "via", &format!("fd{net}::1")]);
    }

    fn add(&mut self, name: &str) {
        run("ip", &["netns", "add", &self.full(name)]);
        self.names.push(name.to_owned());
        self.ip(name, &["link", "set", "lo", "up"]);
        self.inside(name, || {
            for setting in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
                std::fs::write(format!("/proc/sys/net/{setting}"), "1").unwrap();
            }
        });
    }

    pub(crate) fn wire(&self, near: (&str, &str, [&str; 2]), far: (&str, &str, [&str; 2])) {
        let (near_name, far_name) = (self.full(near.0), self.full(far.0));
        let peer = ["peer", "name", far.1, "netns", &far_name];
        run("ip", &[&["-n", &near_name, "link", "add", near.1, "type", "veth"][..], &peer].concat());
        for (name, interface, [v4, v6]) in [near, far] {
            self.ip(name, &["addr", "add", v4, "dev", interface]);
            self.ip(name, &["addr", "add", v6, "dev", interface, "nodad"]);
            self.ip(name, &["link", "set", "dev", interface, "up"]);
        }
    }

    /// The kernel reports a new link's carrier with up to a second's delay, and answers no neighbour before.
    pub(crate) fn wait_for_links(&self) {
        for name in self.names.iter().filter(|name| *name != "cloud") {
            for nobody in ["10.77.0.1:9", "[fd77::1]:9"] {
                let up = (0..10).any(|_| self.ask(name, nobody) == Answer::Refused);
                assert!(up, "{name} does not reach {nobody}");
            }
        }
    }

    pub(crate) fn ip(&self, name: &str, words: &[&str]) -> String {
        run("ip", &[&["-n", &self.full(name)], words].concat())
    }

    /// Runs a program within a namespace.
    pub(crate) fn exec(&self, name: &str, program: &str, words: &[&str]) -> String {
        run("ip", &[&["netns", "exec", &self.full(name), program], words].concat())
    }

    pub(crate) fn nft(&self, words: &[&str]) -> String {
        self.exec("node", "nft", words)
    }

    fn full(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// Runs `work` on a thread that lives in a namespace; sockets opened there belong to it.
    pub(crate) fn inside<T: Send>(&self, name: &str, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/var/run/netns/{}", self.full(name))).unwrap();
        std::thread::scope(|scope| {
            let worker = scope.spawn(move || {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            });
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    pub(crate) fn node<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.inside("node", work)
    }

    pub(crate) fn serve(&self, name: &str, address: &str, text: fn(IpAddr) -> String) -> Server {
        let listener = Arc::new(self.inside(name, || TcpListener::bind(address).unwrap()));
        let server = Server(Arc::clone(&listener));
        std::thread::Builder::new().spawn(move || accept(&listener, text)).unwrap();
        server
    }

    /// The stand-in agent on both addresses of the node.
    pub(crate) fn agent(&self) -> Vec<Server> {
        let addresses = ["10.77.0.2:8181", "[fd77::2]:8181"];
        addresses.map(|address| self.serve("node", address, |peer| format!("agent for {peer}"))).into()
    }

    pub(crate) fn connect(&self, pod: &str, address: &str) -> std::io::Result<TcpStream> {
        let address: SocketAddr = address.parse().unwrap();
        let stream = self.inside(pod, || TcpStream::connect_timeout(&address, LOST))?;
        stream.set_read_timeout(Some(LOST))?;
        Ok(stream)
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, pod: &str, address: &str) -> Answer {
        match self.connect(pod, address) {
            // A connection that stands leads to somebody, who may be slow on a machine that does much else.
            Ok(mut stream) => {
                stream.set_read_timeout(Some(ANSWERED)).unwrap();
                ask_on(&mut stream)
            }
            Err(cause) if cause.kind() == std::io::ErrorKind::ConnectionRefused => Answer::Refused,
            Err(_) => Answer::Nothing,
        }
    }
}

/// One request and its answer's body; the connection stays.
pub(crate) fn ask_on(stream: &mut TcpStream) -> Answer {
    let sent = stream.write_all(b"GET /latest/meta-data/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n");
    let mut buffer = [0; 1024];
    match sent.and_then(|()| stream.read(&mut buffer)) {
        Ok(length) if length > 0 => {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            Answer::Text(text.rsplit("\r\n").next().unwrap_or_default().to_owned())
        }
        _ => Answer::Nothing,
    }
}

pub(crate) fn text(text: &str) -> Answer {
    Answer::Text(text.to_owned())
}

fn accept(listener: &TcpListener, text: fn(IpAddr) -> String) {
    while let Ok((mut stream, peer)) = listener.accept() {
        let text = text(peer.ip());
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        let serve = move || {
            let mut buffer = [0; 1024];
            while matches!(stream.read(&mut buffer), Ok(length) if length > 0) {
                if stream.write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
        };
        std::thread::Builder::new().spawn(serve).unwrap();
    }
}

fn run(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {words:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _alone = one_at_a_time();
        for name in &self.names {
            let deleted = Command::new("ip").args(["netns", "delete", &self.full(name)]).output();
            if !deleted.is_ok_and(|output| output.status.success()) {
                eprintln!("the network namespace {} is left over", self.full(name));
            }
        }
    }
}
