//! Many SDK clients in one pod, each with a connection of its own, as Spark executors and JVM clients have; and what
//! clients send that few others do.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::site::{OWN, POD, REGION, ROLES, Site};
use crate::standins::STS_CANARY;
use crate::standins::client::{self, Answer, Ask, Connection, TOKEN_HEADER, TTL_HEADER};

/// What a client does when its connection ends without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnLoss {
    Fail,
    /// Asks again over a new connection, as SDKs do.
    Reconnect,
}

/// An SDK with keep-alive: a connection that the server announces to close isn't used again.
struct Client {
    server: SocketAddr,
    connection: Option<Connection>,
    on_loss: OnLoss,
    token: String,
}

impl Client {
    fn ask(&mut self, ask: &Ask) -> Result<Answer, String> {
        let attempts = if self.on_loss == OnLoss::Reconnect { 3 } else { 1 };
        let mut lost = String::new();
        for _ in 0..attempts {
            let kept = self.connection.take().map_or_else(|| Connection::try_open(self.server, POD), Ok);
            let answer = kept.and_then(|mut connection| {
                connection.send(&ask.to_bytes());
                Ok((connection.read_answer()?, connection))
            });
            match answer {
                Ok((answer, connection)) => {
                    self.connection = Some(connection).filter(|_| answer.header("Connection") != Some("close"));
                    return Ok(answer);
                }
                Err(cause) => lost = cause.to_string(),
            }
        }
        Err(lost)
    }

    fn step(&mut self, step: Step) -> Result<(), String> {
        let (path, word) = match step {
            Step::Token => {
                self.token = self.ask(&Ask::new("PUT", "/latest/api/token").header(TTL_HEADER, "21600"))?.text();
                return Ok(());
            }
            Step::List => (ROLES, "app"),
            Step::Credentials => (OWN, STS_CANARY),
        };
        let answer = self.ask(&Ask::get(path).header(TOKEN_HEADER, &self.token))?;
        if answer.status == 200 && answer.text().contains(word) {
            return Ok(());
        }
        Err(format!("{path}: {answer:?}"))
    }
}

/// What an SDK does one after the other.
#[derive(Clone, Copy, Debug)]
enum Step {
    Token,
    List,
    Credentials,
}

/// Lets so many clients of one pod fetch credentials at the same time; returns why some got none. None takes a step
/// before all others have taken the one before it, so that all their connections are open at once.
fn failures(site: &Site, clients: usize, on_loss: OnLoss) -> Vec<String> {
    let client = || Client { server: site.addr(), connection: None, on_loss, token: String::new() };
    let mut clients: Vec<Client> = (0..clients).map(|_| client()).collect();
    let mut failures = Vec::new();
    for step in [Step::Token, Step::List, Step::Credentials] {
        failures.extend(std::thread::scope(|scope| {
            let steps: Vec<_> = clients.iter_mut().map(|client| scope.spawn(move || client.step(step))).collect();
            steps.into_iter().filter_map(|step| step.join().unwrap().err()).collect::<Vec<_>>()
        }));
    }
    failures
}

#[test]
fn a_hundred_and_fifty_clients_of_one_pod_all_get_credentials() {
    let site = Site::open(&[]);
    assert_eq!(failures(&site, 150, OnLoss::Fail), [""; 0]);
    for event in ["refused", "evicted"] {
        let name = format!("kube2iam_connections_total{{event=\"{event}\"}}");
        assert_eq!(site.metric(&name), Some(0.0), "{name}");
    }
}

#[test]
fn two_hundred_clients_of_one_pod_that_reconnect_all_get_credentials() {
    let site = Site::open(&[]);
    assert_eq!(failures(&site, 200, OnLoss::Reconnect), [""; 0]);
}

