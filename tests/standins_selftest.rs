//! Can the stand-ins be trusted? A few claims of each, checked over the wire.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test fails loudly and may look at the clock")]

#[path = "standins/mod.rs"]
mod standins;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use standins::client::{self, Ask, Connection, TOKEN_HEADER, TTL_HEADER};
use standins::kubernetes::{Break, Kind, Kubernetes, On, PodSpec, Refusal};
use standins::metadata::{Metadata, MetadataFault, NODE_CANARY, Version};
use standins::sts::{Sts, StsFault};
use standins::{API_TOKEN, Times};

fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").parse().unwrap()
}

fn get(kubernetes: &Kubernetes, target: &str) -> client::Answer {
    client::get(address(&kubernetes.url()), "127.0.0.1", target)
}

/// A watch from the client's side.
struct Watch(Connection);

impl Watch {
    fn open(kubernetes: &Kubernetes, target: &str) -> Self {
        let mut connection = Connection::open(address(&kubernetes.url()), "127.0.0.1");
        connection.send(&Ask::get(target).to_bytes());
        assert_eq!(connection.read_head().unwrap().status, 200);
        Self(connection)
    }

    /// Type and name of the next object; `None` at the end in good order.
    fn next(&mut self) -> Option<(String, Value)> {
        let line = self.0.read_chunk().unwrap()?;
        let frame: Value = serde_json::from_slice(&line).unwrap();
        Some((frame["type"].as_str().unwrap().to_owned(), frame["object"].clone()))
    }
}

#[test]
fn lists_come_in_pages_and_by_field() {
    let kubernetes = Kubernetes::start();
    for (name, node) in [("a", "n1"), ("b", "n2"), ("c", "n1")] {
        kubernetes.add_pod(PodSpec::new("default", name).ip("127.0.0.7").ip("fd00::7").node(node).role("app"));
    }
    let first = get(&kubernetes, "/api/v1/pods?limit=2").json();
    assert_eq!((first["items"].as_array().unwrap().len(), &first["metadata"]["remainingItemCount"]), (2, &1.into()));
    kubernetes.add_pod(PodSpec::new("default", "d"));
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = get(&kubernetes, &format!("/api/v1/pods?limit=2&continue={token}")).json();
    assert_eq!(second["items"][0]["metadata"]["name"], "c");
    assert_eq!(second["metadata"], serde_json::json!({"resourceVersion": first["metadata"]["resourceVersion"]}));
    let on_node = get(&kubernetes, "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1,status.podIP%3D127.0.0.7").json();
    assert_eq!(on_node["items"].as_array().unwrap().len(), 2);
    assert_eq!(on_node["items"][1]["status"]["podIPs"][1]["ip"], "fd00::7");
    kubernetes.expire_pages();
    assert_eq!(get(&kubernetes, &format!("/api/v1/pods?continue={token}")).status, 410);
    assert_eq!(get(&kubernetes, "/api/v1/pods?fieldSelector=spec.color%3Dred").status, 400);
}

#[test]
fn watch_lines_arrive_at_once_and_in_order() {
    let kubernetes = Kubernetes::start();
    let version = kubernetes.version();
    let mut watch = Watch::open(
        &kubernetes,
        &format!(
            "/api/v1/pods?watch=1&allowWatchBookmarks=true&resourceVersion={version}&fieldSelector=spec.nodeName%3Dn1"
        ),
    );
    let start = Instant::now();
    let uid = kubernetes.add_pod(PodSpec::new("default", "web").node("n1").ip("127.0.0.7"));
    let (verb, pod) = watch.next().unwrap();
    // The stand-in looks ten times a second; a line in a buffer would wait for the next one, which never comes.
    assert!(start.elapsed() < Duration::from_secs(5), "a line was kept back for {:?}", start.elapsed());
    assert_eq!((verb.as_str(), pod["metadata"]["uid"].as_str().unwrap()), ("ADDED", uid.as_str()));
    kubernetes.set_phase("default", "web", "Succeeded");
    assert_eq!(watch.next().unwrap().0, "MODIFIED");
    kubernetes.update_pod("default", "web", |pod| pod.node("n2"));
    assert_eq!(watch.next().unwrap().0, "DELETED");
    kubernetes.bookmark(Kind::Pod);
    let (verb, mark) = watch.next().unwrap();
    assert_eq!(
        (verb.as_str(), &mark["metadata"]["resourceVersion"]),
        ("BOOKMARK", &kubernetes.version().to_string().into())
    );
    kubernetes.break_watches(Kind::Pod, Break::End);
    assert!(watch.next().is_none());
}

