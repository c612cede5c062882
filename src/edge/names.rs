//! Looks names up as [`logic::dns`](crate::logic::dns) says, with UDP, and with TCP for what is too long for it. Nothing
//! is kept: files are read and servers asked each time, as a C library would.
//!
//! A lookup ends when resolv.conf's own times are over, or when the caller's are. Each question goes out from a port of
//! its own with an id of its own, and only the server it went to can answer it.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::netdevice::name_to_index;
use ureq::Error;
use ureq::config::{Config, IpFamily};
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::clock::SystemClock;
use super::dice::SystemDice;
use crate::logic::dns::message::{Answer, Family, Name, Question};
use crate::logic::dns::settings::{NameServer, Settings};
use crate::logic::dns::{Verdict, hosts, in_order, judge, known};
use crate::logic::time::Mono;
use crate::ports::{Clock, Dice};

/// Where names are looked up.
#[derive(Clone, Debug)]
pub(super) struct Names {
    hosts: PathBuf,
    resolv_conf: PathBuf,
    /// Of the name servers
    port: u16,
}

/// Why a name has no addresses.
#[derive(Debug)]
enum Unfound {
    /// There is no such name.
    Absent,
    /// Nobody could tell.
    Unknown(io::Error),
}

impl Names {
    /// Those of this machine.
    pub(super) fn system() -> Self {
        Self { hosts: "/etc/hosts".into(), resolv_conf: "/etc/resolv.conf".into(), port: 53 }
    }

    fn find(&self, host: &str, families: &[Family], limit: Duration) -> Result<Vec<IpAddr>, Unfound> {
        let wanted = |addresses: Vec<IpAddr>| -> Vec<IpAddr> {
            addresses.into_iter().filter(|address| families.contains(&Family::of(address))).collect()
        };
        if let Some(found) = known(host).map(wanted) {
            return if found.is_empty() { Err(Unfound::Absent) } else { Ok(found) };
        }
        let found = wanted(hosts::addresses(&read(&self.hosts), host));
        if !found.is_empty() {
            return Ok(found);
        }
        let settings = Settings::parse(&read(&self.resolv_conf), &hostname());
        let clock = SystemClock::new();
        let deadline = clock.now().mono.after(limit);
        Lookup { settings: &settings, families, port: self.port, clock, deadline }.find(host)
    }
}

impl Resolver for Names {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let families: &[Family] = match config.ip_family() {
            IpFamily::Any => &[Family::V4, Family::V6],
            IpFamily::Ipv4Only => &[Family::V4],
            IpFamily::Ipv6Only => &[Family::V6],
        };
        let found = match self.find(host, families, *timeout.after) {
            Ok(found) => in_order(found, |address| is_routed(SocketAddr::new(*address, port))),
            // Of a server behind a proxy only the proxy's name is looked up.
            Err(Unfound::Absent) if config.proxy().is_some() => {
                return Err(Error::ConnectProxyFailed(format!("there is no host `{host}`")));
            }
            Err(Unfound::Absent) => return Err(Error::HostNotFound),
            Err(Unfound::Unknown(error)) => return Err(Error::Io(error)),
        };
        let mut addresses = self.empty();
        found.into_iter().take(MOST_ADDRESSES).for_each(|address| addresses.push(SocketAddr::new(address, port)));
        Ok(addresses)
    }
}

impl Family {
    const fn of(address: &IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// One search for a name, by its servers and until its deadline.
struct Lookup<'a> {
    settings: &'a Settings,
    families: &'a [Family],
    port: u16,
    clock: SystemClock,
    deadline: Mono,
}

impl Lookup<'_> {
    fn find(&self, host: &str) -> Result<Vec<IpAddr>, Unfound> {
        let mut failed = false;
        for candidate in self.settings.candidates(host) {
            let Some(name) = Name::parse(&candidate) else { continue };
            match self.ask_all(&name) {
                Verdict::Found(found) => return Ok(found),
                Verdict::Absent => {}
                Verdict::Failed => failed = true,
                // nor would anybody answer for another name
                Verdict::Silent => return Err(self.unknown(host, ErrorKind::TimedOut, "doesn't answer")),
            }
        }
        if failed { Err(self.unknown(host, ErrorKind::Other, "can't tell")) } else { Err(Unfound::Absent) }
    }

    fn unknown(&self, host: &str, kind: ErrorKind, what: &str) -> Unfound {
        let servers: Vec<String> = self.settings.servers.iter().map(|server| server.address.to_string()).collect();
        let cause = format!("failed to look up `{host}`: name server {} {what}", servers.join(", "));
        Unfound::Unknown(io::Error::new(kind, cause))
    }

    /// Asks one server after the other, and all again, until one can tell.
    fn ask_all(&self, name: &Name) -> Verdict {
        let tries = self.settings.servers.len() * self.settings.attempts;
        let mut last = Verdict::Silent;
        for (done, server) in self.settings.servers.iter().cycle().take(tries).enumerate() {
            let left = self.left();
            if left.is_zero() {
                break;
            }
            // If time is short, each has its share of it.
            let share = left / u32::try_from(tries - done).unwrap_or(u32::MAX);
            match self.ask(server, name, share.min(self.settings.timeout)) {
                Verdict::Silent => {}
                Verdict::Failed => last = Verdict::Failed,
                verdict => return verdict,
            }
        }
        last
    }

