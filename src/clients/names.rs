//! Resolves names with the C library: `/etc/hosts`, then the name servers of `/etc/resolv.conf`.
//!
//! getaddrinfo(3) has no timeout, so each ureq agent has a thread for its lookups, and callers wait for it up to their
//! own limit: a hanging name server delays only calls to that agent's server.

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

/// The resolver of one ureq agent.
#[derive(Debug)]
pub(super) struct NameResolver {
    look_up: LookUp,
    /// Channel to the thread, which starts with the first lookup and ends when this is dropped.
    thread: Mutex<Option<Sender<NameQuery>>>,
}

/// Resolves a name; blocks without a limit.
type LookUp = fn(&str) -> io::Result<Vec<IpAddr>>;

#[derive(Debug)]
struct NameQuery {
    host: String,
    answer: Sender<Result<Vec<IpAddr>, Unfound>>,
}

/// Why a lookup returned no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Unfound {
    /// The name doesn't exist, or has no address.
    Absent,
    /// The lookup failed, with the cause.
    Unknown(String),
    TimedOut,
}

impl NameResolver {
    /// The system's resolver.
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
            Err(RecvTimeoutError::Disconnected) => {
                Err(Unfound::Unknown("the lookup ended without a result".to_owned()))
            }
        }
    }

    fn ask(&self, query: NameQuery) -> io::Result<()> {
        let mut thread = self.thread.lock();
        let Some(queries) = &*thread else {
            let (queries, received) = bounded(MAX_QUEUED);
            let look_up = self.look_up;
            threads::spawn("names", threads::STACK_BYTES, move || serve_queries(&received, look_up))?;
            // The thread holds the other end.
            let _ = queries.try_send(query);
            *thread = Some(queries);
            return Ok(());
        };
        queries.try_send(query).map_err(|error| match error {
            TrySendError::Full(_) => io::Error::other("too many lookups are waiting for a name server"),
            TrySendError::Disconnected(_) => io::Error::other("the thread for lookups has ended"),
        })
    }
}

/// Answers queries until the channel closes. One lookup answers all queued queries for the same name; otherwise they
/// would accumulate while a name server hangs.
fn serve_queries(queries: &Receiver<NameQuery>, look_up: LookUp) {
    let mut waiting: Vec<NameQuery> = Vec::new();
    loop {
        if waiting.is_empty() {
            let Ok(query) = queries.recv() else { return };
            waiting.push(query);
        }
        let host = waiting[0].host.clone();
        let found = found(&host, look_up(&host));
        waiting.extend(queries.try_iter());
        let (answered, others) = waiting.into_iter().partition(|query| query.host == host);
        waiting = others;
        let answered: Vec<NameQuery> = answered;
        for query in answered {
            // The caller may have timed out.
            let _ = query.answer.send(found.clone());
        }
    }
}

fn found(host: &str, looked_up: io::Result<Vec<IpAddr>>) -> Result<Vec<IpAddr>, Unfound> {
    match looked_up {
        Ok(addresses) if addresses.is_empty() => Err(Unfound::Absent),
        Ok(addresses) => Ok(addresses),
        Err(error) => {
            let text = error.to_string();
            let cause = text.strip_prefix(STD_PREFIX).unwrap_or(&text);
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
            // With a proxy, only the proxy's own name is resolved.
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
        let found = found.into_iter().filter(is_wanted).take(MAX_ADDRESSES);
        found.for_each(|address| addresses.push(SocketAddr::new(address, port)));
        if addresses.is_empty() { Err(Error::HostNotFound) } else { Ok(addresses) }
    }
}

/// Names resolved without a lookup: literal addresses and localhost (RFC 6761, section 6.3).
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

/// Far above the number of concurrent calls of one ureq agent.
const MAX_QUEUED: usize = 64;
/// ureq's maximum.
const MAX_ADDRESSES: usize = 16;
/// The prefix that std puts before the text of gai_strerror(3).
const STD_PREFIX: &str = "failed to lookup address information: ";
/// EAI_NONAME and EAI_NODATA. std keeps only the text, not the number; no locale is ever set.
const ABSENT: [&str; 2] = ["Name or service not known", "No address associated with hostname"];

#[cfg(test)]
mod tests;
