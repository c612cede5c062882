//! Shared parts of HTTP calls: dividing a time limit among the phases, and reading a bounded body.

use std::io::Read;
use std::time::Duration;

use ureq::RequestBuilder;
use ureq::http::Response;
use zeroize::Zeroizing;

use crate::clients::http::{TimeLimits, cause};

/// Divides `total` among the phases of one call, so that together they never take longer. A preceding name lookup may
/// take as long as connecting.
pub(super) fn phases(total: Duration) -> TimeLimits {
    TimeLimits {
        connect: total / 4,
        send: total / 20,
        response_head: total * 2 / 5,
        response_body: Some(total / 4),
        idle_read: None,
    }
}

/// Bounds the phases of a request so that it ends within `total`.
pub(super) fn within<B>(request: RequestBuilder<B>, total: Duration) -> RequestBuilder<B> {
    let limits = phases(total);
    request
        .config()
        .timeout_resolve(Some(limits.connect))
        .timeout_connect(Some(limits.connect))
        .timeout_send_request(Some(limits.send))
        .timeout_send_body(Some(limits.send))
        .timeout_recv_response(Some(limits.response_head))
        .timeout_recv_body(limits.response_body)
        .build()
}

/// Reads a body of at most `limit` bytes. The buffer is zeroed on drop, since it may hold credentials.
pub(super) fn read_body(response: Response<ureq::Body>, limit: usize) -> Result<Zeroizing<Vec<u8>>, String> {
    let too_long = || format!("its body is longer than {limit} bytes");
    let declared = response.body().content_length().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if declared.is_some_and(|length| length > limit) {
        return Err(too_long());
    }
    // With enough capacity from the start, growing leaves no copy of the body behind in a freed buffer.
    let mut body = Zeroizing::new(Vec::with_capacity(declared.unwrap_or(BODY_CAPACITY).min(limit) + 1));
    let mut bounded = response.into_body().into_reader().take(limit as u64 + 1);
    bounded.read_to_end(&mut body).map_err(|error| cause(&ureq::Error::from(error)))?;
    if body.len() > limit { Err(too_long()) } else { Ok(body) }
}

/// Bytes; credentials, tokens and error pages are smaller.
const BODY_CAPACITY: usize = 8 * 1024;