#[test]
fn from_thirty_two_connections_of_a_peer_on_answers_say_that_the_connection_closes() {
    let site = Site::open(&[]);
    let mut connections: Vec<_> = (0..31).map(|_| Connection::open(site.addr(), POD)).collect();
    for connection in &mut connections {
        assert_eq!(connection.ask(&Ask::get(OWN)).header("Connection"), None);
    }
    let mut last = Connection::open(site.addr(), POD);
    let answer = last.ask(&Ask::get(OWN));
    assert_eq!((answer.status, answer.header("Connection")), (200, Some("close")));
    assert_eq!(last.read_to_end(), b"");
    assert_eq!(Connection::open(site.addr(), "127.0.0.8").ask(&Ask::get(REGION)).header("Connection"), None);
}

/// More than a peer may have, none of which can be closed for another.
#[test]
fn refusals_are_counted_and_logged_once_a_minute_for_each_peer() {
    let site = Site::open(&["--backoff-max-elapsed-time=60s"]);
    // One whose request hasn't been read yet is closed for the next; those whose request waits for its pod are not.
    let asking = || {
        let mut connection = Connection::open(site.addr(), UNKNOWN);
        connection.send(&Ask::get(ROLES).to_bytes());
        connection
    };
    let mut all: Vec<_> = (0..500).map(|_| asking()).collect();
    site.agent.wait_for_log("connection refused; ");
    let is_late = Instant::now() + Duration::from_secs(60);
    while site.metric("kube2iam_connections_total{event=\"refused\"}").unwrap() < 2.0 {
        assert!(Instant::now() < is_late, "only one connection was refused");
        all.push(asking());
    }
    let logged = || site.agent.log().iter().filter(|line| line.contains("connection refused; ")).count();
    assert_eq!(logged(), 1, "{:?}", site.agent.log());
    assert_eq!(site.get(OWN).status, 200);
}

const UNKNOWN: &str = "127.0.0.98";

#[test]
fn a_token_request_with_a_chunked_body_is_answered_as_by_ec2() {
    let site = Site::open(&[]);
    let mut connection = Connection::open(site.addr(), POD);
    let chunked = |method: &str, path: &str, body: &str| {
        let ask = Ask::new(method, path).header(TTL_HEADER, "60").header("Transfer-Encoding", "chunked");
        [ask.to_bytes(), body.as_bytes().to_vec()].concat()
    };
    for body in ["0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n0\r\nX-Trailer: y\r\n\r\n"] {
        connection.send(&chunked("PUT", "/latest/api/token", body));
        let answer = connection.read_answer().unwrap();
        assert_eq!(answer.status, 200, "{body:?}");
        let list = connection.ask(&Ask::get(ROLES).header(TOKEN_HEADER, &answer.text()));
        assert_eq!((list.status, list.text().as_str()), (200, "app"), "the connection is in step after {body:?}");
        for (method, path, status) in [("GET", OWN, 200), ("GET", REGION, 200), ("POST", OWN, 405)] {
            connection.send(&chunked(method, path, body));
            assert_eq!(connection.read_answer().unwrap().status, status, "{method} {path}");
        }
    }
}

#[test]
fn empty_token_and_forwarded_for_headers_count_as_absent() {
    let site = Site::open(&[]);
    let empty = |ask: Ask| ask.header(TOKEN_HEADER, "").header("X-Forwarded-For", "");
    let answer = site.ask(&empty(Ask::get(OWN)));
    assert_eq!(answer.status, 200, "{answer:?}");
    let put = site.ask(&empty(Ask::new("PUT", "/latest/api/token").header(TTL_HEADER, "60")));
    assert_eq!(put.status, 200, "{put:?}");
}

#[test]
fn requests_that_never_came_to_be_are_logged_at_level_debug() {
    let site = Site::open(&["--log-level=debug"]);
    client::raw(site.addr(), POD, b"GET / HTTP/1.1\nHost: x\n\n");
    let line = site.agent.wait_for_log("request refused");
    assert!(line.contains("level=debug") && line.contains(POD) && line.contains("malformed-request"), "{line}");
}
