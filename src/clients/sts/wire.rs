//! One request to STS and its reply: endpoint, signature, bytes. The caller retries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use ureq::Agent;
use zeroize::Zeroizing;

use super::sign::{CONTENT_TYPE, sign};
use super::{RegionSource, unavailable};
use crate::clients::exchange::{phases, read_body, within};
use crate::clients::http::{
    AgentOptions, Authorities, Misconfigured, Pem, ProxyUse, Roots, TlsOptions, agent, cause, retry_if_disconnected,
};
use crate::logic::base::proxy::ProxyEnvironment;
use crate::logic::base::time::{Now, Wall};
use crate::logic::sessions::credentials::Credentials;
use crate::logic::sts::endpoints::{Endpoint, StsEndpoints};
use crate::logic::sts::environment::AwsEnvironment;
use crate::logic::sts::{StsAnswer, StsFailure, caller_identity_body, http_date, skew_ms};
use crate::ports::Clock;

/// How to reach STS.
pub struct StsOptions {
    /// Its region is unused; see `region`
    pub endpoints: StsEndpoints,
    pub region: RegionSource,
    pub proxy: ProxyEnvironment,
    pub tls: TlsOptions,
    /// Time limit of one attempt
    pub attempt: Duration,
}

impl StsOptions {
    /// Options from `environment`, with the default of 20 s per attempt.
    pub fn new(
        endpoints: StsEndpoints,
        region: RegionSource,
        environment: &AwsEnvironment,
    ) -> Result<Self, Misconfigured> {
        let tls = tls_options(environment)?;
        Ok(Self { endpoints, region, proxy: environment.proxy.clone(), tls, attempt: ATTEMPT })
    }
}

/// Mozilla's roots, and those of `AWS_CA_BUNDLE` or else `SSL_CERT_FILE`.
fn tls_options(environment: &AwsEnvironment) -> Result<TlsOptions, Misconfigured> {
    let (roots, advice) = match &environment.ca_bundle {
        None => (Roots::BuiltIn, "if it is not a public one, name its file in AWS_CA_BUNDLE".to_owned()),
        Some(file) => {
            let authorities = Authorities::new(Pem::File(file.into()))?;
            (Roots::BuiltInAnd(authorities), format!("check `{file}`, the file of AWS_CA_BUNDLE or SSL_CERT_FILE"))
        }
    };
    Ok(TlsOptions { advice, roots, ..TlsOptions::public("STS") })
}

/// The connection to STS.
pub struct StsWire {
    options: StsOptions,
    clock: Arc<dyn Clock>,
    /// Milliseconds to add to the wall clock to get AWS's time
    skew_ms: AtomicI64,
    /// One per endpoint; more than one only for roles in partitions other than the region's
    agents: Mutex<BTreeMap<String, Agent>>,
}

/// A request; without a signer it isn't signed.
pub(crate) struct StsRequest<'a> {
    /// The partition of the role's ARN
    pub(crate) partition: Option<&'a str>,
    pub(crate) body: &'a str,
    pub(crate) signer: Option<&'a Credentials>,
}

/// A reply.
pub(crate) struct StsReply {
    status: u16,
    request_id: Option<String>,
    pub(crate) date: Option<String>,
    body: Zeroizing<Vec<u8>>,
}

impl StsReply {
    /// The reply to parse; `secrets` are removed from its texts.
    pub(crate) fn answer<'a>(&'a self, secrets: &'a [&'a str]) -> StsAnswer<'a> {
        StsAnswer { status: self.status, request_id: self.request_id.as_deref(), body: &self.body, secrets }
    }
}

impl StsWire {
    /// Rejects unusable options, as far as they can be checked before the region is known.
    pub fn new(options: StsOptions, clock: Arc<dyn Clock>) -> Result<Self, Misconfigured> {
        let wire = Self { options, clock, skew_ms: AtomicI64::new(0), agents: Mutex::default() };
        if let RegionSource::Given(region) = &wire.options.region
            && let Ok(endpoint) = wire.endpoint_in(region.clone(), None)
        {
            wire.agent(&endpoint)?;
        }
        Ok(wire)
    }

    /// The endpoint for `partition`. May read the region from the metadata service.
    pub fn endpoint(&self, partition: Option<&str>) -> Result<Endpoint, StsFailure> {
        self.endpoint_in(self.options.region.region()?, partition)
    }

    fn endpoint_in(&self, region: String, partition: Option<&str>) -> Result<Endpoint, StsFailure> {
        StsEndpoints { region: Some(region), ..self.options.endpoints.clone() }.endpoint(partition)
    }

