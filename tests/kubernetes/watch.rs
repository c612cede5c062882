//! Watches: replays, and every way in which one may end.

use std::time::Duration;

use kube2iam::for_tests::{
    ApiServerConnection, CallLimits, Frame, Kubernetes, KubernetesFailureKind, Resource, Verification, WatchLines,
};

use crate::server::{Reply, Server, Then};
use crate::{HandClock, api_server, plain};

const BOOKMARK: &str = "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"9\"}}}\n";

/// The version of each frame, then how the watch ended.
fn read(lines: &mut dyn WatchLines) -> (Vec<String>, &'static str) {
    let mut versions = Vec::new();
    for _ in 0..1_000 {
        match lines.next_line() {
            Ok(Some(frame)) => versions.push(match frame {
                Frame::Added(_, version) | Frame::Modified(_, version) | Frame::Deleted(_, version) => version,
                Frame::Bookmark(version) => version,
                Frame::Gone(_) => "gone".to_owned(),
                Frame::Unreadable(object, _) => format!("unreadable {}", object.identity),
                other => format!("{other:?}"),
            }),
            Ok(None) => return (versions, "ended"),
            Err(failure) => {
                assert!(failure.cause.starts_with("failed to read watch of `pods`: "), "{}", failure.cause);
                if failure.kind.is_refusal() {
                    return (versions, "endless");
                }
                assert_eq!(failure.kind, KubernetesFailureKind::Unavailable { retry_after_s: None });
                return (versions, "broken");
            }
        }
    }
    (versions, "without end")
}

#[test]
fn recorded_watches_are_read_line_by_line() {
    for (name, versions) in [
        ("watch-events", "240 241 242 243 244 245 246 247 248 249 250 251 261 261"),
        ("watch-gone", "gone"),
        ("watch-future", ""),
    ] {
        let server = Server::play(vec![Reply::recorded(name)]);
        let mut lines = plain(&server, CallLimits::default()).watch(Resource::Pods, "237").unwrap();
        let (read, end) = read(&mut *lines);
        assert_eq!((read.join(" ").as_str(), end), (versions, "ended"), "{name}");
    }
}

#[test]
fn a_watch_asks_for_bookmarks_from_its_version_for_a_while() {
    let server = Server::play(vec![Reply::recorded("watch-future"); 2]);
    let connection = ApiServerConnection::api_server(&server.url(), None, Verification::Required).unwrap();
    let clock = HandClock::default();
    let api = api_server(connection, Some("n1"), &clock, CallLimits::default());
    read(&mut *api.watch(Resource::Pods, "237").unwrap());
    clock.pass(Duration::from_micros(60));
    read(&mut *api.watch(Resource::Namespaces, "0").unwrap());
    let expected = [
        "/api/v1/pods?watch=1&allowWatchBookmarks=true&resourceVersion=237&timeoutSeconds=290&fieldSelector=spec.nodeName%3Dn1",
        "/api/v1/namespaces?watch=1&allowWatchBookmarks=true&resourceVersion=0&timeoutSeconds=350",
    ];
    assert_eq!(server.targets(), expected);
    assert_eq!(server.connections(), 1);
}

#[test]
fn every_end_of_a_watch_is_told_apart() {
    let limits = CallLimits { watch_idle: Duration::from_millis(500), ..CallLimits::default() };
    let half = format!("{BOOKMARK}{}", &BOOKMARK[..30]);
    let clean_half = [Reply::watch(&half, Then::KeepOpen).bytes, b"0\r\n\r\n".to_vec()].concat();
    for (what, reply, versions, end) in [
        ("closed between lines", Reply::watch(BOOKMARK, Then::Close), "9", "broken"),
        ("closed within a line", Reply::watch(&half, Then::Close), "9", "broken"),
        ("ended within a line", Reply::raw(&clean_half, Then::Close), "9", "broken"),
        ("silent", Reply::watch(BOOKMARK, Then::Hold), "9", "broken"),
        ("silent from the start", Reply::watch("", Then::Hold), "", "broken"),
        ("endless line", Reply::watch(BOOKMARK, Then::Babble), "9 unreadable an unknown one", "endless"),
        ("no lines at all", Reply::status("200 OK", "", "<html>"), "unreadable an unknown one", "ended"),
        ("empty lines", Reply::watch(&format!("\n\n{BOOKMARK}\n"), Then::Close), "9", "broken"),
    ] {
        let server = Server::play(vec![reply]);
        let mut lines = plain(&server, limits).watch(Resource::Pods, "1").unwrap();
        let (read, ended) = read(&mut *lines);
        assert_eq!((read.join(" ").as_str(), ended), (versions, end), "{what}");
        drop(lines);
        server.finish();
    }
}

