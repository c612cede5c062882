//! An EC2 metadata service to be played with, lenient on purpose: it takes every spelling of a path that some server
//! somewhere might take (`lenient`), so that whatever slips past the agent's own judgement is found out here.
//!
//! All that belongs to the node alone carries [`NODE_CANARY`]. A reply to a pod with that word in it is a leak.

mod lenient;
mod tree;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Times;
use super::exchange::{Exchange, Framing, Reply};
use super::wire::Wire;
use lenient::canonical;
use tree::{Document, Entry, Tree};

/// The service, listening until dropped.
pub struct Metadata {
    wire: Wire,
    state: Arc<Mutex<State>>,
}

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// The raw target.
    pub target: String,
    pub headers: Vec<(String, String)>,
}

impl Seen {
    /// What the target comes to in the most forgiving reading, in lower case.
    pub fn path(&self) -> String {
        canonical(&self.target)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// How an answer goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataFault {
    Status(u16),
    /// No answer until the client goes away.
    Hang,
    Close,
    /// The whole length announced, half of the body sent.
    HalfBody,
    /// 200 with this many bytes.
    Large {
        bytes: usize,
    },
    /// The right answer, later.
    Slow(Duration),
}

/// What the instance demands of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A token is checked if there is one.
    Either,
    /// Without a valid token: 401.
    SecondOnly,
    /// Token requests are answered with this status, 403 or 404; tokens are ignored.
    FirstOnly(u16),
}

struct State {
    tree: Tree,
    version: Version,
    tokens: HashMap<String, Instant>,
    tokens_given: usize,
    faults: Vec<(String, MetadataFault, Times)>,
    seen: Vec<Seen>,
    in_flight: usize,
    max_in_flight: usize,
}

impl Metadata {
    /// Starts as an instance with the role `node-role` that takes both versions.
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State {
            tree: Tree::of_instance(),
            version: Version::Either,
            tokens: HashMap::new(),
            tokens_given: 0,
            faults: Vec::new(),
            seen: Vec::new(),
            in_flight: 0,
            max_in_flight: 0,
        }));
        let answering = state.clone();
        let wire = Wire::start("metadata", move |exchange| answer(&answering, exchange));
        Self { wire, state }
    }

    pub fn address(&self) -> SocketAddr {
        self.wire.address()
    }

    /// The connections: cut them, go down, come back.
    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    pub fn set_version(&self, version: Version) {
        self.state.lock().version = version;
    }

    /// Sets a document below `latest/`, for example `meta-data/instance-id`.
    pub fn put(&self, path: &str, body: &str) {
        self.state.lock().tree.put(path, Document::Text(body.to_owned()));
    }

    /// Takes away a document or everything below a directory.
    pub fn remove(&self, path: &str) {
        self.state.lock().tree.remove(path);
    }

    /// Changes the instance profile's role; `None` takes the profile away.
    pub fn set_role(&self, role: Option<&str>) {
        self.state.lock().tree.set_role(role);
    }

    /// How long the node's own credentials are valid from each request on.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.state.lock().tree.lifetime = lifetime;
    }

    /// All tokens handed out so far are worth nothing any more.
    pub fn expire_tokens(&self) {
        self.state.lock().tokens.clear();
    }

    /// Lets requests go wrong whose canonical path (such as `/latest/meta-data/instance-id`) begins with `prefix`.
    pub fn fault(&self, prefix: &str, fault: MetadataFault, times: Times) {
        self.state.lock().faults.push((prefix.to_owned(), fault, times));
    }

    pub fn clear_faults(&self) {
        self.state.lock().faults.clear();
    }

    /// All requests so far, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().seen.clone()
    }

    /// The most requests that were ever made to wait at once by [`MetadataFault::Slow`].
    pub fn max_in_flight(&self) -> usize {
        self.state.lock().max_in_flight
    }

    /// How many requests had this method and raw target.
    pub fn count(&self, method: &str, target: &str) -> usize {
        let seen = &self.state.lock().seen;
        seen.iter().filter(|seen| seen.method == method && seen.target == target).count()
    }
}