    /// Sends a request and reads the reply within `left`, or within the limit of one attempt if that is shorter.
    pub(crate) fn ask(&self, call: &StsRequest<'_>, left: Duration) -> Result<StsReply, StsFailure> {
        let deadline = self.now().mono.after(left.min(self.options.attempt));
        let endpoint = self.endpoint(call.partition)?;
        let signature = match call.signer {
            Some(signer) => sign(&endpoint, call.body, signer, self.aws_time())?,
            None => Vec::new(),
        };
        let agent = self.agent(&endpoint).map_err(|error| unavailable("Misconfigured", error.to_string()))?;
        let send = || {
            let mut request = agent.post(&endpoint.url).header("host", &endpoint.host);
            for (name, value) in signature.iter().map(|(name, value)| (*name, value.as_str())).chain(FIXED_HEADERS) {
                request = request.header(name, value);
            }
            within(request, self.now().mono.until(deadline)).send(call.body)
        };
        let response = retry_if_disconnected(send).map_err(|error| self.unreached(&endpoint, &error))?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (status, request_id, date) = (response.status().as_u16(), header("x-amzn-requestid"), header("date"));
        let body = read_body(response, MAX_REPLY_BYTES)
            .map_err(|cause| unavailable("Unreadable", format!("failed to read `{}`: {cause}", endpoint.url)))?;
        Ok(StsReply { status, request_id, date, body })
    }

    /// The time at STS, from the `Date` of the response to an unsigned request; `None` without the header.
    pub fn date(&self) -> Result<Option<Wall>, StsFailure> {
        let call = StsRequest { partition: None, body: &caller_identity_body(), signer: None };
        let reply = self.ask(&call, self.options.attempt)?;
        Ok(reply.date.as_deref().and_then(http_date))
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    /// AWS's time, by the `Date` of its responses.
    pub(crate) fn aws_time(&self) -> Wall {
        let skew = self.skew_ms.load(Ordering::Relaxed);
        Wall::from_unix_millis(self.clock.now().wall.unix_millis().saturating_add(skew))
    }

    /// The time of a reply: its `Date`, or [`StsWire::aws_time`] without one.
    pub(crate) fn time_of(&self, reply: &StsReply) -> Wall {
        reply.date.as_deref().and_then(http_date).unwrap_or_else(|| self.aws_time())
    }

    /// Adopts AWS's time from the `Date` of a response; without one, resets to the local clock.
    pub(crate) fn correct_clock(&self, date: Option<&str>) {
        let skew = date.and_then(|date| skew_ms(date, self.clock.now().wall)).unwrap_or(0);
        self.skew_ms.store(skew, Ordering::Relaxed);
    }

    fn agent(&self, endpoint: &Endpoint) -> Result<Agent, Misconfigured> {
        let mut agents = self.agents.lock();
        if let Some(agent) = agents.get(&endpoint.url) {
            return Ok(agent.clone());
        }
        let target = endpoint.url.clone();
        let made = agent(&AgentOptions {
            proxy: ProxyUse::FromEnvironment { environment: self.options.proxy.clone(), target },
            tls: self.options.tls.clone(),
            limits: phases(self.options.attempt),
            idle_connections: IDLE_CONNECTIONS,
        })?;
        agents.insert(endpoint.url.clone(), made.clone());
        Ok(made)
    }

    pub(super) fn unreached(&self, endpoint: &Endpoint, error: &ureq::Error) -> StsFailure {
        let cause = cause(error);
        let message = format!("failed to reach `{}`: {cause}", endpoint.url);
        match error {
            ureq::Error::Timeout(_) => unavailable("Timeout", message),
            // The name is wrong or DNS fails: STS is unreachable, which doesn't mean that the region is unknown.
            ureq::Error::HostNotFound => unavailable(
                "Unreachable",
                format!("{message} (host `{}`; is there a region `{}`?)", endpoint.host, endpoint.signing_region),
            ),
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => unavailable("Timeout", message),
            _ => unavailable("Unreachable", message),
        }
    }
}

const FIXED_HEADERS: [(&str, &str); 2] = [("content-type", CONTENT_TYPE), ("accept", "application/xml")];
/// Bytes. A success has 2 KiB; tags may add a few KiB to the session token.
const MAX_REPLY_BYTES: usize = 256 * 1024;
/// AWS answers in tens of milliseconds. A response may take two fifths of this to begin: longer than a pod waits, so
/// that a slow one still arrives in time for the pod's next request.
const ATTEMPT: Duration = Duration::from_secs(20);
/// Calls come in bursts when pods start, and rarely otherwise.
const IDLE_CONNECTIONS: usize = 2;
