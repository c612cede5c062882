//! Writes the head of a response. Pure.
//!
//! Only the server sets body length and connection persistence: a handler's header of such a name is dropped, and so is
//! one whose value would end the line.

use super::wire::{HttpVersion, Persistence};
use crate::logic::base::decimal::push_decimal;
use crate::logic::request::message::{Body, Method, Response};

/// How the end of a body is marked (RFC 9112, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// The status allows neither a body nor a length.
    Bodiless,
    Length(u64),
    Chunked,
    /// Ended by closing the connection: HTTP/1.0's only framing for a body of unknown length.
    UntilClose,
}

impl Framing {
    pub(super) fn of(response: &Response, version: HttpVersion) -> Self {
        if matches!(response.status, 204 | 304) {
            return Self::Bodiless;
        }
        match (&response.body, version) {
            (Body::Stream { length: Some(length), .. }, _) => Self::Length(*length),
            (Body::Stream { length: None, .. }, HttpVersion::Http11) => Self::Chunked,
            (Body::Stream { length: None, .. }, HttpVersion::Http10) => Self::UntilClose,
            (body, _) => Self::Length(in_memory(body).len() as u64),
        }
    }
}

/// The bytes of an in-memory body; empty for a stream.
pub(super) fn in_memory(body: &Body) -> &[u8] {
    match body {
        Body::Empty | Body::Stream { .. } => &[],
        Body::Static(bytes) => bytes,
        Body::Owned(bytes) => bytes,
        Body::Shared(holder) => (**holder).as_ref(),
    }
}

/// Facts of the request that the response's framing depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestFacts {
    pub(super) method: Method,
    pub(super) version: HttpVersion,
}

impl RequestFacts {
    /// Whether the body is omitted although the head describes it (RFC 9110, section 9.3.2).
    pub(super) fn head_only(self) -> bool {
        self.method == Method::Head
    }
}