fn answer(state: &Mutex<State>, exchange: Exchange) {
    let seen = Seen { method: exchange.method(), target: exchange.target().to_owned(), headers: exchange.headers() };
    let path = canonical(&seen.target);
    let (fault, reply) = {
        let mut state = state.lock();
        state.seen.push(seen.clone());
        (state.take_fault(&path), state.decide(&seen, &path))
    };
    match fault {
        None => exchange.answer(reply),
        Some(MetadataFault::Hang) => exchange.hang(),
        Some(MetadataFault::Close) => exchange.close(),
        Some(MetadataFault::Status(status)) => exchange.answer(error(status)),
        Some(MetadataFault::HalfBody) => exchange.answer(reply.framed(Framing::HalfBody)),
        Some(MetadataFault::Large { bytes }) => exchange.answer(text(vec![b'x'; bytes])),
        Some(MetadataFault::Slow(delay)) => {
            state.lock().begin_waiting();
            std::thread::sleep(delay);
            state.lock().in_flight -= 1;
            exchange.answer(reply);
        }
    }
}

impl State {
    fn begin_waiting(&mut self) {
        self.in_flight += 1;
        self.max_in_flight = self.max_in_flight.max(self.in_flight);
    }

    fn take_fault(&mut self, path: &str) -> Option<MetadataFault> {
        let index = self.faults.iter().position(|(prefix, ..)| path.starts_with(prefix.as_str()))?;
        let (_, fault, times) = &mut self.faults[index];
        let fault = *fault;
        if times.spend() {
            self.faults.remove(index);
        }
        Some(fault)
    }

    fn decide(&mut self, seen: &Seen, path: &str) -> Reply {
        if path.ends_with("/api/token") {
            return self.token(seen, path);
        }
        if !matches!(seen.method.as_str(), "GET" | "HEAD") {
            return error(405).with("Allow", "GET, HEAD");
        }
        if !self.may_read(seen.header("X-aws-ec2-metadata-token")) {
            return error(401);
        }
        match self.tree.find(path) {
            Some(Entry::Document(body)) => text(body),
            Some(Entry::Listing(names)) => text(names.join("\n")),
            None => error(404),
        }
    }

    /// A token that was presented must be good, also where none is needed.
    fn may_read(&self, token: Option<&str>) -> bool {
        match (self.version, token) {
            (Version::FirstOnly(_), _) | (Version::Either, None) => true,
            (Version::SecondOnly, None) => false,
            (_, Some(token)) => self.tokens.get(token).is_some_and(|expiry| Instant::now() < *expiry),
        }
    }

    fn token(&mut self, seen: &Seen, path: &str) -> Reply {
        if seen.method != "PUT" {
            return error(405).with("Allow", "OPTIONS, PUT");
        }
        if let Version::FirstOnly(status) = self.version {
            return error(status);
        }
        if path != "/latest/api/token" || seen.header("X-Forwarded-For").is_some() {
            return error(403);
        }
        let ttl = seen.header("X-aws-ec2-metadata-token-ttl-seconds").and_then(|text| text.parse().ok());
        let Some(ttl @ 1..=21_600) = ttl else {
            return error(400);
        };
        self.tokens_given += 1;
        let token = format!("{NODE_CANARY}-IMDS-TOKEN-{:06}==", self.tokens_given);
        self.tokens.insert(token.clone(), Instant::now() + Duration::from_secs(ttl));
        text(token).with("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", ttl.to_string())
    }
}

/// An answer with the headers of the real service, which closes after each.
fn text(body: impl Into<Vec<u8>>) -> Reply {
    Reply::new(200, "text/plain", body)
        .with("Accept-Ranges", "none")
        .with("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        .with("Server", "EC2ws")
        .framed(Framing::Closing)
}

fn error(status: u16) -> Reply {
    let title = tiny_http::StatusCode(status).default_reason_phrase();
    let page = format!(
        "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n\
         <html xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"en\" lang=\"en\">\n <head>\n  \
         <title>{status} - {title}</title>\n </head>\n <body>\n  <h1>{status} - {title}</h1>\n </body>\n</html>\n"
    );
    Reply::new(status, "text/html", page).with("Server", "EC2ws").framed(Framing::Closing)
}

/// In everything that belongs to the node alone.
pub const NODE_CANARY: &str = "NODE-CANARY";
