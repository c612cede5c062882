//! Request and response bodies.

use super::*;

/// The response body of `/stream/KIND`.
pub(super) fn stream(kind: &str) -> Body {
    let whole: &[u8] = &[b's'; STREAMED];
    let half = &whole[..STREAMED / 2];
    let (source, length): (Box<dyn Read + Send>, _) = match kind {
        "known" => (Box::new(whole), Some(STREAMED as u64)),
        "empty" => (Box::new(std::io::empty()), None),
        "short" => (Box::new(half), Some(STREAMED as u64)),
        "long" => (Box::new(whole), Some(STREAMED as u64 / 2)),
        "broken" => (Box::new(half.chain(Breaks)), None),
        "panics" => (Box::new(half.chain(Panics)), None),
        _ => (Box::new(whole), None),
    };
    Body::Stream { source, length }
}

const STREAMED: usize = 40_000;

struct Breaks;

impl Read for Breaks {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::ConnectionReset.into())
    }
}

struct Panics;

impl Read for Panics {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        panic!("planned")
    }
}

/// Reads chunks up to the last one; `None` if they end before it.
fn chunked(client: &mut Client) -> Option<usize> {
    let mut total = 0;
    for _ in 0..1_000 {
        let mut line = String::new();
        client.reader.read_line(&mut line).ok()?;
        let size = usize::from_str_radix(line.strip_suffix("\r\n")?, 16).unwrap();
        let mut chunk = vec![0; size + 2];
        client.reader.read_exact(&mut chunk).ok()?;
        assert!(chunk.ends_with(b"\r\n"));
        total += size;
        if size == 0 {
            return Some(total);
        }
    }
    panic!("endless chunks");
}

#[test]
fn stream_of_known_length_is_sent_with_content_length() {
    let server = TestServer::open();
    let mut client = server.client();
    assert_eq!(client.get("/stream/known").body.len(), STREAMED);
    assert_eq!(client.get("/stream/long").body.len(), STREAMED / 2);
    assert_eq!(client.get("/next").body, "GET /next");
}

#[test]
fn stream_of_unknown_length_is_chunked_and_the_connection_stays_open() {
    let server = TestServer::open();
    let mut client = server.client();
    for (kind, length) in [("unknown", STREAMED), ("empty", 0)] {
        client.send(format!("GET /stream/{kind} HTTP/1.1\r\n\r\n"));
        let head = client.head_of_reply();
        assert_eq!(header(&head, "Transfer-Encoding"), Some("chunked"));
        assert_eq!(chunked(&mut client), Some(length));
    }
    assert_eq!(client.get("/next").body, "GET /next");
}

