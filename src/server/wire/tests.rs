//! Tables of heads: accepted, rejected and why, and that the result doesn't depend on how the bytes are split.

use proptest::prelude::*;

use super::*;

fn read(bytes: &str) -> Result<Option<Head<'_>>, BadHead> {
    read_head(bytes.as_bytes(), &Limits::default())
}

fn whole(bytes: &str) -> Head<'_> {
    match read(bytes) {
        Ok(Some(head)) => head,
        Ok(None) => panic!("incomplete: {bytes:?}"),
        Err(bad) => panic!("{bad:?}: {bytes:?}"),
    }
}

const GOOD: [&str; 14] = [
    "GET / HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "\r\nGET / HTTP/1.1\r\n\r\n",
    "HEAD /latest/meta-data/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "PUT /latest/api/token HTTP/1.1\r\nHost: x\r\nX-aws-ec2-metadata-token-ttl-seconds: 21600\r\nContent-Length: 0\r\n\r\n",
    "GET http://169.254.169.254/latest/ HTTP/1.1\r\nHost: 169.254.169.254\r\nAccept: */*\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "BREW /pot HTTP/1.1\r\nHost: [fd00:ec2::254]\r\n\r\n",
    "GET /%2e%2E/a?b=c#d HTTP/1.1\r\nHost: x\r\nX-Empty:\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8192\r\nExpect: 100-continue\r\n\r\n",
    "GET / HTTP/1.1\r\nhOsT:\tx \r\nX-Long: a\tb\u{e9}\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: Keep-Alive, x\r\n\r\n",
    "GET /\u{fc} HTTP/1.1\r\nHost: x\r\n\r\n",
];

#[test]
fn every_prefix_of_a_valid_head_is_incomplete() {
    for good in GOOD {
        let limits = Limits::default();
        for end in 0..good.len() {
            let prefix = &good.as_bytes()[..end];
            assert!(matches!(read_head(prefix, &limits), Ok(None)), "{:?}", String::from_utf8_lossy(prefix));
        }
        assert_eq!(whole(good).bytes, good.len());
    }
}

#[test]
fn bytes_after_a_head_are_not_parsed() {
    for good in GOOD {
        let two = format!("{good}GET /next HTTP/9\n");
        assert_eq!(whole(&two).bytes, good.len());
    }
}

