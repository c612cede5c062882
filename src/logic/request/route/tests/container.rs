//! The addresses and hosts that container credentials are served under.

use super::*;
use crate::logic::request::route::{CONTAINER_ADDRESS, UnreadHead, has_broken_authorization};

const ON: RouteRules =
    RouteRules { metrics: true, debug: true, container_credentials: true, allowed: Vec::new(), denied: Vec::new() };

/// How a connection reached the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    Direct,
    Redirected,
}

use Arrival::{Direct, Redirected};

fn asked(method: Method, target: &str, host: Option<&str>, local: &str, arrival: Arrival, rules: &RouteRules) -> Route {
    let headers = Headers { host: host.map(str::as_bytes), ..Headers::default() };
    let request = Request { method, target, headers };
    let facing = facing(&request, || arrival == Arrival::Redirected, || local.parse().ok(), rules);
    route(&request, facing, rules)
}

const PATH: &str = "/v1/credentials";

#[test]
fn container_credentials_are_served_at_their_address_and_at_loopback_alone() {
    let own = CONTAINER_ADDRESS.to_string();
    let refused = Route::Refuse(Reason::NotFound);
    for (host, local, arrival, expected) in [
        ("169.254.170.2:8181", &*own, Direct, Route::ContainerCredentials),
        ("127.0.0.1:8181", "127.0.0.1", Direct, Route::ContainerCredentials),
        ("127.0.0.1", "127.0.0.9", Direct, Route::ContainerCredentials),
        ("[::1]:8181", "::1", Direct, Route::ContainerCredentials),
        ("127.0.0.1:8181", "10.0.1.1", Direct, refused.clone()),
        ("169.254.170.2:8181", "10.0.1.1", Direct, refused.clone()),
        // The metadata address, however it was determined.
        ("169.254.169.254", "127.0.0.1", Direct, refused.clone()),
        ("127.0.0.1:8181", "127.0.0.1", Redirected, refused.clone()),
        ("169.254.169.254", "10.0.1.1", Redirected, refused.clone()),
    ] {
        let found = asked(Method::Get, PATH, Some(host), local, arrival, &ON);
        assert_eq!(found, expected, "{host} {local} {arrival:?}");
        let off = asked(Method::Get, PATH, Some(host), local, arrival, &RouteRules::default());
        assert_eq!(off, refused, "{host} {local} {arrival:?}");
    }
}

#[test]
fn nothing_else_is_served_at_the_address_of_container_credentials() {
    let own = CONTAINER_ADDRESS.to_string();
    for target in [
        "/",
        "/healthz",
        "/readyz",
        "/metrics",
        "/debug/store",
        "/latest/meta-data/iam/security-credentials/",
        "/latest/meta-data/",
        "/latest/api/token",
        "/v1/credentials/",
        "/v1//credentials",
        "/v1/%63redentials",
        "/V1/credentials",
        "/v1/credentials/x",
        "//v1/credentials",
        "http://169.254.170.2/v1/credentials",
        "*",
        "",
    ] {
        for host in ["169.254.170.2", "169.254.169.254"] {
            for method in [Method::Get, Method::Put] {
                let found = asked(method, target, Some(host), &own, Direct, &ON);
                assert_eq!(found, Route::RefuseContainer(Reason::NotFound), "{target} {host}");
                assert_eq!(found.way(), "container-credentials");
            }
        }
    }
    assert_eq!(
        asked(Method::Get, "/healthz", Some("127.0.0.1"), "127.0.0.1", Direct, &ON),
        Route::Page(OwnPage::Health)
    );
    let elsewhere = asked(Method::Get, "/v1/%63redentials", Some("127.0.0.1"), "127.0.0.1", Direct, &ON);
    assert_eq!(elsewhere, Route::Refuse(Reason::NotFound));
}

#[test]
fn foreign_hosts_are_refused() {
    let own = CONTAINER_ADDRESS.to_string();
    for host in ["169.254.170.2", "169.254.170.2:8181", "127.0.0.1", "localhost", "LocalHost:1", "[::1]", "[::1]:8181"]
    {
        assert_eq!(asked(Method::Get, PATH, Some(host), &own, Direct, &ON), Route::ContainerCredentials, "{host}");
    }
    let strange = [
        "evil.example",
        "evil.example:8181",
        "127.0.0.2",
        "169.254.170.23",
        "10.0.1.1",
        "::1",
        "[::2]",
        "[127.0.0.1]",
        "localhost.evil.example",
        "localhost.",
        "169.254.170.2.",
        "0x7f.1",
        "",
        "127.0.0.1:x",
        "\u{e9}",
    ];
    for host in strange {
        let found = asked(Method::Get, PATH, Some(host), &own, Direct, &ON);
        assert_eq!(found, Route::RefuseContainer(Reason::HostNotAllowed), "{host}");
        let posted = asked(Method::Post, PATH, Some(host), &own, Direct, &ON);
        assert_eq!(posted, Route::RefuseContainer(Reason::HostNotAllowed), "{host}");
    }
    let found = asked(Method::Get, PATH, Some("evil.example"), "127.0.0.1", Direct, &ON);
    assert_eq!(found, Route::RefuseContainer(Reason::HostNotAllowed));
    assert_eq!(asked(Method::Get, PATH, None, &own, Direct, &ON), Route::RefuseContainer(Reason::HostNotAllowed));
}

#[test]
fn only_get_gets_container_credentials() {
    for method in
        [Method::Head, Method::Put, Method::Post, Method::Delete, Method::Options, Method::Patch, Method::Other]
    {
        let found = asked(method, PATH, Some("127.0.0.1"), "127.0.0.1", Direct, &ON);
        assert_eq!(found, Route::RefuseContainer(Reason::MethodNotAllowed), "{method:?}");
    }
    assert_eq!(
        asked(Method::Get, "/v1/credentials?x=y", Some("127.0.0.1"), "127.0.0.1", Direct, &ON),
        Route::ContainerCredentials
    );
}

#[test]
fn a_malformed_authorization_line_is_recognised() {
    for (head, expected) in [
        ("GET / HTTP/1.1\r\nauthorization: a\u{7f}b\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nAuthorization: a\0b", true),
        ("GET / HTTP/1.1\r\nAuthorization: a\nHost: x\r\n", true),
        ("GET / HTTP/1.1\r\nAuthorization: a\rb\r\n", true),
        ("GET / HTTP/1.1\r\nAuthorization: a\tb \r\n\r\n", false),
        ("GET / HTTP/1.1\r\nAuthorization: a\r", false),
        ("GET / HTTP/1.1\r\nHost: a\u{1}b\r\nX-Authorization: a\u{1}\r\n", false),
        ("", false),
    ] {
        assert_eq!(has_broken_authorization(head.as_bytes()), expected, "{head:?}");
    }
}

#[test]
fn target_and_host_of_an_unparsed_head_are_found_if_present() {
    let head = |text: &'static str| UnreadHead::of(text.as_bytes()).map(|head| (head.target, head.host));
    let whole = "GET /v1/credentials HTTP/1.1\r\nAccept: */*\r\nHost: 169.254.170.2\r\nAuthorization: a\rb";
    assert_eq!(head(whole), Some(("/v1/credentials", Some(&b"169.254.170.2"[..]))));
    assert_eq!(head("GET /v1/credentials HTTP/1.1\r\nHo"), Some(("/v1/credentials", None)));
    for other in ["GET /latest/user-data HTTP/1.1\r\n", "PUT /v1/credentials HTTP/1.1\r\n", "", "GET"] {
        assert_eq!(head(other), None, "{other}");
    }
}