#[test]
fn an_old_watch_is_told_to_list_again() {
    let kubernetes = Kubernetes::start();
    let target = format!("/api/v1/namespaces?watch=1&resourceVersion={}", kubernetes.version());
    kubernetes.compact();
    let mut watch = Watch::open(&kubernetes, &target);
    let (verb, status) = watch.next().unwrap();
    assert_eq!((verb.as_str(), &status["code"]), ("ERROR", &410.into()));
    assert!(watch.next().is_none());
    kubernetes.refuse(On::Watch(Kind::Namespace), Refusal::Gone, Times::Next(1));
    assert_eq!(get(&kubernetes, &target).status, 410);
}

#[test]
fn watches_break_on_command() {
    for (how, last) in [(Break::Close, ""), (Break::HalfLine, "\"ha"), (Break::Endless { bytes: 100_000 }, "xxx")] {
        let kubernetes = Kubernetes::start();
        let mut watch = Watch::open(&kubernetes, "/api/v1/namespaces?watch=1");
        assert_eq!((watch.next().unwrap().0.as_str(), watch.next().unwrap().0.as_str()), ("ADDED", "ADDED"));
        kubernetes.break_watches(Kind::Namespace, how);
        // Only the endless line waits for it, since there the connection stays open.
        watch.0.set_deadline(Duration::from_secs(3));
        let rest = String::from_utf8(watch.0.read_to_end()).unwrap();
        let rest = rest.trim_end();
        assert!(rest.ends_with(last) && !rest.ends_with("0"), "{how:?} left {rest:?}");
    }
}

#[test]
fn requests_are_refused_on_command_and_without_the_token() {
    let kubernetes = Kubernetes::start();
    kubernetes.require_token(API_TOKEN);
    assert_eq!(get(&kubernetes, "/api/v1/pods").status, 401);
    let ask = Ask::get("/api/v1/pods").header("Authorization", &format!("Bearer {API_TOKEN}"));
    let server = address(&kubernetes.url());
    kubernetes.refuse(On::List(Kind::Pod), Refusal::Status { code: 429, retry_after_s: Some(3) }, Times::Next(2));
    let refused = ask.send(server, "127.0.0.1");
    assert_eq!((refused.status, refused.header("Retry-After")), (429, Some("3")));
    assert_eq!([ask.send(server, "127.0.0.1").status, ask.send(server, "127.0.0.1").status], [429, 200]);
    kubernetes.wire().go_down();
    assert!(Connection::try_open(server, "127.0.0.1").is_err());
    kubernetes.wire().come_back();
    assert_eq!(ask.send(server, "127.0.0.1").status, 200);
    assert_eq!((kubernetes.count(On::Any), kubernetes.authorizations().len()), (5, 4));
}

fn assume(sts: &Sts, role: &str) -> client::Answer {
    let form = format!(
        "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2F{role}\
         &RoleSessionName=node-{role}&DurationSeconds=900"
    );
    let ask = Ask::new("POST", "/")
        .header("Authorization", "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/sts/aws4_request, Signature=00");
    ask.body(form.as_bytes()).send(address(&sts.url()), "127.0.0.1")
}

#[test]
fn sts_grants_fresh_credentials_and_fails_as_told() {
    let sts = Sts::start("CANARY-A");
    let role = "arn:aws:iam::123456789012:role/app";
    let (one, two) = (assume(&sts, "app").text(), assume(&sts, "app").text());
    assert!(one.contains("<SecretAccessKey>CANARY-A") && one != two, "{one}");
    assert_eq!((sts.assumed(role), sts.secrets().len(), sts.calls()[0].field("DurationSeconds")), (2, 4, "900"));
    sts.fault(Some(role), StsFault::ACCESS_DENIED, Times::Next(1));
    assert_eq!(assume(&sts, "other").status, 200);
    let denied = assume(&sts, "app");
    assert!(denied.status == 403 && denied.text().contains("<Code>AccessDenied</Code>"), "{denied:?}");
    assert_eq!(assume(&sts, "app").status, 200);
    let unsigned = Ask::new("POST", "/").body(b"Action=GetCallerIdentity&Version=2011-06-15");
    assert_eq!(unsigned.send(address(&sts.url()), "127.0.0.1").status, 403);
}

