//! Lists and the live list.

use std::net::IpAddr;
use std::time::Duration;

use kube2iam::for_tests::{ApiServerConnection, CallLimits, Kubernetes, KubernetesFailureKind, Resource, Verification};

use crate::server::{Reply, Server, Then};
use crate::{HandClock, api_server, names, plain};

#[test]
fn recorded_pages_arrive_over_one_connection() {
    let pages = ["list-pods-page-1", "list-pods-page-2", "list-pods-page-3"];
    let server = Server::play(pages.map(Reply::recorded).to_vec());
    let connection = ApiServerConnection::api_server(&server.url(), None, Verification::Required).unwrap();
    let api = api_server(connection, Some("n/1"), &HandClock::default(), CallLimits::default());
    let (mut all, mut continuation) = (Vec::new(), None);
    loop {
        let (names, page) = names(&api, Resource::Pods, continuation.as_deref());
        let page = page.unwrap();
        assert_eq!(page.version.as_str(), "237");
        all.extend(names);
        continuation = page.continuation;
        if continuation.is_none() {
            break;
        }
    }
    assert_eq!(all, ["host", "job-1", "pending", "web-0", "web-1", "web-2", "web-3", "web-4", "web-5", "web-6"]);
    let query = "/api/v1/pods?limit=500&fieldSelector=spec.nodeName%3Dn%2F1";
    let next = "&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MjM3LCJzdGFydCI6Ii9zaG9wL3dlYi";
    let expected = [query.to_owned(), format!("{query}{next}0wXHUwMDAwIn0"), format!("{query}{next}00XHUwMDAwIn0")];
    assert_eq!(server.targets(), expected);
    assert_eq!(server.connections(), 1);
}

#[test]
fn namespaces_are_not_bound_to_the_node() {
    let server = Server::play(vec![Reply::recorded("list-namespaces")]);
    let connection = ApiServerConnection::api_server(&server.url(), None, Verification::Required).unwrap();
    let api = api_server(connection, Some("n1"), &HandClock::default(), CallLimits::default());
    assert_eq!(names(&api, Resource::Namespaces, None).0.len(), 6);
    assert_eq!(server.targets(), ["/api/v1/namespaces?limit=500"]);
}

#[test]
fn requests_say_who_asks_and_for_what() {
    let server = Server::play(vec![Reply::recorded("list-pods")]);
    names(&plain(&server, CallLimits::default()), Resource::Pods, None).1.unwrap();
    let head = server.finish().remove(0).to_lowercase();
    let agent = format!("user-agent: kube2iam/{}\r\n", env!("CARGO_PKG_VERSION"));
    for line in ["accept: application/json\r\n", "authorization: bearer hunter2\r\n", &agent] {
        assert!(head.contains(line), "{line} in {head}");
    }
    assert!(!head.contains("accept-encoding"), "{head}");
}

