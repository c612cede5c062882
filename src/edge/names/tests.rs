use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;

use super::*;
use crate::edge::threads;

/// What a stand-in says to a question.
#[derive(Clone)]
enum Say {
    Nothing,
    Code(u8),
    /// Those of the family that is asked for
    Addresses(&'static [&'static str]),
    /// Over UDP that there is more, over TCP these.
    More(&'static [&'static str]),
    /// Something with another id, then something from another port, then these.
    LiesFirst(&'static [&'static str]),
}

/// Name, family and `tcp` or `udp`, as one line.
type Asked = Arc<Mutex<Vec<String>>>;
type Decide = dyn Fn(&str) -> Say + Send + Sync;

/// A name server on an address of loopback.
struct Server {
    address: SocketAddr,
    asked: Asked,
    over: Arc<AtomicBool>,
}

impl Server {
    /// At a port that is free for both UDP and TCP.
    fn anywhere(decide: impl Fn(&str) -> Say + Clone + Send + Sync + 'static) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        (0..100).find_map(|_| Self::start(any, decide.clone())).unwrap()
    }

    /// At this address; `None` if its port is taken there.
    fn start(address: SocketAddr, decide: impl Fn(&str) -> Say + Send + Sync + 'static) -> Option<Self> {
        let socket = UdpSocket::bind(address).ok()?;
        let address = socket.local_addr().unwrap();
        let listener = TcpListener::bind(address).ok()?;
        let (asked, over, decide): (Asked, _, Arc<Decide>) =
            (Asked::default(), Arc::new(AtomicBool::new(false)), Arc::new(decide));
        let server = Self { address, asked: Arc::clone(&asked), over: Arc::clone(&over) };
        let (theirs, its_over, its_decide) = (Arc::clone(&asked), Arc::clone(&over), Arc::clone(&decide));
        threads::spawn("names-udp", threads::STACK_BYTES, move || {
            let mut datagram = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut datagram) {
                if its_over.load(Ordering::Acquire) {
                    break;
                }
                answer_udp(&socket, &datagram[..length], from, &*its_decide, &theirs);
            }
        })
        .unwrap();
        threads::spawn("names-tcp", threads::STACK_BYTES, move || {
            while let Ok((mut stream, _)) = listener.accept() {
                if over.load(Ordering::Acquire) {
                    break;
                }
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut question = vec![0; u16::from_be_bytes(length).into()];
                stream.read_exact(&mut question).unwrap();
                let Say::More(addresses) = decide(&note(&question, "tcp", &asked)) else { continue };
                let answer = answer(&question, 0, addresses);
                let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                // in pieces, as a stream may come
                length.iter().chain(&answer).for_each(|byte| stream.write_all(&[*byte]).unwrap());
            }
        })
        .unwrap();
        Some(server)
    }

    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().clone();
        asked.sort();
        asked
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        let _ = UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&[], self.address);
        drop(TcpStream::connect(self.address));
    }
}

fn answer_udp(socket: &UdpSocket, question: &[u8], from: SocketAddr, decide: &Decide, asked: &Asked) {
    let send = |answer: Vec<u8>| socket.send_to(&answer, from).unwrap();
    let lie = || answer(question, 0, &["10.9.9.9", "fd09::9"]);
    match decide(&note(question, "udp", asked)) {
        Say::Nothing => {}
        Say::Code(code) => drop(send(answer(question, code, &[]))),
        Say::Addresses(addresses) => drop(send(answer(question, 0, addresses))),
        Say::More(_) => {
            let mut answer = answer(question, 0, &[]);
            answer[2] |= 2;
            send(answer);
        }
        Say::LiesFirst(addresses) => {
            let mut other_id = lie();
            other_id[0] ^= 1;
            send(other_id);
            UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&lie(), from).unwrap();
            send(answer(question, 0, addresses));
        }
    }
}

/// Writes down what is asked, and gives the name.
fn note(question: &[u8], way: &str, asked: &Asked) -> String {
    let mut labels = Vec::new();
    let mut rest = &question[12..];
    while rest[0] != 0 {
        let (label, after) = rest[1..].split_at(rest[0].into());
        labels.push(String::from_utf8(label.to_vec()).unwrap());
        rest = after;
    }
    let name = labels.join(".");
    asked.lock().push(format!("{name} {} {way}", if rest[2] == 28 { "v6" } else { "v4" }));
    name
}

