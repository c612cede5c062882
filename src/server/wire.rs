//! Parses request heads. Pure: the result depends only on the bytes, and no prefix of a valid head is rejected.
//!
//! httparse parses the lines; where it is lenient, the head is rejected here, because a proxy in front of the agent
//! could parse it differently (RFC 9112, sections 2.2, 5.2 and 6.3).

use std::mem::MaybeUninit;

use httparse::{Error, Header, Status};
use memchr::memchr_iter;

use super::Limits;
use crate::logic::request::message::{Headers, Method, Request, ShownToken};

/// A complete head, with the framing of its body and connection.
pub struct Head<'a> {
    pub request: Request<'a>,
    /// Length of the head in bytes, including the empty line.
    pub bytes: usize,
    /// The body that follows.
    pub body: BodyLength,
    pub version: HttpVersion,
    pub persistence: Persistence,
    /// The client waits for `100 Continue` before it sends its body.
    pub expects_continue: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    Http10,
    Http11,
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// Length in bytes, at most [`Limits::body_bytes`]; 0 if the head announces no body.
    Bytes(usize),
    Chunked,
}

/// Whether the connection stays open after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    KeepAlive,
    Close,
}

/// Why the server rejects a request itself, and closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BadHead {
    /// Not HTTP/1.x, or ambiguous.
    Malformed,
    /// Incomplete at the deadline.
    TimedOut,
    /// Body longer than allowed.
    BodyTooLong,
    /// An expectation other than `100-continue`.
    Expectation,
    /// Head longer, or more headers, than allowed.
    TooLong,
    /// A transfer coding other than `chunked`.
    Coding,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    Version,
}

impl BadHead {
    /// The HTTP status of the response.
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::TimedOut => 408,
            Self::BodyTooLong => 413,
            Self::Expectation => 417,
            Self::TooLong => 431,
            Self::Coding => 501,
            Self::Version => 505,
        }
    }

    /// The label in logs and metrics; also the response body.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed-request",
            Self::TimedOut => "request-timed-out",
            Self::BodyTooLong => "body-too-long",
            Self::Expectation => "unknown-expectation",
            Self::TooLong => "head-too-long",
            Self::Coding => "unknown-transfer-coding",
            Self::Version => "unknown-http-version",
        }
    }
}

/// Parses the head at the start of `bytes`; `None` if it is incomplete.
pub fn read_head<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Option<Head<'a>>, BadHead> {
    if bytes.starts_with(b"\r\n\r\n") {
        return Err(BadHead::Malformed);
    }
    let mut slots = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let slots = &mut slots[..limits.headers.min(MAX_HEADERS)];
    let mut parsed = httparse::Request::new(&mut []);
    let length = match parsed.parse_with_uninit_headers(bytes, slots) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return unfinished(bytes, limits),
        Err(Error::TooManyHeaders) => return Err(BadHead::TooLong),
        Err(Error::Version) => return Err(BadHead::Version),
        Err(_) => return Err(BadHead::Malformed),
    };
    if length > limits.head_bytes {
        return Err(BadHead::TooLong);
    }
    if has_bare_line_feed(&bytes[..length]) {
        return Err(BadHead::Malformed);
    }
    let version = if parsed.version == Some(1) { HttpVersion::Http11 } else { HttpVersion::Http10 };
    let (Some(method), Some(target)) = (parsed.method, parsed.path) else { return Err(BadHead::Malformed) };
    let fields = Fields::read(parsed.headers)?;
    Ok(Some(Head {
        request: Request { method: Method::parse(method), target, headers: fields.kept },
        bytes: length,
        body: fields.body(version, limits)?,
        version,
        persistence: fields.persistence(version),
        expects_continue: fields.expects_continue(version)?,
    }))
}

/// Whether `fresh` bytes appended to an incomplete head could complete it or make it invalid: only a line end can.
pub fn worth_parsing_again(fresh: &[u8]) -> bool {
    fresh.contains(&b'\n')
}

fn unfinished<'a>(bytes: &[u8], limits: &Limits) -> Result<Option<Head<'a>>, BadHead> {
    if bytes.len() >= limits.head_bytes {
        Err(BadHead::TooLong)
    } else if has_bare_line_feed(bytes) {
        Err(BadHead::Malformed)
    } else {
        Ok(None)
    }
}

/// httparse also ends a line at a bare LF; a proxy may not (RFC 9112, section 2.2).
fn has_bare_line_feed(bytes: &[u8]) -> bool {
    memchr_iter(b'\n', bytes).any(|at| at == 0 || bytes[at - 1] != b'\r')
}

