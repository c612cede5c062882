//! The EC2 metadata service of the node, asked with the agent's own session token.
//!
//! Invariants: nothing of a pod's request goes upstream but its method, its canonical path and its `Accept`; the agent's
//! token never comes back; no call takes longer than its total, waiting for a place among the calls in flight included.

mod answer;
pub mod discovery;
mod pass;
mod slots;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use ureq::http::{HeaderValue, Response as Upstream};
use ureq::{Agent, Body};
use zeroize::Zeroizing;

use self::answer::relay;
use self::pass::{Pass, fetch_pass};
use self::slots::{CallSlot, Slots};
use super::exchange::{phases, read_body, within};
use crate::clients::http::{AgentOptions, Misconfigured, ProxyUse, TlsOptions, agent, cause, twice_if_disconnected};
use crate::logic::base::time::Mono;
use crate::logic::base::url::ServiceUrl;
use crate::logic::request::message::Response;
use crate::logic::request::path::CanonicalPath;
use crate::logic::request::upstream::ImdsFailure;
use crate::os::single_flight::{Missed, SingleFlight};
use crate::ports::{Clock, Forwarded, Imds};

/// How long calls may take.
#[derive(Clone, Copy, Debug)]
pub struct MetadataLimits {
    /// A whole call
    pub total: Duration,
    /// Of it, fetching a token
    pub token: Duration,
}

impl Default for MetadataLimits {
    /// SDKs give up after 1 s and try again; the service answers in a millisecond.
    fn default() -> Self {
        Self { total: Duration::from_secs(2), token: Duration::from_secs(1) }
    }
}

/// The service at one address.
pub struct MetadataService {
    base: String,
    agent: Agent,
    clock: Arc<dyn Clock>,
    pass: SingleFlight<Pass, ImdsFailure>,
    slots: Arc<Slots>,
    limits: MetadataLimits,
}

impl MetadataService {
    pub fn new(service: &ServiceUrl, limits: MetadataLimits, clock: Arc<dyn Clock>) -> Result<Self, Misconfigured> {
        let agent = agent(&AgentOptions {
            proxy: ProxyUse::None,
            tls: TlsOptions::public("the metadata service"),
            limits: phases(limits.total),
            idle_connections: IDLE_CONNECTIONS,
        })?;
        let pass = SingleFlight::new(Arc::clone(&clock));
        Ok(Self { base: service.base(), agent, clock, pass, slots: Slots::new(CALLS_IN_FLIGHT), limits })
    }

    /// Fetches `target`. A token that is refused is replaced, once; the service's word about our token never goes on.
    fn ask(&self, ask: &ImdsCall<'_>, deadline: Mono) -> Result<Upstream<Body>, ImdsFailure> {
        for attempt in 1..=ATTEMPTS {
            let pass = self.pass(ask, deadline)?;
            let response = self.send(ask, &pass, deadline)?;
            if response.status() != 401 {
                return Ok(response);
            }
            self.pass.discard(|held| *held == pass);
            if attempt == ATTEMPTS {
                break;
            }
        }
        Err(ask.failure(Some(401), "it takes none of its own tokens"))
    }

    fn send(&self, ask: &ImdsCall<'_>, pass: &Pass, deadline: Mono) -> Result<Upstream<Body>, ImdsFailure> {
        let url = format!("{}{}", self.base, ask.target);
        let send = || {
            let mut request = match ask.method {
                Forwarded::Get => self.agent.get(&url),
                Forwarded::Head => self.agent.head(&url),
            };
            if let Some(accept) = ask.accept.and_then(|accept| HeaderValue::from_bytes(accept).ok()) {
                request = request.header("accept", accept);
            }
            if let Pass::Token(token) = pass {
                request = request.header(pass::TOKEN_HEADER, token.expose());
            }
            within(request, self.left(deadline)).call()
        };
        twice_if_disconnected(send).map_err(|error| ask.failure(None, &cause(&error)))
    }

    /// A fetch gets its whole time or isn't begun: one cut short would look like a service without version 2.
    fn pass(&self, ask: &ImdsCall<'_>, deadline: Mono) -> Result<Pass, ImdsFailure> {
        let left = self.left(deadline);
        let fetch = || match self.limits.token {
            total if left < total => Err(ask.failure(None, "no time is left")),
            total => fetch_pass(&self.agent, &self.base, total, self.clock.as_ref()),
        };
        self.pass.get(left.min(self.limits.token), fetch).map_err(|missed| match missed {
            Missed::Failed(failure) => failure,
            Missed::TimedOut => {
                ImdsFailure { status: None, cause: "failed to get `metadata token`: no answer in time".to_owned() }
            }
        })
    }

    /// A place among the calls in flight, or a failure at the deadline.
    fn slot(&self, ask: &ImdsCall<'_>, deadline: Mono) -> Result<CallSlot, ImdsFailure> {
        let slot = self.slots.take(deadline, self.clock.as_ref());
        slot.ok_or_else(|| ask.failure(None, "too many calls to it are in flight"))
    }

    fn deadline(&self) -> Mono {
        self.clock.now().mono.after(self.limits.total)
    }

    fn left(&self, deadline: Mono) -> Duration {
        self.clock.now().mono.until(deadline)
    }

    fn relay(&self, ask: &ImdsCall<'_>) -> Result<Response, ImdsFailure> {
        let deadline = self.deadline();
        let slot = self.slot(ask, deadline)?;
        let response = self.ask(ask, deadline)?;
        let status = response.status().as_u16();
        relay(response, ask.method, slot).map_err(|cause| ask.failure(Some(status), &cause))
    }
}

impl Imds for MetadataService {
    fn forward(&self, method: Forwarded, path: &CanonicalPath, accept: Option<&[u8]>) -> Result<Response, ImdsFailure> {
        let target = match path.query() {
            Some(query) => format!("{}?{query}", path.as_str()),
            None => path.as_str().to_owned(),
        };
        self.relay(&ImdsCall { method, target: &target, accept })
    }

    fn read(&self, path: &str) -> Result<String, ImdsFailure> {
        let ask = ImdsCall { method: Forwarded::Get, target: path, accept: None };
        let deadline = self.deadline();
        let _slot = self.slot(&ask, deadline)?;
        let response = self.ask(&ask, deadline)?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(ask.failure(Some(status), &format!("it answered with status {status}")));
        }
        let mut body = read_body(response, LONGEST_DOCUMENT).map_err(|cause| ask.failure(Some(status), &cause))?;
        String::from_utf8(std::mem::take(&mut *body)).map_err(|error| {
            drop(Zeroizing::new(error.into_bytes()));
            ask.failure(Some(status), "it is not text")
        })
    }
}

/// What is asked of the service.
struct ImdsCall<'a> {
    method: Forwarded,
    /// Path and query, from `/` on
    target: &'a str,
    accept: Option<&'a [u8]>,
}

impl ImdsCall<'_> {
    fn failure(&self, status: Option<u16>, cause: &str) -> ImdsFailure {
        ImdsFailure { status, cause: format!("failed to get `{}`: {cause}", self.target) }
    }
}

/// With the token held, and with a fresh one.
const ATTEMPTS: usize = 2;
/// What one node may ask of its metadata service at a time; it throttles those who ask too much.
const CALLS_IN_FLIGHT: usize = 16;
/// The real service closes after each answer; others may not.
const IDLE_CONNECTIONS: usize = 2;
/// What the agent reads for itself is at most a few KiB.
const LONGEST_DOCUMENT: usize = 64 * 1024;

#[cfg(test)]
mod tests;