#[test]
fn stream_to_an_http_1_0_client_ends_with_the_connection() {
    let server = TestServer::open();
    let all = server.exchange("GET /stream/unknown HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let (head, body) = all.split_once("\r\n\r\n").unwrap();
    assert_eq!((header(head, "Connection"), body.len()), (Some("close"), STREAMED));
}

#[test]
fn broken_source_truncates_the_response_visibly() {
    let server = TestServer::open();
    for kind in ["broken", "panics"] {
        let mut client = server.client();
        client.send(format!("GET /stream/{kind} HTTP/1.1\r\n\r\n"));
        client.head_of_reply();
        assert_eq!(chunked(&mut client), None, "{kind}");
    }
    let mut client = server.client();
    client.send("GET /stream/short HTTP/1.1\r\n\r\n");
    assert_eq!(header(&client.head_of_reply(), "Content-Length"), Some("40000"));
    assert!(client.reader.read_exact(&mut [0; STREAMED]).is_err());

    let mut client = server.client();
    client.send("GET /stream/broken HTTP/1.0\r\n\r\n");
    assert!(client.reader.read_to_end(&mut Vec::new()).is_err(), "an orderly close would look like the complete body");
    for _ in 0..4 {
        server.await_event(|event| *event == ConnectionEvent::Cut { peer: peer(1), why: CutReason::BrokenSource });
    }
}

#[test]
fn request_bodies_are_read_and_discarded() {
    let server = TestServer::open();
    let mut client = server.client();
    let request = format!("POST /body HTTP/1.1\r\nContent-Length: 8192\r\n\r\n{}", "b".repeat(8_192));
    for piece in [request.len(), 60, 5_000] {
        request.as_bytes().chunks(piece).for_each(|piece| client.send(piece));
        assert_eq!(client.reply().body, "POST /body");
    }
    assert_eq!(client.get("/next").body, "GET /next");
}

#[test]
fn chunked_bodies_are_discarded_and_the_next_request_is_found() {
    let server = TestServer::open();
    let mut client = server.client();
    let head = "PUT /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        "0\r\n\r\n".to_owned(),
        format!("2000\r\n{}\r\n0\r\n\r\n", "b".repeat(8_192)),
        "5;ext=\"x\"\r\nab\r\nc\r\n0\r\nTrailer: GET /\r\n\r\n".to_owned(),
        "1\r\nb\r\n".repeat(500) + "0\r\n\r\n",
    ] {
        let requests = format!("{head}{body}GET /next HTTP/1.1\r\n\r\n");
        for piece in [requests.len(), 1_000, 60, 7] {
            requests.as_bytes().chunks(piece).for_each(|piece| client.send(piece));
            assert_eq!(client.reply().body, "PUT /body");
            assert_eq!(client.reply().body, "GET /next");
        }
    }
    client.send("PUT /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.head_of_reply(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(client.reply().body, "PUT /body");
}

#[test]
fn malformed_or_oversized_chunked_bodies_are_rejected_and_closed() {
    let server = TestServer::with(Limits { head_deadline: Duration::from_millis(500), ..Limits::default() });
    for (body, status) in [
        ("x\r\n".to_owned(), "400"),
        ("1\nb\n0\n\n".to_owned(), "400"),
        ("2001\r\n".to_owned(), "413"),
        ("ffffffffffffffff\r\n".to_owned(), "400"),
        (format!("1;{}", "e".repeat(100_000)), "431"),
        (format!("0\r\n{}", "Trailer: x\r\n".repeat(10_000)), "431"),
        ("3\r\nab".to_owned(), "408"),
        ("0\r\n".to_owned(), "408"),
    ] {
        let mut client = server.client();
        client.send(format!("PUT /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
        let reply = client.reply();
        assert_eq!(&reply.head[9..12], status, "{}", &body[..40.min(body.len())]);
        assert_eq!(header(&reply.head, "Connection"), Some("close"));
    }
}

#[test]
fn expect_continue_gets_one_interim_response() {
    let server = TestServer::open();
    let mut client = server.client();
    client.send("POST /body HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.head_of_reply(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("abc");
    assert_eq!(client.reply().body, "POST /body");
    // A body sent at once gets no 100 Continue.
    client.send("POST /body HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc");
    assert_eq!(client.reply().body, "POST /body");
}

#[test]
fn oversized_body_is_rejected_before_it_is_sent() {
    let server = TestServer::open();
    for (head, status, bad) in [
        ("Content-Length: 8193\r\nExpect: 100-continue", "413", BadHead::BodyTooLong),
        ("Content-Length: 1000000000000000", "413", BadHead::BodyTooLong),
        ("Content-Length: 18446744073709551615", "413", BadHead::BodyTooLong),
        ("Transfer-Encoding: gzip", "501", BadHead::Coding),
        ("Expect: a-miracle", "417", BadHead::Expectation),
        ("Content-Length: 3\r\nTransfer-Encoding: chunked", "400", BadHead::Malformed),
        ("Content-Length: 3\r\nContent-Length: 4", "400", BadHead::Malformed),
    ] {
        let all = server.exchange(format!("POST / HTTP/1.1\r\n{head}\r\n\r\n"));
        assert_eq!(&all[9..12], status, "{all}");
        assert_eq!(header(&all, "Connection"), Some("close"), "{all}");
        assert!(all.ends_with(bad.label()), "{all}");
        server.await_bad_head(bad);
    }
}

#[test]
fn client_that_sends_a_rejected_body_receives_the_error() {
    let server = TestServer::open();
    for _ in 0..20 {
        let mut client = server.client();
        client.send("POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n");
        client.send([b'b'; 100_000]);
        assert_eq!(client.reply().status, 413);
    }
}