    /// Asks one server for all families together.
    fn ask(&self, server: &NameServer, name: &Name, patience: Duration) -> Verdict {
        let until = self.clock.now().mono.after(patience);
        let address = self.address(server);
        let numbers = SystemDice.number().to_ne_bytes();
        let ask = |(family, id): (&Family, &[u8])| {
            let question = Question { id: u16::from_ne_bytes([id[0], id[1]]), name: name.clone(), family: *family };
            let socket = send(address, &question.message());
            (question, socket)
        };
        let asked: Vec<(Question, io::Result<UdpSocket>)> =
            self.families.iter().zip(numbers.chunks_exact(2)).map(ask).collect();
        let mut answers = Vec::new();
        for (question, socket) in asked {
            // Who has addresses of one family waits for the other's no longer than it is worth.
            let found = answers.iter().any(|answer| matches!(answer, Some(Answer::Addresses(_))));
            let until = if found { until.min(self.clock.now().mono.after(GRACE)) } else { until };
            let answer = socket.ok().and_then(|socket| self.receive(&socket, &question, until));
            answers.push(match answer {
                Some(Answer::Truncated) => self.ask_over_tcp(address, &question, until).ok().flatten(),
                answer => answer,
            });
        }
        judge(&answers)
    }

    /// The first datagram that answers the question; `None` if none comes, or the system says that none will.
    fn receive(&self, socket: &UdpSocket, question: &Question, until: Mono) -> Option<Answer> {
        let mut datagram = [0; LONGEST_DATAGRAM];
        loop {
            socket.set_read_timeout(Some(self.until(until).ok()?)).ok()?;
            match socket.recv(&mut datagram) {
                Ok(length) => {
                    if let Some(answer) = question.read(&datagram[..length]) {
                        return Some(answer);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }

    /// A length goes before each message (RFC 1035, section 4.2.2).
    fn ask_over_tcp(&self, server: SocketAddr, question: &Question, until: Mono) -> io::Result<Option<Answer>> {
        let mut stream = TcpStream::connect_timeout(&server, self.until(until)?)?;
        let message = question.message();
        let length = u16::try_from(message.len()).unwrap_or_default(); // below 300
        stream.set_write_timeout(Some(self.until(until)?))?;
        stream.write_all(&[&length.to_be_bytes(), message.as_slice()].concat())?;
        let mut length = [0; 2];
        self.fill(&mut stream, &mut length, until)?;
        let mut answer = vec![0; u16::from_be_bytes(length).into()];
        self.fill(&mut stream, &mut answer, until)?;
        Ok(question.read(&answer).map(|answer| if answer == Answer::Truncated { Answer::Failed } else { answer }))
    }

    fn fill(&self, stream: &mut TcpStream, mut room: &mut [u8], until: Mono) -> io::Result<()> {
        while !room.is_empty() {
            stream.set_read_timeout(Some(self.until(until)?))?;
            match stream.read(room) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => room = &mut room[read..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn left(&self) -> Duration {
        self.clock.now().mono.until(self.deadline)
    }

    /// The time until then, if there is any.
    fn until(&self, then: Mono) -> io::Result<Duration> {
        let left = self.clock.now().mono.until(then);
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }

    fn address(&self, server: &NameServer) -> SocketAddr {
        match (server.address, &server.interface) {
            (IpAddr::V6(address), Some(interface)) => {
                SocketAddrV6::new(address, self.port, 0, interface_index(interface)).into()
            }
            (address, _) => SocketAddr::new(address, self.port),
        }
    }
}

/// Sends a message from a port that the system picks, and lets nobody but its receiver answer.
fn send(server: SocketAddr, message: &[u8]) -> io::Result<UdpSocket> {
    let socket = socket_towards(server)?;
    socket.send(message)?;
    Ok(socket)
}

fn socket_towards(address: SocketAddr) -> io::Result<UdpSocket> {
    let anywhere: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(anywhere, 0))?;
    socket.connect(address)?;
    Ok(socket)
}

/// Whether this machine has a route there. Nothing is sent.
fn is_routed(address: SocketAddr) -> bool {
    socket_towards(address).is_ok()
}

/// By its name, or as a number as it stands. 0 is none: the attempt to send will fail.
fn interface_index(interface: &str) -> u32 {
    let named =
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok().and_then(|socket| name_to_index(&socket, interface).ok());
    named.or_else(|| interface.parse().ok()).unwrap_or_default()
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The text of a file, as far as it is there and not too long: without it the defaults hold.
fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    let _ = File::open(path).and_then(|file| file.take(LONGEST_FILE).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// ureq takes so many.
const MOST_ADDRESSES: usize = 16;
/// Servers send no more than 512 bytes to who doesn't say that more may come (RFC 1035, section 2.3.4); some do.
const LONGEST_DATAGRAM: usize = 4 * 1024;
/// RFC 8305 has 50 ms for the other family; some name servers are farther away than those of browsers.
const GRACE: Duration = Duration::from_millis(500);
/// `/etc/hosts` may be a list of unwanted hosts.
const LONGEST_FILE: u64 = 4 * 1024 * 1024;

#[cfg(test)]
mod tests;
