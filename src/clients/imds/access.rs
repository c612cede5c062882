//! Authenticates the agent's calls: with a session token (version 2), or for a while without one (version 1).
//!
//! Version 1 is tried where SDKs try it: the service answers 403, 404 or 405, or its response never arrives (the hop
//! limit is exceeded).

use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::http::Response;

use crate::clients::exchange::{read_body, within};
use crate::clients::http::{cause, retry_if_disconnected};
use crate::logic::base::refreshing::Lease;
use crate::logic::base::secret::Secret;
use crate::logic::request::upstream::{ImdsFailure, TOKEN};
use crate::ports::Clock;

/// How a call authenticates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ImdsAccess {
    Token(Arc<Secret<String>>),
    V1,
}

/// Requests a token, within `total`.
pub(super) fn fetch_access(
    agent: &Agent,
    base: &str,
    total: Duration,
    clock: &dyn Clock,
) -> Result<Lease<ImdsAccess>, ImdsFailure> {
    let url = format!("{base}{TOKEN}");
    let send = || within(agent.put(&url).header(TTL_HEADER, REQUESTED_TTL), total).send_empty();
    match retry_if_disconnected(send) {
        Ok(response) => match response.status().as_u16() {
            200 => token(response, clock),
            403..=405 => Ok(without_token(clock)),
            status => Err(failure(Some(status), &format!("the service answered with status {status}"))),
        },
        Err(ureq::Error::Timeout(phase)) if phase != ureq::Timeout::Connect => Ok(without_token(clock)),
        Err(error) => Err(failure(None, &cause(&error))),
    }
}

fn token(response: Response<ureq::Body>, clock: &dyn Clock) -> Result<Lease<ImdsAccess>, ImdsFailure> {
    let ttl =
        response.headers().get(TTL_HEADER).and_then(|ttl| ttl.to_str().ok()).and_then(|ttl| ttl.trim().parse().ok());
    let ttl = Duration::from_secs(ttl.unwrap_or(REQUESTED_TTL_S).min(REQUESTED_TTL_S));
    let body = read_body(response, MAX_TOKEN_BYTES).map_err(|cause| failure(Some(200), &cause))?;
    let text = std::str::from_utf8(&body).unwrap_or_default().trim();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(failure(Some(200), "the response is not a token"));
    }
    let now = clock.now().mono;
    let renew_from = now.after(ttl.saturating_sub(MARGIN.min(ttl / 2)));
    let value = ImdsAccess::Token(Arc::new(Secret::new(text.to_owned())));
    Ok(Lease { value, renew_from: Some(renew_from), end: Some(now.after(ttl)) })
}

fn without_token(clock: &dyn Clock) -> Lease<ImdsAccess> {
    let end = Some(clock.now().mono.after(V1_FOR));
    Lease { value: ImdsAccess::V1, renew_from: end, end }
}

fn failure(status: Option<u16>, cause: &str) -> ImdsFailure {
    ImdsFailure { status, cause: format!("failed to get `metadata token`: {cause}") }
}

pub(super) const TOKEN_HEADER: &str = "x-aws-ec2-metadata-token";
const TTL_HEADER: &str = "x-aws-ec2-metadata-token-ttl-seconds";
/// Six hours, the longest that the service grants.
const REQUESTED_TTL: &str = "21600";
const REQUESTED_TTL_S: u64 = 21_600;
/// A token is renewed this long before it expires, or halfway through its lifetime if that is later.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// After this time version 2 is tried again, since the instance's options may have changed.
const V1_FOR: Duration = Duration::from_secs(5 * 60);
/// Bytes; real ones have 56.
const MAX_TOKEN_BYTES: usize = 4 * 1024;
