//! Thousands of spellings of the ways to the node's secrets, with every method: none comes back, none is asked for.

use std::net::SocketAddr;
use std::time::Instant;

use crate::site::{POD, Site};
use crate::spellings::spellings;
use crate::standins::client::{Answer, Ask, Connection};
use crate::standins::metadata::{NODE_CANARY, Seen};

/// Whether anything in an answer is the node's: its secrets, or the id of its instance profile.
fn leaks(answer: &Answer) -> bool {
    let all = format!("{:?} {}", answer.headers, answer.text());
    all.contains(NODE_CANARY) || all.contains("AIPASTANDIN")
}

/// One client after the other asks everything, over as few connections as the door allows.
struct Asker {
    server: SocketAddr,
    from: &'static str,
    connection: Option<Connection>,
}

impl Asker {
    fn new(server: SocketAddr, from: &'static str) -> Self {
        Self { server, from, connection: None }
    }

    /// Whatever comes back, errors of the door itself included.
    fn try_ask(&mut self, method: &str, target: &str) -> Option<Answer> {
        let bytes = loaded(method, target).to_bytes();
        for fresh in [false, true] {
            if fresh || self.connection.is_none() {
                self.connection = Some(Connection::open(self.server, self.from));
            }
            let Some(connection) = &mut self.connection else { continue };
            connection.send(&bytes);
            let head = connection.read_head();
            let answer = head.and_then(|head| if method == "HEAD" { Ok(head) } else { connection.read_body(head) });
            if let Ok(answer) = answer {
                if answer.header("Connection") == Some("close") {
                    self.connection = None;
                }
                return Some(answer);
            }
        }
        None
    }

    fn ask(&mut self, method: &str, target: &str) -> Answer {
        self.try_ask(method, target).unwrap_or_else(|| panic!("no answer to {method} {target:?}"))
    }
}

/// A request with all that mustn't go upstream. The word `CLIENT` is in each value.
fn loaded(method: &str, target: &str) -> Ask {
    let mut ask = Ask::new(method, target).header("Accept", "text/x-pod");
    for name in UNWANTED {
        ask = ask.header(name, "CLIENT");
    }
    if matches!(method, "GET" | "HEAD" | "OPTIONS") { ask } else { ask.body(b"CLIENT") }
}

const UNWANTED: [&str; 12] = [
    "Authorization",
    "Cookie",
    "User-Agent",
    "X-Real-Ip",
    "Forwarded",
    "Via",
    "Range",
    "If-None-Match",
    "X-HTTP-Method-Override",
    "X-Original-URL",
    "X-Rewrite-URL",
    "Proxy-Authorization",
];

const METHODS: [&str; 7] = ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"];

#[test]
fn no_spelling_of_a_secrets_path_gets_it_or_is_seen_upstream() {
    let site = Site::open(&[]);
    site.lab.metadata.put("meta-data/managed-ssh-keys/signer-cert", &format!("{NODE_CANARY}-ssh"));
    let spellings: Vec<String> = spellings().into_iter().collect();
    assert!(spellings.len() >= 1_000, "{} spellings", spellings.len());
    assert_service_is_lenient(&site, &spellings);
    let before = site.lab.metadata.seen().len();
    let start = Instant::now();
    let mut statuses = std::collections::BTreeMap::new();
    let mut asker = Asker::new(site.addr(), POD);
    for target in &spellings {
        for method in METHODS {
            let answer = asker.ask(method, target);
            assert!(!leaks(&answer), "{method} {target:?} brought {answer:?}");
            *statuses.entry(answer.status).or_insert(0) += 1;
        }
    }
    println!("{} spellings, {:?}, {statuses:?}", spellings.len(), start.elapsed());
    let seen = site.lab.metadata.seen().split_off(before);
    println!("{} of them went upstream", seen.len());
    seen.iter().for_each(assert_harmless);
    site.lab.assert_log_is_clean(&site.agent);
}

/// Asking the service itself is slow: each answer costs a connection there.
const STEP: usize = 23;

/// Without the agent many of these spellings lead to the secret: otherwise the test above would prove little.
fn assert_service_is_lenient(site: &Site, spellings: &[String]) {
    let mut asker = Asker::new(site.lab.metadata.address(), POD);
    let leaking = |target: &&String| asker.try_ask("GET", target).is_some_and(|answer| leaks(&answer));
    let leaking = spellings.iter().step_by(STEP).filter(leaking);
    let (leaking, asked) = (leaking.count(), spellings.len() / STEP);
    assert!(leaking * 4 > asked, "only {leaking} of {asked} spellings lead anywhere at all");
}

fn assert_harmless(seen: &Seen) {
    match seen.method.as_str() {
        "PUT" => assert_eq!(seen.target, "/latest/api/token"),
        "GET" | "HEAD" => assert!(!is_secret(&seen.path()), "{} was asked for", seen.target),
        _ => panic!("{} {} went upstream", seen.method, seen.target),
    }
    for (name, value) in &seen.headers {
        let known = EXPECTED.iter().any(|expected| name.eq_ignore_ascii_case(expected));
        assert!(known && !value.contains("CLIENT"), "{} went upstream with {name}: {value}", seen.target);
    }
}

/// All that the agent sends; `Content-Length` with a token request's empty body.
const EXPECTED: [&str; 6] = [
    "Host",
    "Accept",
    "User-Agent",
    "Content-Length",
    "X-aws-ec2-metadata-token",
    "X-aws-ec2-metadata-token-ttl-seconds",
];

/// Of a path in the most forgiving reading, below a version or not.
fn is_secret(path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let below = |path: &[&str]| match path {
        ["meta-data", "iam" | "identity-credentials" | "managed-ssh-keys", ..] | ["user-data", ..] => true,
        ["dynamic", "instance-identity", proof, ..] => *proof != "document",
        ["dynamic", "fws", ..] => true,
        _ => false,
    };
    below(&segments) || below(segments.get(1..).unwrap_or_default())
}
