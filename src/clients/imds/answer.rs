//! Filters the service's response for a pod: status, a few headers, a bounded body.

use std::borrow::Cow;
use std::io::{self, Read};

use ureq::http::{HeaderMap, Response as Upstream};
use ureq::{Body as UpstreamBody, BodyReader};

use super::slots::CallSlot;
use crate::logic::request::message::{Body, Response};
use crate::ports::Forwarded;

/// Makes the pod's response. Small bodies are read here; larger ones are streamed and hold the slot until read.
pub(super) fn relay(upstream: Upstream<UpstreamBody>, method: Forwarded, slot: CallSlot) -> Result<Response, String> {
    let (parts, body) = upstream.into_parts();
    let headers = &parts.headers;
    let declared = match method {
        Forwarded::Get => body.content_length(),
        Forwarded::Head => declared(headers),
    };
    if declared.is_some_and(|length| length > MAX_BODY_BYTES) {
        return Err(format!("its response is longer than {MAX_BODY_BYTES} bytes"));
    }
    let content_type = text_of(headers, "content-type").map_or(Cow::Borrowed("text/plain"), Cow::Owned);
    let kept = FORWARDED_HEADERS.iter().filter_map(|(name, shown)| Some((*shown, text_of(headers, name)?)));
    let headers = kept.chain([("Server", "EC2ws".to_owned())]).collect();
    let body = match method {
        Forwarded::Head => without_body(declared),
        Forwarded::Get => bounded(body.into_reader(), declared, slot)?,
    };
    Ok(Response { status: parts.status.as_u16(), content_type, headers, body })
}

/// The response to HEAD has the `Content-Length` of the omitted body.
fn without_body(declared: Option<u64>) -> Body {
    match declared {
        Some(length) if length > 0 => Body::Stream { source: Box::new(io::empty()), length: Some(length) },
        _ => Body::Empty,
    }
}

fn bounded(mut rest: BodyReader<'static>, declared: Option<u64>, slot: CallSlot) -> Result<Body, String> {
    let expected = declared.and_then(|length| usize::try_from(length.min(READ_AHEAD)).ok());
    let mut ahead = Vec::with_capacity(expected.unwrap_or(BODY_CAPACITY));
    rest.by_ref()
        .take(READ_AHEAD)
        .read_to_end(&mut ahead)
        .map_err(|error| format!("its response ended early: {error}"))?;
    let got = ahead.len() as u64;
    if got < READ_AHEAD || declared == Some(got) {
        return Ok(Body::Owned(ahead));
    }
    let source = Bounded { ahead: io::Cursor::new(ahead), rest, left: MAX_BODY_BYTES - got, _slot: slot };
    Ok(Body::Stream { source: Box::new(source), length: declared })
}

/// The bytes read ahead, then the rest. Fails at the limit, so that a truncated body isn't taken for a complete one.
struct Bounded {
    ahead: io::Cursor<Vec<u8>>,
    rest: BodyReader<'static>,
    left: u64,
    /// Held until the body is read
    _slot: CallSlot,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ahead = self.ahead.read(buffer)?;
        if ahead > 0 || buffer.is_empty() {
            return Ok(ahead);
        }
        let got = self.rest.read(buffer)?;
        self.left = self.left.checked_sub(got as u64).ok_or_else(|| {
            io::Error::other(format!("the metadata service's answer is longer than {MAX_BODY_BYTES} bytes"))
        })?;
        Ok(got)
    }
}

fn declared(headers: &HeaderMap) -> Option<u64> {
    text_of(headers, "content-length")?.parse().ok()
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Headers passed on besides `Content-Type`: those that describe the body, and those for the client's next request.
const FORWARDED_HEADERS: [(&str, &str); 5] = [
    ("last-modified", "Last-Modified"),
    ("etag", "ETag"),
    ("accept-ranges", "Accept-Ranges"),
    ("location", "Location"),
    ("retry-after", "Retry-After"),
];
/// The largest document, user data, has at most 16 KiB.
const MAX_BODY_BYTES: u64 = 1024 * 1024;
/// Up to this size the response is read before the pod receives its first byte, which frees the connection early.
const READ_AHEAD: u64 = 64 * 1024;
/// Initial capacity for a response of unknown length.
const BODY_CAPACITY: usize = 4 * 1024;