/// Appends status line, headers and the empty line to `out`.
pub(super) fn write_head(
    out: &mut Vec<u8>,
    response: &Response,
    framing: Framing,
    facts: RequestFacts,
    persistence: Persistence,
    date: &str,
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    push_decimal(out, u64::from(response.status));
    out.push(b' ');
    out.extend_from_slice(reason(response.status).as_bytes());
    out.extend_from_slice(b"\r\n");
    if !response.content_type.is_empty() && framing != Framing::Bodiless {
        push_line(out, b"Content-Type: ", &response.content_type);
    }
    match framing {
        Framing::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            push_decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => push_header(out, "Transfer-Encoding", "chunked"),
        Framing::Bodiless | Framing::UntilClose => {}
    }
    push_line(out, b"Date: ", date);
    out.extend_from_slice(SERVER);
    for (name, value) in &response.headers {
        if is_allowed(name, value) {
            push_header(out, name, value);
        }
    }
    match (persistence, facts.version) {
        (Persistence::Close, _) => push_header(out, "Connection", "close"),
        (Persistence::KeepAlive, HttpVersion::Http10) => push_header(out, "Connection", "keep-alive"),
        (Persistence::KeepAlive, HttpVersion::Http11) => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a chunk-size line (RFC 9112, section 7.1).
pub(super) fn write_chunk_size(out: &mut Vec<u8>, size: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let leading = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for place in (0..leading).rev() {
        out.push(DIGITS[(size >> (4 * place)) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

fn push_header(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    push_line(out, b": ", value);
}

fn push_line(out: &mut Vec<u8>, start: &[u8], value: &str) {
    out.extend_from_slice(start);
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The metadata service's own value; kube2iam sends the same.
const SERVER: &[u8] = b"Server: EC2ws\r\n";

fn is_allowed(name: &str, value: &str) -> bool {
    const SERVER_HEADERS: [&str; 6] =
        ["Content-Length", "Transfer-Encoding", "Connection", "Date", "Content-Type", "Server"];
    let printable = value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
    printable && !SERVER_HEADERS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

/// The reason phrases of RFC 9110, section 15; clients should ignore them.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: RequestFacts = RequestFacts { method: Method::Get, version: HttpVersion::Http11 };
    const OLD: RequestFacts = RequestFacts { method: Method::Get, version: HttpVersion::Http10 };

    fn head(response: &Response, facts: RequestFacts, persistence: Persistence) -> String {
        let mut out = Vec::new();
        let framing = Framing::of(response, facts.version);
        write_head(&mut out, response, framing, facts, persistence, "Mon, 23 Nov 2026 05:42:04 GMT");
        String::from_utf8(out).unwrap()
    }

    fn stream(length: Option<u64>) -> Response {
        Response { body: Body::Stream { source: Box::new(std::io::empty()), length }, ..Response::empty(200) }
    }

    #[test]
    fn headers_are_written_in_a_fixed_order() {
        let response = Response::text(200, "my-role").with("Server", "EC2ws");
        assert_eq!(
            head(&response, GET, Persistence::KeepAlive),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 7\r\n\
             Date: Mon, 23 Nov 2026 05:42:04 GMT\r\nServer: EC2ws\r\n\r\n"
        );
    }

    #[test]
    fn framing_follows_the_kind_of_body() {
        let shared: std::sync::Arc<dyn AsRef<[u8]> + Send + Sync> = std::sync::Arc::new("abc");
        for (response, facts, line) in [
            (Response::empty(404), GET, Some("Content-Length: 0")),
            (Response { body: Body::Static(b"ab"), ..Response::empty(200) }, GET, Some("Content-Length: 2")),
            (Response { body: Body::Shared(shared), ..Response::empty(200) }, GET, Some("Content-Length: 3")),
            (stream(Some(u64::MAX)), OLD, Some("Content-Length: 18446744073709551615")),
            (stream(None), GET, Some("Transfer-Encoding: chunked")),
            (stream(None), OLD, None),
            (Response::empty(204), GET, None),
            (Response::empty(304), GET, None),
        ] {
            let head = head(&response, facts, Persistence::Close);
            let found = head.lines().find(|l| l.starts_with("Content-Length") || l.starts_with("Transfer-Encoding"));
            assert_eq!(found, line, "{head}");
        }
    }

    #[test]
    fn connection_header_is_sent_only_where_it_differs_from_the_versions_default() {
        for (facts, persistence, line) in [
            (GET, Persistence::KeepAlive, None),
            (GET, Persistence::Close, Some("Connection: close")),
            (OLD, Persistence::KeepAlive, Some("Connection: keep-alive")),
            (OLD, Persistence::Close, Some("Connection: close")),
        ] {
            let head = head(&Response::empty(200), facts, persistence);
            assert_eq!(head.lines().find(|line| line.starts_with("Connection")), line);
        }
    }

    #[test]
    fn handler_headers_cannot_split_the_head_or_change_its_framing() {
        let response = Response::empty(200)
            .with("X-Split", "a\r\nX-Evil: 1")
            .with("X-Nul", "\0")
            .with("content-length", "99")
            .with("Transfer-Encoding", "chunked")
            .with("Connection", "upgrade")
            .with("X-Good", "a\tb é");
        let head = head(&response, GET, Persistence::KeepAlive);
        for gone in ["X-Evil", "X-Nul", "99", "chunked", "upgrade"] {
            assert!(!head.contains(gone), "{head}");
        }
        assert!(head.contains("X-Good: a\tb é\r\n"), "{head}");
    }

    #[test]
    fn numbers_are_written_without_padding() {
        for (number, decimal, hexadecimal) in [
            (0, "0", "0\r\n"),
            (9, "9", "9\r\n"),
            (10, "10", "a\r\n"),
            (4_095, "4095", "fff\r\n"),
            (4_096, "4096", "1000\r\n"),
            (16_384, "16384", "4000\r\n"),
        ] {
            let (mut one, mut two) = (Vec::new(), Vec::new());
            push_decimal(&mut one, number as u64);
            write_chunk_size(&mut two, number);
            assert_eq!((one, two), (decimal.as_bytes().to_vec(), hexadecimal.as_bytes().to_vec()));
        }
    }
}