#[test]
fn invalid_heads_are_rejected_by_kind() {
    use BadHead::{BodyTooLong, Coding, Expectation, Malformed, Version};
    for (bad, lines) in [
        (Malformed, "GET / HTTP/1.1\nHost: x\n\n"),
        (Malformed, "GET / HTTP/1.1\r\nHost: x\n\r\n"),
        (Malformed, "GET / HTTP/1.1\r\nHost: x\r\n\n"),
        (Malformed, "\nGET / HTTP/1.1\r\n\r\n"),
        (Malformed, "\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
        (Malformed, "GET /\r\n"),
        (Malformed, "GET  / HTTP/1.1\r\n\r\n"),
        (Malformed, "GET / HTTP/1.1 \r\n\r\n"),
        (Malformed, " GET / HTTP/1.1\r\n\r\n"),
        (Malformed, "GET /\0 HTTP/1.1\r\n\r\n"),
        (Malformed, "GET HTTP/1.1\r\n\r\n"),
        (Malformed, "G(T / HTTP/1.1\r\n\r\n"),
        (Malformed, "\u{16}\u{3}\u{1}\u{2}"),
        (Malformed, "GET / HTTP/1.1\r\n Host: x\r\n\r\n"),
        (Malformed, "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n"),
        (Malformed, "GET / HTTP/1.1\r\nHost : x\r\n\r\n"),
        (Malformed, "GET / HTTP/1.1\r\nHost\r\n\r\n"),
        (Malformed, "GET / HTTP/1.1\r\n: x\r\n\r\n"),
        (Malformed, "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n"),
        (Malformed, "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n"),
        (Malformed, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        (Malformed, "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"),
        (Malformed, "GET / HTTP/1.1\r\nContent-Length: 1\r\ncontent-length: 2\r\n\r\n"),
        (Malformed, "GET / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n"),
        (Malformed, "GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n"),
        (Malformed, "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
        (Malformed, "GET / HTTP/1.1\r\nContent-Length: 0x1\r\n\r\n"),
        (Malformed, "GET / HTTP/1.1\r\nContent-Length:\r\n\r\n"),
        (Malformed, "GET / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n"),
        (Malformed, "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (Malformed, "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"),
        (Malformed, "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (Malformed, "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (Coding, "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
        (Coding, "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n"),
        (BodyTooLong, "POST / HTTP/1.1\r\nContent-Length: 8193\r\n\r\n"),
        (BodyTooLong, "POST / HTTP/1.1\r\nContent-Length: 1000000000000000\r\n\r\n"),
        (BodyTooLong, "POST / HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\n"),
        (Expectation, "POST / HTTP/1.1\r\nExpect: a-miracle\r\n\r\n"),
        (Version, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (Version, "GET / \r\n\r\n"),
        (Version, "GET /a b HTTP/1.1\r\n\r\n"),
        (Version, "GET / HTTP/1.2\r\n\r\n"),
        (Version, "GET / http/1.1\r\n\r\n"),
    ] {
        assert_eq!(read(lines).err(), Some(bad), "{lines:?}");
    }
}

#[test]
fn long_heads_are_rejected_as_soon_as_they_exceed_the_limit() {
    let limits = Limits::default();
    let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(8 * 1024));
    assert_eq!(read(&long[..8 * 1024]).err(), Some(BadHead::TooLong));
    assert!(matches!(read(&long[..8 * 1024 - 1]), Ok(None)));

    let line = "GET / HTTP/1.1\r\n";
    let padding = limits.head_bytes - line.len() - "A: \r\n\r\n".len();
    let exact = format!("{line}A: {}\r\n\r\n", "b".repeat(padding));
    assert_eq!(whole(&exact).bytes, limits.head_bytes);
    let over = format!("{line}A: {}\r\n\r\n", "b".repeat(padding + 1));
    assert_eq!(read(&over).err(), Some(BadHead::TooLong));
}

#[test]
fn the_65th_header_is_too_many() {
    let with = |count| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert_eq!(whole(&with(64)).bytes, with(64).len());
    assert_eq!(read(&with(65)).err(), Some(BadHead::TooLong));
}

#[test]
fn header_names_are_case_insensitive() {
    let head = whole(
        "PUT /latest/api/token HTTP/1.1\r\nHOST: h\r\naccept: a\r\nACCEPT: b\r\nx-Aws-Ec2-Metadata-Token: t\r\n\
         x-aws-ec2-metadata-token-TTL-seconds: 60\r\nx-aws-ec2-metadata-token-ttl-seconds: 61\r\n\
         x-forwarded-FOR: 10.0.0.1\r\n\r\n",
    );
    let headers = head.request.headers;
    assert_eq!((head.request.method, head.request.target), (Method::Put, "/latest/api/token"));
    assert_eq!(headers.host, Some(&b"h"[..]));
    assert_eq!(headers.accept, Some(&b"a"[..]));
    assert_eq!(headers.token, Some(&b"t"[..]));
    assert_eq!(headers.token_ttl, Some(&b"60"[..]));
    assert!(headers.forwarded_for);
    assert_eq!(whole(GOOD[1]).request.headers.host, None);
}

#[test]
fn duplicate_token_is_invalid() {
    for times in 2..5 {
        let lines = "X-aws-ec2-metadata-token: t\r\n".repeat(times);
        assert_eq!(whole(&format!("GET / HTTP/1.1\r\n{lines}\r\n")).request.headers.token, Some(DUPLICATE_TOKEN));
    }
}

#[test]
fn empty_token_and_forwarded_for_count_as_absent() {
    for empty in ["", " ", "\t "] {
        let lines = format!("X-aws-ec2-metadata-token:{empty}\r\nX-Forwarded-For:{empty}\r\n");
        let alone = format!("GET / HTTP/1.1\r\n{lines}\r\n");
        let headers = whole(&alone).request.headers;
        assert_eq!((headers.token, headers.forwarded_for), (None, false), "{lines:?}");
        let both = format!("GET / HTTP/1.1\r\n{lines}X-aws-ec2-metadata-token: t\r\nX-Forwarded-For: f\r\n{lines}\r\n");
        let headers = whole(&both).request.headers;
        assert_eq!((headers.token, headers.forwarded_for), (Some(&b"t"[..]), true), "{both:?}");
    }
}

#[test]
fn keep_alive_follows_version_and_connection_header() {
    for (version, connection, persistence) in [
        ("1.1", "", Persistence::KeepAlive),
        ("1.1", "Connection: upgrade\r\n", Persistence::KeepAlive),
        ("1.1", "Connection: CLOSE\r\n", Persistence::Close),
        ("1.1", "Connection: x ,\tclose\r\n", Persistence::Close),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", Persistence::Close),
        ("1.0", "", Persistence::Close),
        ("1.0", "Connection: Keep-Alive\r\n", Persistence::KeepAlive),
        ("1.0", "Connection: keep-alive, close\r\n", Persistence::Close),
    ] {
        let lines = format!("GET / HTTP/{version}\r\n{connection}\r\n");
        assert_eq!(whole(&lines).persistence, persistence, "{lines:?}");
    }
}

#[test]
fn body_length_and_expectation_are_parsed() {
    for (lines, body, expects) in [
        ("GET / HTTP/1.1\r\n\r\n", 0, false),
        ("POST / HTTP/1.1\r\nContent-Length: 007\r\n\r\n", 7, false),
        ("POST / HTTP/1.1\r\nContent-Length: 8192\r\nExpect: 100-Continue\r\n\r\n", 8192, true),
        ("POST / HTTP/1.0\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n", 3, false),
    ] {
        let head = whole(lines);
        assert_eq!((head.body, head.expects_continue), (BodyLength::Bytes(body), expects), "{lines:?}");
    }
    let head = whole("PUT / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!((head.body, head.expects_continue), (BodyLength::Chunked, true));
}

#[test]
fn every_rejection_has_its_own_status() {
    use BadHead::{BodyTooLong, Coding, Expectation, Malformed, TimedOut, TooLong, Version};
    let all = [Malformed, TimedOut, BodyTooLong, Expectation, TooLong, Coding, Version];
    let statuses: std::collections::BTreeSet<_> = all.iter().map(|bad| bad.status()).collect();
    let labels: std::collections::BTreeSet<_> = all.iter().map(|bad| bad.label()).collect();
    assert_eq!((statuses.len(), labels.len()), (all.len(), all.len()));
}

/// Bytes similar enough to a head to get far into the parser.
fn nearly_http() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        &b"GET "[..],
        b"/",
        b" HTTP/1.1\r\n",
        b" HTTP/1.0\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"Host: x\r\n",
        b"Content-Length: ",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Expect: 100-continue\r\n",
        b"9",
        b" ",
        b"\0",
        b"\xff",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn parsing_never_panics_and_no_verdict_changes_with_more_bytes(
        bytes in prop_oneof![nearly_http(), prop::collection::vec(any::<u8>(), 0..200)],
    ) {
        let limits = Limits::default();
        let mut verdict = None;
        for end in 0..=bytes.len() {
            let now = read_head(&bytes[..end], &limits).map(|head| head.map(|head| (head.bytes, head.body)));
            match (&verdict, now) {
                (None, Ok(None)) => {}
                (None, Ok(Some((length, _)))) => {
                    prop_assert_eq!(length, end);
                    verdict = Some(Ok(length));
                }
                (None, Err(bad)) => verdict = Some(Err(bad)),
                (Some(Ok(before)), now) => prop_assert_eq!(now.ok().flatten().map(|(length, _)| length), Some(*before)),
                // More bytes may change the error, but never make the head valid.
                (Some(Err(_)), now) => prop_assert!(now.is_err()),
            }
        }
    }
}