#[test]
fn held_sts_calls_are_counted_until_released() {
    let sts = Sts::start("CANARY-B");
    sts.hold();
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..3).map(|_| scope.spawn(|| assume(&sts, "app").status)).collect();
        sts.wait_in_flight(3);
        sts.release();
        assert!(calls.into_iter().all(|call| call.join().unwrap() == 200));
    });
    assert_eq!(sts.max_in_flight(), 3);
}

#[test]
fn metadata_takes_every_spelling_of_a_path() {
    let metadata = Metadata::start();
    for spelling in [
        "/latest/meta-data/iam/security-credentials/node-role",
        "/latest/meta-data/IAM/Security-Credentials/NODE-ROLE/",
        "//latest/./x/../meta-data/%2569am/security-credentials%2fnode-role?a=b",
        "/latest/meta-data/iam;v=1/security-credentials./node-role%00.txt",
        "/latest/meta-data\\iam%c0%afsecurity-credentials/%20node-role",
        "http://169.254.169.254/2021-03-23/meta-data/iam/security-credentials/node-role",
    ] {
        let answer = client::get(metadata.address(), "127.0.0.1", spelling);
        assert!(answer.status == 200 && answer.text().contains(NODE_CANARY), "{spelling} gave {}", answer.status);
    }
    let listing = |path: &str| client::get(metadata.address(), "127.0.0.1", path).text();
    assert_eq!(listing("/latest/meta-data/iam/"), "info\nsecurity-credentials-extended/\nsecurity-credentials/");
    assert_eq!(listing("/latest"), "dynamic\nmeta-data\nuser-data");
}

#[test]
fn metadata_checks_tokens_strictly() {
    let metadata = Metadata::start();
    let server = metadata.address();
    let region = Ask::get("/latest/meta-data/placement/region");
    let with = |token: &str| region.clone().header(TOKEN_HEADER, token).send(server, "127.0.0.1").status;
    let token = client::token(server, "127.0.0.1");
    assert_eq!((with(&token), with("made-up"), region.send(server, "127.0.0.1").status), (200, 401, 200));
    metadata.expire_tokens();
    metadata.set_version(Version::SecondOnly);
    assert_eq!((with(&token), region.send(server, "127.0.0.1").status), (401, 401));
    let put = Ask::new("PUT", "/latest/api/token");
    let status = |ask: Ask| ask.send(server, "127.0.0.1").status;
    assert_eq!(status(put.clone().header(TTL_HEADER, "21601")), 400);
    assert_eq!(status(put.clone().header(TTL_HEADER, "60").header("X-Forwarded-For", "10.0.0.1")), 403);
    metadata.set_version(Version::FirstOnly(404));
    assert_eq!((status(put.header(TTL_HEADER, "60")), status(region)), (404, 200));
}

#[test]
fn metadata_fails_as_told() {
    let metadata = Metadata::start();
    let path = "/latest/meta-data/instance-id";
    metadata.fault(path, MetadataFault::Status(500), Times::Next(1));
    metadata.fault(path, MetadataFault::Large { bytes: 2 << 20 }, Times::Next(1));
    metadata.fault(path, MetadataFault::HalfBody, Times::Next(1));
    let ask = || client::get(metadata.address(), "127.0.0.1", path);
    assert_eq!((ask().status, ask().body.len()), (500, 2 << 20));
    let half = client::raw(metadata.address(), "127.0.0.1", &Ask::get(path).to_bytes());
    assert!(half.ends_with(b"\r\n\r\ni-1234567"), "{}", String::from_utf8_lossy(&half));
    assert_eq!((ask().text().as_str(), metadata.count("GET", path)), ("i-1234567890abcdef0", 4));
}
