//! The one place where ureq agents are built, every option set. ureq's defaults are wrong here:
//! it reads proxies from the environment, follows redirects, takes 4xx for an error, keeps 256 KiB of buffers for each
//! connection and waits for ever.
//!
//! Time is bounded phase by phase, without ureq's totals (global, per call). A name lookup, by [`names`](super::names),
//! has no longer than connecting may take.

mod failure;
mod reread;
mod tcp;
mod tls;
mod trust;
mod verify;

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use ureq::config::{AutoHeaderValue, IpFamily, RedirectAuthHeaders};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector};
use ureq::{Agent, Proxy, ProxyProtocol, Timeout};

use self::tcp::KeptAliveConnector;
use self::tls::{FilesFirst, Tls, TlsConnector};
pub use self::trust::{Authorities, ClientCertificate, Pem, Roots, TlsOptions};
use super::names::NameResolver;
use crate::logic::base::proxy::ProxyEnvironment;
use crate::logic::base::url::ServiceUrl;

/// Everything in which our agents differ.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    pub proxy: ProxyUse,
    pub tls: TlsOptions,
    pub limits: TimeLimits,
    /// How many idle connections are kept. Each holds 24 KiB of buffers.
    pub idle_connections: usize,
}

/// Whether a proxy may stand between.
#[derive(Clone, Debug)]
pub enum ProxyUse {
    /// Always directly: metadata, container credentials.
    None,
    /// As the environment says for `target`, the URL of the one server this agent speaks to.
    FromEnvironment { environment: ProxyEnvironment, target: String },
}

/// How long each phase of a call may take.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimits {
    /// TCP, the proxy's part and the TLS handshake together; before that, as long again for a name lookup.
    pub connect: Duration,
    /// Sending the head, and again the body.
    pub send: Duration,
    /// From the request's end to the end of the answer's head.
    pub response_head: Duration,
    /// The whole body; `None` for a watch.
    pub response_body: Option<Duration>,
    /// Silence between two reads, TLS handshake and head included.
    pub idle_read: Option<Duration>,
}

/// An agent that speaks as `options` say.
pub fn agent(options: &AgentOptions) -> Result<Agent, Misconfigured> {
    let limits = options.limits;
    let proxy = proxy(&options.proxy)?;
    let tls = Arc::new(Tls::new(options.tls.clone(), proxy.as_ref().map(|proxy| proxy.uri().clone())));
    let config = Agent::config_builder()
        .middleware(FilesFirst(Arc::clone(&tls)))
        .proxy(proxy)
        .http_status_as_error(false)
        .https_only(false)
        .ip_family(IpFamily::Any)
        .no_delay(true)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .redirect_auth_headers(RedirectAuthHeaders::Never)
        .save_redirect_history(false)
        .user_agent(USER_AGENT)
        .accept(AutoHeaderValue::None)
        .accept_encoding(AutoHeaderValue::None)
        .allow_non_standard_methods(false)
        .max_response_header_size(RESPONSE_HEAD_BYTES)
        .input_buffer_size(INPUT_BUFFER_BYTES)
        .output_buffer_size(OUTPUT_BUFFER_BYTES)
        .max_idle_connections(options.idle_connections)
        .max_idle_connections_per_host(options.idle_connections)
        .max_idle_age(IDLE_AGE)
        .timeout_global(None)
        .timeout_per_call(None)
        .timeout_resolve(Some(limits.connect))
        .timeout_connect(Some(limits.connect))
        .timeout_send_request(Some(limits.send))
        .timeout_await_100(Some(limits.send))
        .timeout_send_body(Some(limits.send))
        .timeout_per_write(Some(limits.send))
        .timeout_recv_response(Some(limits.response_head))
        .timeout_recv_body(limits.response_body)
        .timeout_per_read(limits.idle_read)
        .build();
    let connector = ().chain(ConnectProxyConnector::default()).chain(KeptAliveConnector).chain(TlsConnector(tls));
    Ok(Agent::with_parts(config, connector, NameResolver::system()))
}

/// Runs an idempotent call, and once more if its connection turned out to be closed: a server may drop an idle
/// connection in the very moment it is taken from the pool.
pub fn twice_if_disconnected<T>(call: impl Fn() -> Result<T, ureq::Error>) -> Result<T, ureq::Error> {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match call() {
        Err(ureq::Error::Io(error))
            if matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe) =>
        {
            call()
        }
        outcome => outcome,
    }
}

/// What went wrong, on one line and without the request.
pub fn cause(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(phase) => format!("no progress in time while {}", phase_name(*phase)),
        ureq::Error::HostNotFound => "there is no such host".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        error => error.to_string().replace(['\r', '\n'], " "),
    }
}

fn phase_name(phase: Timeout) -> &'static str {
    match phase {
        Timeout::Resolve => "looking up the host's name",
        Timeout::Connect => "connecting",
        Timeout::SendRequest | Timeout::SendBody | Timeout::PerWrite => "sending the request",
        Timeout::RecvResponse => "waiting for the answer",
        Timeout::RecvBody | Timeout::PerRead => "reading the answer",
        _ => "waiting for the call as a whole",
    }
}

/// An option that can't be used, and why. Nothing but another configuration helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misconfigured(pub String);

/// In one line, whatever the names in it are made of.
impl fmt::Display for Misconfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .chars()
            .try_for_each(|c| if c.is_control() { write!(f, "{}", c.escape_default()) } else { f.write_char(c) })
    }
}

impl std::error::Error for Misconfigured {}

/// The proxy is chosen here and once: an agent speaks to one server, and ureq's own NO_PROXY knows no CIDR.
fn proxy(proxy: &ProxyUse) -> Result<Option<Proxy>, Misconfigured> {
    let ProxyUse::FromEnvironment { environment, target } = proxy else { return Ok(None) };
    let target = target_of(target)?;
    let host = target.host();
    let Some(address) = environment.proxy_for(target.scheme(), host, target.port()) else { return Ok(None) };
    // The address may carry a password and is never part of a message.
    let unusable = || Misconfigured(format!("unusable proxy address for `{host}`: need http://HOST:PORT"));
    let proxy = Proxy::new(address.expose().trim()).map_err(|_| unusable())?;
    match proxy.protocol() {
        ProxyProtocol::Http | ProxyProtocol::Https => Ok(Some(proxy)),
        _ => Err(unusable()),
    }
}

/// A URL taken apart.
pub fn target_of(url: &str) -> Result<ServiceUrl, Misconfigured> {
    // What stands before an `@` may be a password.
    let shown = url.rsplit('@').next().unwrap_or_default();
    let unusable = || Misconfigured(format!("unusable URL `{shown}`: need https://HOST[:PORT] or http://HOST[:PORT]"));
    ServiceUrl::parse(url).map_err(|_| unusable())
}

const USER_AGENT: &str = concat!("kube2iam/", env!("CARGO_PKG_VERSION"));
/// ureq asks for 128 KiB each. What we send and most of what we read fits these.
const INPUT_BUFFER_BYTES: usize = 16 * 1024;
const OUTPUT_BUFFER_BYTES: usize = 8 * 1024;
/// The head must fit the input buffer.
const RESPONSE_HEAD_BYTES: usize = INPUT_BUFFER_BYTES;
/// Shorter than the idle time of any server spoken to (the API server keeps idle connections for 90 s or longer, STS 20 s).
const IDLE_AGE: Duration = Duration::from_secs(15);