/// The headers that the server or its routes use, unparsed.
#[derive(Default)]
struct Fields<'a> {
    kept: Headers<'a>,
    length: Option<&'a [u8]>,
    coding: Option<&'a [u8]>,
    expect: Option<&'a [u8]>,
    asks_close: bool,
    asks_keep_alive: bool,
}

impl<'a> Fields<'a> {
    fn read(headers: &[Header<'a>]) -> Result<Self, BadHead> {
        let mut fields = Self::default();
        for Header { name, value } in headers {
            // Matching the name's length first makes an unknown header cost one comparison.
            match name.len() {
                4 if is(name, "host") => once(&mut fields.kept.host, value)?,
                6 if is(name, "accept") => first(&mut fields.kept.accept, value),
                6 if is(name, "expect") => once(&mut fields.expect, value)?,
                10 if is(name, "connection") => fields.read_connection(value),
                13 if is(name, "authorization") && !value.trim_ascii().is_empty() => {
                    let twice = fields.kept.authorization.is_some();
                    fields.kept.authorization = Some(ShownToken::new(if twice { DUPLICATE_TOKEN } else { value }));
                }
                14 if is(name, "content-length") => once(&mut fields.length, value)?,
                15 if is(name, "x-forwarded-for") => fields.kept.forwarded_for |= !value.trim_ascii().is_empty(),
                17 if is(name, "transfer-encoding") => once(&mut fields.coding, value)?,
                24 if is(name, "x-aws-ec2-metadata-token") && !value.trim_ascii().is_empty() => {
                    fields.kept.token = Some(if fields.kept.token.is_some() { DUPLICATE_TOKEN } else { value });
                }
                36 if is(name, "x-aws-ec2-metadata-token-ttl-seconds") => first(&mut fields.kept.token_ttl, value),
                _ => {}
            }
        }
        Ok(fields)
    }

    fn read_connection(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            self.asks_close |= option.eq_ignore_ascii_case(b"close");
            self.asks_keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// RFC 9112, section 6.3, with every ambiguous case rejected.
    fn body(&self, version: HttpVersion, limits: &Limits) -> Result<BodyLength, BadHead> {
        match (self.coding, self.length) {
            (None, None) => Ok(BodyLength::Bytes(0)),
            (Some(_), Some(_)) => Err(BadHead::Malformed),
            (Some(_), None) if version == HttpVersion::Http10 => Err(BadHead::Malformed),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(BodyLength::Chunked),
            (Some(_), None) => Err(BadHead::Coding),
            (None, Some(digits)) => {
                let length = decimal(digits).ok_or(BadHead::Malformed)?;
                let allowed = length <= limits.body_bytes;
                let length = usize::try_from(length).ok().filter(|_| allowed);
                length.map(BodyLength::Bytes).ok_or(BadHead::BodyTooLong)
            }
        }
    }

    /// RFC 9112, section 9.3.
    fn persistence(&self, version: HttpVersion) -> Persistence {
        let persistent = version == HttpVersion::Http11 || self.asks_keep_alive;
        if persistent && !self.asks_close { Persistence::KeepAlive } else { Persistence::Close }
    }

    /// RFC 9110, section 10.1.1: a server ignores the expectation of an HTTP/1.0 client.
    fn expects_continue(&self, version: HttpVersion) -> Result<bool, BadHead> {
        match self.expect {
            Some(value) if version == HttpVersion::Http11 && value.eq_ignore_ascii_case(b"100-continue") => Ok(true),
            Some(_) if version == HttpVersion::Http11 => Err(BadHead::Expectation),
            _ => Ok(false),
        }
    }
}

fn is(name: &str, known: &str) -> bool {
    name.eq_ignore_ascii_case(known)
}

fn first<'a>(slot: &mut Option<&'a [u8]>, value: &'a [u8]) {
    slot.get_or_insert(value);
}

fn once<'a>(slot: &mut Option<&'a [u8]>, value: &'a [u8]) -> Result<(), BadHead> {
    if slot.replace(value).is_some() { Err(BadHead::Malformed) } else { Ok(()) }
}

/// Digits only; `str::parse` would accept a sign.
fn decimal(digits: &[u8]) -> Option<u64> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

/// Header slots on a worker's stack, 2 KiB; [`Limits::headers`] can only be lower.
const MAX_HEADERS: usize = 64;

/// Stands for a token that was sent twice: `?` isn't in the alphabet of tokens, so it can't be valid.
const DUPLICATE_TOKEN: &[u8] = b"?";

#[cfg(test)]
mod tests;