fn answer(question: &[u8], code: u8, addresses: &[&str]) -> Vec<u8> {
    let mut answer = question.to_vec();
    answer[2..4].copy_from_slice(&[0x81, 0x80 | code]);
    let wants_v6 = question[question.len() - 3] == 28;
    for address in addresses.iter().map(|address| address.parse::<IpAddr>().unwrap()) {
        let octets = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        if address.is_ipv6() == wants_v6 {
            answer[7] += 1;
            answer.extend([0xc0, 12, 0, question[question.len() - 3], 0, 1, 0, 0, 0, 60, 0]);
            answer.push(u8::try_from(octets.len()).unwrap());
            answer.extend(octets);
        }
    }
    answer
}

/// A directory with the two files, gone with the value, and whose servers listen at one port.
struct House {
    names: Names,
    directory: PathBuf,
}

impl House {
    fn new(port: u16, resolv_conf: &str, hosts: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let nth = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("kube2iam-names-{}-{nth}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let names = Names { hosts: file("hosts", hosts), resolv_conf: file("resolv.conf", resolv_conf), port };
        Self { names, directory }
    }

    /// Addresses in words; `none` if there is no such name, else why nobody knows.
    fn find(&self, host: &str, limit: Duration) -> String {
        match self.names.find(host, &[Family::V4, Family::V6], limit) {
            Ok(found) => found.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" "),
            Err(Unfound::Absent) => "none".to_owned(),
            Err(Unfound::Unknown(error)) => format!("{:?}: {error}", error.kind()),
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

/// One server, asked first and alone.
fn one(decide: impl Fn(&str) -> Say + Clone + Send + Sync + 'static) -> (Server, House) {
    let server = Server::anywhere(decide);
    let house = House::new(server.address.port(), "nameserver 127.0.0.1\nsearch near.test far.test\n", "");
    (server, house)
}

/// Two servers at one port, asked in this order.
fn two(first: Say, second: Say) -> ([Server; 2], House) {
    let (first, second) = (Arc::new(first), Arc::new(second));
    let servers = (0..100).find_map(|_| {
        let (first, second) = (Arc::clone(&first), Arc::clone(&second));
        let one = Server::start("127.0.0.1:0".parse().unwrap(), move |_| (*first).clone())?;
        let other = SocketAddr::from(([127, 0, 0, 2], one.address.port()));
        Some([one, Server::start(other, move |_| (*second).clone())?])
    });
    let servers = servers.unwrap();
    let resolv_conf = "nameserver 127.0.0.1\nnameserver 127.0.0.2\noptions timeout:1 attempts:1\n";
    let house = House::new(servers[0].address.port(), resolv_conf, "");
    (servers, house)
}

#[test]
fn what_files_know_is_not_asked() {
    let server = Server::anywhere(|_| Say::Addresses(&["10.0.0.9"]));
    let hosts = "10.0.0.1 api.test\nfd00::1 api.test\n192.0.2.1 localhost\n";
    let house = House::new(server.address.port(), "nameserver 127.0.0.1\n", hosts);
    for (host, found) in [
        ("api.test", "10.0.0.1 fd00::1"),
        ("10.0.0.2", "10.0.0.2"),
        ("fd00::2", "fd00::2"),
        ("localhost", "127.0.0.1 ::1"),
        ("a.localhost.", "127.0.0.1 ::1"),
    ] {
        assert_eq!(house.find(host, AMPLE), found);
    }
    assert!(server.asked().is_empty());
    assert_eq!(house.find("other.test", AMPLE), "10.0.0.9");
    assert_eq!(house.names.find("api.test", &[Family::V6], AMPLE).unwrap(), ["fd00::1".parse::<IpAddr>().unwrap()]);
}

#[test]
fn both_families_are_asked_for_together() {
    let (server, house) = one(|_| Say::Addresses(&["fd00::1", "10.0.0.1", "10.0.0.2"]));
    assert_eq!(house.find("sts.test", AMPLE), "10.0.0.1 10.0.0.2 fd00::1");
    assert_eq!(server.asked(), ["sts.test v4 udp", "sts.test v6 udp"]);
}

#[test]
fn lies_are_not_taken_for_the_answer() {
    let (_server, house) = one(|_| Say::LiesFirst(&["10.0.0.1"]));
    assert_eq!(house.find("sts.test", AMPLE), "10.0.0.1");
}

#[test]
fn what_is_too_long_for_a_datagram_comes_over_tcp() {
    let (server, house) = one(|_| Say::More(&["10.0.0.1", "fd00::1"]));
    assert_eq!(house.find("sts.test", AMPLE), "10.0.0.1 fd00::1");
    let ways = ["sts.test v4 tcp", "sts.test v4 udp", "sts.test v6 tcp", "sts.test v6 udp"];
    assert_eq!(server.asked(), ways);
}

#[test]
fn domains_are_searched_until_the_name_exists() {
    let (server, house) = one(|name| match name {
        "api.far.test" => Say::Addresses(&["10.0.0.1"]),
        "api.near.test" => Say::Code(0), // exists, has no address
        _ => Say::Code(3),
    });
    assert_eq!(house.find("api", AMPLE), "10.0.0.1");
    assert_eq!(house.find("no.such.name", AMPLE), "none");
    assert_eq!(house.find("no.such.name.", AMPLE), "none");
    let asked: Vec<String> =
        server.asked.lock().iter().filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect();
    let one_by_one =
        ["api.near.test", "api.far.test", "no.such.name", "no.such.name.near.test", "no.such.name.far.test"];
    let twice: Vec<&str> = one_by_one.into_iter().chain(["no.such.name"]).flat_map(|name| [name; 2]).collect();
    assert_eq!(asked, twice);
}

#[test]
fn the_next_server_is_asked_when_the_first_can_not_tell() {
    for first in [Say::Code(2), Say::Code(5), Say::Nothing] {
        let (servers, house) = two(first, Say::Addresses(&["10.0.0.1"]));
        assert_eq!(house.find("sts.test", AMPLE), "10.0.0.1");
        assert_eq!(servers.map(|server| server.asked().len()), [2, 2]);
    }
    let (servers, house) = two(Say::Code(3), Say::Addresses(&["10.0.0.1"]));
    assert_eq!(house.find("sts.test", AMPLE), "none");
    assert_eq!(servers[1].asked().len(), 0);
    // nobody listens at the first
    let ([first, _second], house) = two(Say::Nothing, Say::Addresses(&["10.0.0.1"]));
    let port = first.address.port();
    drop(first);
    assert_eq!(house.names.port, port);
    assert_eq!(house.find("sts.test", AMPLE), "10.0.0.1");
}

#[test]
fn doubt_is_told_from_absence_and_has_an_end() {
    let (_servers, house) = two(Say::Code(2), Say::Code(5));
    let doubt = "Other: failed to look up `sts.test`: name server 127.0.0.1, 127.0.0.2 can't tell";
    assert_eq!(house.find("sts.test", AMPLE), doubt);
    let (servers, house) = two(Say::Nothing, Say::Nothing);
    let clock = SystemClock::new();
    let silence = "TimedOut: failed to look up `sts.test`: name server 127.0.0.1, 127.0.0.2 doesn't answer";
    assert_eq!(house.find("sts.test", Duration::from_millis(300)), silence);
    let taken = clock.now().mono.since(Mono::default());
    assert!(taken < Duration::from_secs(2), "{taken:?}");
    // each had its share of what is less than one's time
    assert_eq!(servers.map(|server| server.asked().len()), [2, 2]);
}

#[test]
fn ureq_gets_ports_and_errors_of_its_own_kind() {
    let (server, house) = one(|name| if name == "sts.test" { Say::Addresses(&["127.0.0.7"]) } else { Say::Code(3) });
    let config = |proxy: Option<&str>| {
        let proxy = proxy.map(|proxy| ureq::Proxy::new(proxy).unwrap());
        ureq::Agent::config_builder().ip_family(IpFamily::Ipv4Only).proxy(proxy).build()
    };
    let limit = NextTimeout { after: AMPLE.into(), ..NextTimeout::default() };
    let resolve = |url: &str, proxy| {
        let found = house.names.resolve(&url.parse().unwrap(), &config(proxy), limit);
        found.map(|found| found.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(" "))
    };
    for (url, expected) in [
        ("http://sts.test/", "127.0.0.7:80"),
        ("https://sts.test/", "127.0.0.7:443"),
        ("https://sts.test:8443/", "127.0.0.7:8443"),
        ("https://localhost/", "127.0.0.1:443"),
    ] {
        assert_eq!(resolve(url, None).unwrap(), expected);
    }
    assert!(matches!(resolve("https://other.test/", None), Err(Error::HostNotFound)));
    assert!(matches!(resolve("https://[::1]/", None), Err(Error::HostNotFound)), "no IPv6 was wanted");
    assert!(server.asked().iter().all(|line| !line.starts_with("::1")), "{:?}", server.asked());
    let proxy = resolve("http://proxy.test:3128/", Some("http://proxy.test:3128")).unwrap_err().to_string();
    assert!(proxy.contains("there is no host `proxy.test`"), "{proxy}");
}

/// More than any test takes.
const AMPLE: Duration = Duration::from_secs(10);
