//! What lets the agent in: a session token of its own (version 2), or nothing (version 1) for a while.
//!
//! Version 1 is tried where SDKs try it: the service answers 403, 404 or 405, or its answer never arrives
//! (a hop limit of 1 and a hop too many).

use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::http::Response;

use crate::clients::exchange::{read_body, within};
use crate::clients::http::{cause, twice_if_disconnected};
use crate::logic::base::refreshing::Lease;
use crate::logic::base::secret::Secret;
use crate::logic::request::upstream::{ImdsFailure, TOKEN};
use crate::ports::Clock;

/// How a call shows that it comes from this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    Token(Arc<Secret<String>>),
    V1,
}

/// Asks for a token, in no more than `total`.
pub(super) fn fetch_pass(
    agent: &Agent,
    base: &str,
    total: Duration,
    clock: &dyn Clock,
) -> Result<Lease<Pass>, ImdsFailure> {
    let url = format!("{base}{TOKEN}");
    let send = || within(agent.put(&url).header(TTL_HEADER, ASKED_TTL), total).send_empty();
    match twice_if_disconnected(send) {
        Ok(response) => match response.status().as_u16() {
            200 => token(response, clock),
            403..=405 => Ok(without_token(clock)),
            status => Err(failure(Some(status), &format!("the service answered with status {status}"))),
        },
        Err(ureq::Error::Timeout(phase)) if phase != ureq::Timeout::Connect => Ok(without_token(clock)),
        Err(error) => Err(failure(None, &cause(&error))),
    }
}

fn token(response: Response<ureq::Body>, clock: &dyn Clock) -> Result<Lease<Pass>, ImdsFailure> {
    let ttl =
        response.headers().get(TTL_HEADER).and_then(|ttl| ttl.to_str().ok()).and_then(|ttl| ttl.trim().parse().ok());
    let ttl = Duration::from_secs(ttl.unwrap_or(ASKED_TTL_S).min(ASKED_TTL_S));
    let body = read_body(response, LONGEST_TOKEN).map_err(|cause| failure(Some(200), &cause))?;
    let text = std::str::from_utf8(&body).unwrap_or_default().trim();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(failure(Some(200), "what the service gave is no token"));
    }
    let now = clock.now().mono;
    let renew_from = now.after(ttl.saturating_sub(MARGIN.min(ttl / 2)));
    let value = Pass::Token(Arc::new(Secret::new(text.to_owned())));
    Ok(Lease { value, renew_from: Some(renew_from), end: Some(now.after(ttl)) })
}

fn without_token(clock: &dyn Clock) -> Lease<Pass> {
    let end = Some(clock.now().mono.after(V1_FOR));
    Lease { value: Pass::V1, renew_from: end, end }
}

fn failure(status: Option<u16>, cause: &str) -> ImdsFailure {
    ImdsFailure { status, cause: format!("failed to get `metadata token`: {cause}") }
}

pub(super) const TOKEN_HEADER: &str = "x-aws-ec2-metadata-token";
const TTL_HEADER: &str = "x-aws-ec2-metadata-token-ttl-seconds";
/// Six hours, the longest that the service gives.
const ASKED_TTL: &str = "21600";
const ASKED_TTL_S: u64 = 21_600;
/// A token is renewed this long before its end, or at half of its life if that is less.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// Then version 2 is tried again: the instance's options may have changed.
const V1_FOR: Duration = Duration::from_secs(5 * 60);
/// Real ones have 56 letters.
const LONGEST_TOKEN: usize = 4 * 1024;