#[test]
fn refusals_are_told_apart_by_what_helps() {
    let later = |retry_after_s| KubernetesFailureKind::Unavailable { retry_after_s };
    for (reply, kind, cause) in [
        (Reply::recorded("continue-gone"), KubernetesFailureKind::Gone, "410 Gone: The provided continue parameter"),
        (Reply::recorded("unauthorized"), KubernetesFailureKind::Unauthorized, "401 Unauthorized: Unauthorized"),
        (Reply::recorded("forbidden"), KubernetesFailureKind::Forbidden, "403 Forbidden: secrets is forbidden"),
        (Reply::status("429 Too Many Requests", "Retry-After: 7\r\n", ""), later(Some(7)), "429 Too Many Requests"),
        (Reply::status("503 Busy", "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n", "<html>"), later(None), "503"),
        (Reply::status("500 Oops", "", "{\"message\":\"a\\nb\"}"), later(None), "500 Internal Server Error: a b"),
        (Reply::status("302 Found", "Location: /elsewhere\r\n", ""), KubernetesFailureKind::Refused, "302 Found"),
        (Reply::status("404 Not Found", "", ""), KubernetesFailureKind::Refused, "404 Not Found"),
    ] {
        let server = Server::play(vec![reply]);
        let failure = names(&plain(&server, CallLimits::default()), Resource::Pods, None).1.unwrap_err();
        assert_eq!(failure.kind, kind, "{}", failure.cause);
        assert!(failure.cause.starts_with(&format!("failed to list `pods`: {cause}")), "{}", failure.cause);
        assert!(!failure.cause.contains('\n') && !failure.cause.contains("hunter2"));
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn broken_answers_are_failures_never_lists() {
    let limits = CallLimits {
        list_idle: Duration::from_millis(150),
        response_head: Duration::from_millis(150),
        ..CallLimits::default()
    };
    let page = Reply::recorded("list-pods").bytes;
    let half = &page[..page.len() / 2];
    let endless_item = Reply {
        bytes: [&b"HTTP/1.1 200 OK\r\n\r\n{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{\"a\":\""[..]].concat(),
        then: Then::Babble,
    };
    let (away, refused) = (KubernetesFailureKind::Unavailable { retry_after_s: None }, KubernetesFailureKind::Refused);
    for (what, reply, kind) in [
        ("half a page, then closed", Reply::raw(half, Then::Close), away),
        ("half a page, then silence", Reply::raw(half, Then::Hold), away),
        ("half a head, then silence", Reply::raw(b"HTTP/1.1 200 OK\r\nContent-", Then::Hold), away),
        ("silence", Reply::raw(b"", Then::Hold), away),
        ("not HTTP", Reply::raw(b"SSH-2.0-OpenSSH_9.9\r\n\r\n", Then::Close), away),
        ("not JSON", Reply::status("200 OK", "", "<html></html>"), refused),
        ("not a list", Reply::status("200 OK", "", "{}"), refused),
        ("an item without end", endless_item, refused),
        (
            "a page with a tail",
            Reply::status("200 OK", "", r#"{"metadata":{"resourceVersion":"1"},"items":[]} x"#),
            refused,
        ),
    ] {
        let server = Server::play(vec![reply]);
        let failure = names(&plain(&server, limits), Resource::Pods, None).1.unwrap_err();
        assert_eq!(failure.kind, kind, "{what}: {}", failure.cause);
        assert!(failure.cause.starts_with("failed to list `pods`: "), "{what}: {}", failure.cause);
    }
}

#[test]
fn after_a_page_that_took_too_long_fewer_items_are_asked_for_until_a_list_is_complete() {
    let limits = CallLimits { list_idle: Duration::from_millis(150), ..CallLimits::default() };
    let page = Reply::recorded("list-pods").bytes;
    let slow = || Reply::raw(&page[..page.len() / 2], Then::Hold);
    let closed = Reply::raw(&page[..page.len() / 2], Then::Close);
    let [first, whole, last] = ["list-pods-page-1", "list-pods", "list-pods"].map(Reply::recorded);
    let server = Server::play(vec![closed, slow(), slow(), slow(), first, whole, last]);
    let api = plain(&server, limits);
    for _ in 0..7 {
        drop(names(&api, Resource::Pods, None));
    }
    let asked = ["500", "500", "50", "5", "5", "5", "500"].map(|limit| format!("/api/v1/pods?limit={limit}"));
    assert_eq!(server.targets(), asked);
}

#[test]
fn nobody_listens_is_a_failure() {
    let server = Server::play(Vec::new());
    let api = plain(&server, CallLimits::default());
    server.finish();
    assert!(names(&api, Resource::Pods, None).1.unwrap_err().cause.contains("refused"));
}

#[test]
fn a_connection_closed_while_idle_is_not_a_failure() {
    let closed = Reply::raw(b"", Then::Close);
    let server = Server::play(vec![Reply::recorded("list-pods"), closed, Reply::recorded("list-pods-page-3")]);
    let api = plain(&server, CallLimits::default());
    assert_eq!(names(&api, Resource::Pods, None).0.len(), 10);
    assert_eq!(names(&api, Resource::Pods, None).0, ["web-5", "web-6"]);
    assert_eq!((server.connections(), server.requests().len()), (2, 3));
}

#[test]
fn the_live_list_asks_for_one_address_and_no_finished_pod() {
    let server = Server::play(vec![Reply::recorded("list-pod-by-ip"), Reply::recorded("list-pods-page-1")]);
    let api = plain(&server, CallLimits::default());
    let pods = api.pods_at(IpAddr::from([10, 1, 0, 12])).unwrap();
    let addresses: [IpAddr; 2] = ["10.1.0.12".parse().unwrap(), "fd00:10:1::12".parse().unwrap()];
    assert_eq!((pods.len(), pods[0].name.as_str(), &pods[0].addresses[..]), (1, "web-2", &addresses[..]));
    let too_many = api.pods_at(addresses[1]).unwrap_err();
    assert!(too_many.cause.contains("more than 50 pods"), "{}", too_many.cause);
    let query = |address| {
        format!(
            "/api/v1/pods?limit=50&fieldSelector=status.podIP%3D{address}\
             %2Cstatus.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed"
        )
    };
    assert_eq!(server.targets(), [query("10.1.0.12"), query("fd00%3A10%3A1%3A%3A12")]);
}

#[test]
fn the_live_list_does_not_wait_for_a_slow_server() {
    let server = Server::play(vec![Reply::raw(b"HTTP/1.1 200 OK\r\n\r\n{", Then::Hold)]);
    let api = plain(&server, CallLimits { live: Duration::from_millis(100), ..CallLimits::default() });
    assert!(api.pods_at(IpAddr::from([10, 0, 0, 1])).is_err());
}
