//! Looks names up with the C library: `/etc/hosts`, then the name servers of `/etc/resolv.conf`.
//!
//! getaddrinfo(3) has no deadline, so each agent has a thread for its lookups, and those who ask wait for it
//! no longer than they may: a name server that hangs holds up calls to that agent's server and no others.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use parking_lot::Mutex;
use ureq::Error;
use ureq::config::{Config, IpFamily};
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::os::{nss, threads};

/// The names that one agent looks up.
#[derive(Debug)]
pub(super) struct NameResolver {
    look_up: LookUp,
    /// To the thread, which starts with the first name and ends with this.
    thread: Mutex<Option<Sender<NameQuery>>>,
}

/// Addresses of a name; blocks for as long as the system likes.
type LookUp = fn(&str) -> io::Result<Vec<IpAddr>>;

#[derive(Debug)]
struct NameQuery {
    host: String,
    answer: Sender<Result<Vec<IpAddr>, Unfound>>,
}

/// Why a name has no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Unfound {
    /// There is no such name, or it has no address.
    Absent,
    /// Nothing could be found out, and why.
    Unknown(String),
    TimedOut,
}

impl NameResolver {
    /// Those of this machine.
    pub(super) fn system() -> Self {
        Self::by(system_look_up)
    }

    fn by(look_up: LookUp) -> Self {
        Self { look_up, thread: Mutex::new(None) }
    }

    fn find(&self, host: &str, limit: Duration) -> Result<Vec<IpAddr>, Unfound> {
        if let Some(known) = known(host) {
            return Ok(known);
        }
        let (answer, answered) = bounded(1);
        self.ask(NameQuery { host: host.to_owned(), answer }).map_err(|error| Unfound::Unknown(error.to_string()))?;
        match answered.recv_timeout(limit) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => Err(Unfound::TimedOut),
            Err(RecvTimeoutError::Disconnected) => Err(Unfound::Unknown("the lookup broke off".to_owned())),
        }
    }

    fn ask(&self, question: NameQuery) -> io::Result<()> {
        let mut thread = self.thread.lock();
        let Some(questions) = &*thread else {
            let (questions, asked) = bounded(MOST_WAITING);
            let look_up = self.look_up;
            threads::spawn("names", threads::STACK_BYTES, move || answer_all(&asked, look_up))?;
            // The thread holds the other end.
            let _ = questions.try_send(question);
            *thread = Some(questions);
            return Ok(());
        };
        questions.try_send(question).map_err(|error| match error {
            TrySendError::Full(_) => io::Error::other("too many lookups wait for a name server"),
            TrySendError::Disconnected(_) => io::Error::other("the thread for lookups has ended"),
        })
    }
}

/// Answers questions until no more can come. Those about one name that have queued up get one answer: the askers of a
/// name server that hangs would add up otherwise.
fn answer_all(questions: &Receiver<NameQuery>, look_up: LookUp) {
    let mut waiting: Vec<NameQuery> = Vec::new();
    loop {
        if waiting.is_empty() {
            let Ok(question) = questions.recv() else { return };
            waiting.push(question);
        }
        let host = waiting[0].host.clone();
        let found = found(&host, look_up(&host));
        waiting.extend(questions.try_iter());
        let (answered, others) = waiting.into_iter().partition(|question| question.host == host);
        waiting = others;
        let answered: Vec<NameQuery> = answered;
        for question in answered {
            // One who has gone needs no answer.
            let _ = question.answer.send(found.clone());
        }
    }
}

fn found(host: &str, looked_up: io::Result<Vec<IpAddr>>) -> Result<Vec<IpAddr>, Unfound> {
    match looked_up {
        Ok(addresses) if addresses.is_empty() => Err(Unfound::Absent),
        Ok(addresses) => Ok(addresses),
        Err(error) => {
            let text = error.to_string();
            let cause = text.strip_prefix(STD_SAYS).unwrap_or(&text);
            if ABSENT.contains(&cause) {
                return Err(Unfound::Absent);
            }
            Err(Unfound::Unknown(format!("failed to look up `{host}`: {cause}")))
        }
    }
}

impl Resolver for NameResolver {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let is_wanted = |address: &IpAddr| match config.ip_family() {
            IpFamily::Any => true,
            IpFamily::Ipv4Only => address.is_ipv4(),
            IpFamily::Ipv6Only => address.is_ipv6(),
        };
        let found = match self.find(host, *timeout.after) {
            Ok(found) => found,
            // Of a server behind a proxy only the proxy's name is looked up.
            Err(Unfound::Absent) if config.proxy().is_some() => {
                return Err(Error::ConnectProxyFailed(format!("there is no host `{host}`")));
            }
            Err(Unfound::Absent) => return Err(Error::HostNotFound),
            Err(Unfound::Unknown(cause)) => return Err(Error::Io(io::Error::other(cause))),
            Err(Unfound::TimedOut) => {
                let cause = format!("failed to look up `{host}`: no name server answered in time");
                return Err(Error::Io(io::Error::new(ErrorKind::TimedOut, cause)));
            }
        };
        let mut addresses = self.empty();
        let found = found.into_iter().filter(is_wanted).take(MOST_ADDRESSES);
        found.for_each(|address| addresses.push(SocketAddr::new(address, port)));
        if addresses.is_empty() { Err(Error::HostNotFound) } else { Ok(addresses) }
    }
}

/// Addresses of names that are never asked for: addresses themselves, and this machine (RFC 6761, section 6.3).
fn known(host: &str) -> Option<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Some(vec![address]);
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let local = name == "localhost" || name.ends_with(".localhost");
    local.then(|| vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
}

fn system_look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    nss::use_files_and_dns();
    Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

/// Far above the calls that one agent has under way at a time.
const MOST_WAITING: usize = 64;
/// ureq takes so many.
const MOST_ADDRESSES: usize = 16;
/// Before what gai_strerror(3) says.
const STD_SAYS: &str = "failed to lookup address information: ";
/// EAI_NONAME and EAI_NODATA. std keeps the text and not the number; no locale is ever set.
const ABSENT: [&str; 2] = ["Name or service not known", "No address associated with hostname"];

#[cfg(test)]
mod tests;
