//! Client of the node's EC2 metadata service, with the agent's own session token.
//!
//! Invariants: of a pod's request, only method, canonical path and `Accept` are sent upstream; the agent's token never
//! reaches a pod; no call takes longer than its total, including the wait for a slot among the calls in flight.

mod access;
mod answer;
pub mod discovery;
mod slots;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use ureq::http::{HeaderValue, Response as Upstream};
use ureq::{Agent, Body};
use zeroize::Zeroizing;

use self::access::{ImdsAccess, fetch_access};
use self::answer::relay;
use self::slots::{CallSlot, Slots};
use super::exchange::{phases, read_body, within};
use crate::clients::http::{AgentOptions, Misconfigured, ProxyUse, TlsOptions, agent, cause, retry_if_disconnected};
use crate::logic::base::time::Mono;
use crate::logic::base::url::ServiceUrl;
use crate::logic::request::message::Response;
use crate::logic::request::path::CanonicalPath;
use crate::logic::request::upstream::ImdsFailure;
use crate::os::single_flight::{Missed, SingleFlight};
use crate::ports::{Clock, Forwarded, Imds};

/// Time limits of calls.
#[derive(Clone, Copy, Debug)]
pub struct MetadataLimits {
    /// A whole call
    pub total: Duration,
    /// Fetching a token, as part of the total
    pub token: Duration,
}

impl Default for MetadataLimits {
    /// SDKs time out after 1 s and retry; the service answers within a millisecond.
    fn default() -> Self {
        Self { total: Duration::from_secs(2), token: Duration::from_secs(1) }
    }
}

/// The service at one address.
pub struct MetadataService {
    base: String,
    agent: Agent,
    clock: Arc<dyn Clock>,
    access: SingleFlight<ImdsAccess, ImdsFailure>,
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
        let access = SingleFlight::new(Arc::clone(&clock));
        Ok(Self { base: service.base(), agent, clock, access, slots: Slots::new(CALLS_IN_FLIGHT), limits })
    }

    /// Fetches the target. A rejected token is replaced once; a 401 for the agent's token is never passed on.
    fn fetch(&self, call: &ImdsCall<'_>, deadline: Mono) -> Result<Upstream<Body>, ImdsFailure> {
        for attempt in 1..=ATTEMPTS {
            let access = self.access(call, deadline)?;
            let response = self.send(call, &access, deadline)?;
            if response.status() != 401 {
                return Ok(response);
            }
            self.access.discard(|held| *held == access);
            if attempt == ATTEMPTS {
                break;
            }
        }
        Err(call.failure(Some(401), "it rejects its own tokens"))
    }

    fn send(&self, call: &ImdsCall<'_>, access: &ImdsAccess, deadline: Mono) -> Result<Upstream<Body>, ImdsFailure> {
        let url = format!("{}{}", self.base, call.target);
        let send = || {
            let mut request = match call.method {
                Forwarded::Get => self.agent.get(&url),
                Forwarded::Head => self.agent.head(&url),
            };
            if let Some(accept) = call.accept.and_then(|accept| HeaderValue::from_bytes(accept).ok()) {
                request = request.header("accept", accept);
            }
            if let ImdsAccess::Token(token) = access {
                request = request.header(access::TOKEN_HEADER, token.expose());
            }
            within(request, self.left(deadline)).call()
        };
        retry_if_disconnected(send).map_err(|error| call.failure(None, &cause(&error)))
    }

    /// Fetches a token only with its full timeout left: a fetch cut short would look like a service without version 2.
    fn access(&self, call: &ImdsCall<'_>, deadline: Mono) -> Result<ImdsAccess, ImdsFailure> {
        let left = self.left(deadline);
        let fetch = || match self.limits.token {
            total if left < total => Err(call.failure(None, "no time left")),
            total => fetch_access(&self.agent, &self.base, total, self.clock.as_ref()),
        };
        self.access.get(left.min(self.limits.token), fetch).map_err(|missed| match missed {
            Missed::Failed(failure) => failure,
            Missed::TimedOut => {
                ImdsFailure { status: None, cause: "failed to get `metadata token`: no answer in time".to_owned() }
            }
        })
    }

    /// Waits for a slot among the calls in flight; fails at the deadline.
    fn slot(&self, call: &ImdsCall<'_>, deadline: Mono) -> Result<CallSlot, ImdsFailure> {
        let slot = self.slots.take(deadline, self.clock.as_ref());
        slot.ok_or_else(|| call.failure(None, "too many calls to it are in flight"))
    }

    fn deadline(&self) -> Mono {
        self.clock.now().mono.after(self.limits.total)
    }

    fn left(&self, deadline: Mono) -> Duration {
        self.clock.now().mono.until(deadline)
    }

    fn relay(&self, call: &ImdsCall<'_>) -> Result<Response, ImdsFailure> {
        let deadline = self.deadline();
        let slot = self.slot(call, deadline)?;
        let response = self.fetch(call, deadline)?;
        let status = response.status().as_u16();
        relay(response, call.method, slot).map_err(|cause| call.failure(Some(status), &cause))
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
        let call = ImdsCall { method: Forwarded::Get, target: path, accept: None };
        let deadline = self.deadline();
        let _slot = self.slot(&call, deadline)?;
        let response = self.fetch(&call, deadline)?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(call.failure(Some(status), &format!("it answered with status {status}")));
        }
        let mut body = read_body(response, MAX_DOCUMENT_BYTES).map_err(|cause| call.failure(Some(status), &cause))?;
        String::from_utf8(std::mem::take(&mut *body)).map_err(|error| {
            drop(Zeroizing::new(error.into_bytes()));
            call.failure(Some(status), "it is not text")
        })
    }
}

/// A call to the service.
struct ImdsCall<'a> {
    method: Forwarded,
    /// Path and query, starting with `/`
    target: &'a str,
    accept: Option<&'a [u8]>,
}

impl ImdsCall<'_> {
    fn failure(&self, status: Option<u16>, cause: &str) -> ImdsFailure {
        ImdsFailure { status, cause: format!("failed to get `{}`: {cause}", self.target) }
    }
}

/// With the cached token, and with a fresh one.
const ATTEMPTS: usize = 2;
/// Concurrent calls to the metadata service, which throttles requests per instance.
const CALLS_IN_FLIGHT: usize = 16;
/// The real service closes the connection after each response; others may not.
const IDLE_CONNECTIONS: usize = 2;
/// Bytes; documents that the agent reads for itself have at most a few KiB.
const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests;