#[test]
fn a_watch_that_never_ends_is_ended() {
    let server = Server::play(vec![Reply::watch(BOOKMARK, Then::Hold)]);
    let limits = CallLimits { watch_body: Duration::from_millis(500), ..CallLimits::default() };
    let mut lines = plain(&server, limits).watch(Resource::Pods, "1").unwrap();
    assert_eq!(read(&mut *lines), (vec!["9".to_owned()], "broken"));
}

#[test]
fn a_refused_watch_is_a_failure_of_its_kind() {
    for (reply, kind) in [
        (Reply::recorded("continue-gone"), KubernetesFailureKind::Gone),
        (Reply::recorded("forbidden"), KubernetesFailureKind::Forbidden),
        (Reply::raw(b"", Then::Close), KubernetesFailureKind::Unavailable { retry_after_s: None }),
    ] {
        let again = reply.clone();
        let server = Server::play(vec![reply, again]);
        let failure = plain(&server, CallLimits::default()).watch(Resource::Pods, "1").err().unwrap();
        assert_eq!(failure.kind, kind);
        assert!(failure.cause.starts_with("failed to watch `pods`: "), "{}", failure.cause);
    }
}

#[test]
fn shutting_down_ends_a_blocked_watch() {
    let server = Server::play(vec![Reply::watch(BOOKMARK, Then::Hold)]);
    let api = plain(&server, CallLimits::default());
    let mut lines = api.watch(Resource::Pods, "1").unwrap();
    assert!(matches!(lines.next_line(), Ok(Some(Frame::Bookmark(_)))));
    std::thread::scope(|scope| {
        scope.spawn(|| api.shut_down());
        assert_eq!(read(&mut *lines).1, "broken");
    });
    assert!(api.watch(Resource::Pods, "1").err().unwrap().cause.contains("shut down"));
}

/// Answers so many connections, each on a thread of its own: a watch with one bookmark and then silence, anything else
/// at once. Others are refused.
fn swallowing_server(connections: usize) -> std::net::SocketAddr {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = |mut stream: std::net::TcpStream| {
        let mut head = [0; 4096];
        let read = stream.read(&mut head).unwrap_or_default();
        let is_watch = String::from_utf8_lossy(&head[..read]).contains("watch=1");
        let reply = if is_watch { Reply::watch(BOOKMARK, Then::Hold) } else { Reply::status("200 OK", "", "{}") };
        drop(stream.write_all(&reply.bytes));
        drop(stream.read(&mut head));
    };
    let serve = move || {
        for stream in listener.incoming().take(connections).flatten() {
            std::thread::Builder::new().spawn(move || answer(stream)).unwrap();
        }
    };
    std::thread::Builder::new().name("stand-in".to_owned()).spawn(serve).unwrap();
    address
}

#[test]
fn connections_that_are_silent_are_opened_anew_once_a_new_one_is_answered() {
    let url = format!("http://{}", swallowing_server(3));
    let connection = ApiServerConnection::api_server(&url, None, Verification::Required).unwrap();
    let api = api_server(connection, None, &HandClock::default(), CallLimits::default());
    let mut lines = api.watch(Resource::Pods, "1").unwrap();
    assert!(matches!(lines.next_line(), Ok(Some(Frame::Bookmark(_)))));
    std::thread::scope(|scope| {
        scope.spawn(|| api.reopen().unwrap());
        assert_eq!(read(&mut *lines).1, "broken");
    });
    let mut again = api.watch(Resource::Pods, "9").unwrap();
    assert!(matches!(again.next_line(), Ok(Some(Frame::Bookmark(_)))));
}

#[test]
fn connections_that_are_silent_stay_while_a_new_one_is_not_answered() {
    let url = format!("http://{}", swallowing_server(1));
    let connection = ApiServerConnection::api_server(&url, None, Verification::Required).unwrap();
    let limits = CallLimits { watch_idle: Duration::from_millis(500), ..CallLimits::default() };
    let api = api_server(connection, None, &HandClock::default(), limits);
    let mut lines = api.watch(Resource::Pods, "1").unwrap();
    assert!(api.reopen().unwrap_err().cause.starts_with("failed to get `version`: "));
    assert!(matches!(lines.next_line(), Ok(Some(Frame::Bookmark(_)))));
}
