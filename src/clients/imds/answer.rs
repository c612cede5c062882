//! The service's answer as a pod may have it: its status, a few headers, a bounded body.

use std::borrow::Cow;
use std::io::{self, Read};

use ureq::http::{HeaderMap, Response as Upstream};
use ureq::{Body as UpstreamBody, BodyReader};

use super::slots::CallSlot;
use crate::logic::request::message::{Body, Response};
use crate::ports::Forwarded;

/// Makes the answer that reaches the pod. Small bodies are read here; what is left of larger ones keeps the slot.
pub(super) fn relay(upstream: Upstream<UpstreamBody>, method: Forwarded, slot: CallSlot) -> Result<Response, String> {
    let (parts, body) = upstream.into_parts();
    let headers = &parts.headers;
    let declared = match method {
        Forwarded::Get => body.content_length(),
        Forwarded::Head => declared(headers),
    };
    if declared.is_some_and(|length| length > LONGEST_BODY) {
        return Err(format!("its answer is longer than {LONGEST_BODY} bytes"));
    }
    let content_type = text_of(headers, "content-type").map_or(Cow::Borrowed("text/plain"), Cow::Owned);
    let kept = KEPT.iter().filter_map(|(name, shown)| Some((*shown, text_of(headers, name)?)));
    let headers = kept.chain([("Server", "EC2ws".to_owned())]).collect();
    let body = match method {
        Forwarded::Head => without_body(declared),
        Forwarded::Get => bounded(body.into_reader(), declared, slot)?,
    };
    Ok(Response { status: parts.status.as_u16(), content_type, headers, body })
}

/// `Content-Length` of a HEAD is that of the body it doesn't get.
fn without_body(declared: Option<u64>) -> Body {
    match declared {
        Some(length) if length > 0 => Body::Stream { source: Box::new(io::empty()), length: Some(length) },
        _ => Body::Empty,
    }
}

fn bounded(mut rest: BodyReader<'static>, declared: Option<u64>, slot: CallSlot) -> Result<Body, String> {
    let expected = declared.and_then(|length| usize::try_from(length.min(READ_AHEAD)).ok());
    let mut ahead = Vec::with_capacity(expected.unwrap_or(USUAL_BODY_BYTES));
    rest.by_ref().take(READ_AHEAD).read_to_end(&mut ahead).map_err(|error| format!("its answer broke off: {error}"))?;
    let got = ahead.len() as u64;
    if got < READ_AHEAD || declared == Some(got) {
        return Ok(Body::Owned(ahead));
    }
    let source = Bounded { ahead: io::Cursor::new(ahead), rest, left: LONGEST_BODY - got, _slot: slot };
    Ok(Body::Stream { source: Box::new(source), length: declared })
}

/// What was read ahead, then the rest. Fails at the limit, so that nobody takes a part for the whole.
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
            io::Error::other(format!("the metadata service's answer is longer than {LONGEST_BODY} bytes"))
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

/// All that goes on, besides the type: what describes the body, and what a client should do next.
const KEPT: [(&str, &str); 5] = [
    ("last-modified", "Last-Modified"),
    ("etag", "ETag"),
    ("accept-ranges", "Accept-Ranges"),
    ("location", "Location"),
    ("retry-after", "Retry-After"),
];
/// The largest thing there is, user data, has 16 KiB.
const LONGEST_BODY: u64 = 1024 * 1024;
/// Up to here the answer is read before the pod gets its first byte, and the connection is free again.
const READ_AHEAD: u64 = 64 * 1024;
/// Room for an answer of unknown length.
const USUAL_BODY_BYTES: usize = 4 * 1024;
