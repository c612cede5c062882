//! The only place that builds ureq agents; it sets every option. ureq's defaults are wrong here: it reads proxies from
//! the environment, follows redirects, treats 4xx as an error, keeps 256 KiB of buffers per connection and waits
//! indefinitely.
//!
//! Each phase has its own time limit; ureq's totals (global, per call) are unset. A name lookup, by
//! [`names`](super::names), may take as long as connecting.

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
use self::tls::{RefreshFiles, Tls, TlsConnector};
pub use self::trust::{Authorities, ClientCertificate, Pem, Roots, TlsOptions};
use super::names::NameResolver;
use crate::logic::base::proxy::ProxyEnvironment;
use crate::logic::base::url::ServiceUrl;

/// The options in which the agents differ.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    pub proxy: ProxyUse,
    pub tls: TlsOptions,
    pub limits: TimeLimits,
    /// Maximum number of idle connections. Each holds 24 KiB of buffers.
    pub idle_connections: usize,
}

/// Whether a proxy may be used.
#[derive(Clone, Debug)]
pub enum ProxyUse {
    /// Never: metadata, container credentials.
    None,
    /// According to the environment, for `target`, the URL of the only server this agent connects to.
    FromEnvironment { environment: ProxyEnvironment, target: String },
}

/// How long each phase of a call may take.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimits {
    /// TCP, the proxy's CONNECT and the TLS handshake together; a preceding name lookup may take as long again.
    pub connect: Duration,
    /// Sending the head; the same again for the body.
    pub send: Duration,
    /// From the end of the request to the end of the response head.
    pub response_head: Duration,
    /// The complete body; `None` for a watch.
    pub response_body: Option<Duration>,
    /// Between two reads, including those of TLS handshake and head.
    pub idle_read: Option<Duration>,
}

/// Builds an agent.
pub fn agent(options: &AgentOptions) -> Result<Agent, Misconfigured> {
    let limits = options.limits;
    let proxy = proxy(&options.proxy)?;
    let tls = Arc::new(Tls::new(options.tls.clone(), proxy.as_ref().map(|proxy| proxy.uri().clone())));
    let config = Agent::config_builder()
        .middleware(RefreshFiles(Arc::clone(&tls)))
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

/// Runs an idempotent call, and repeats it once if its connection was closed: a server may close an idle connection
/// just as it is taken from the pool.
pub fn retry_if_disconnected<T>(call: impl Fn() -> Result<T, ureq::Error>) -> Result<T, ureq::Error> {
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

/// The cause of an error, on one line, without the request.
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

/// An unusable option, and why. Only a change of the configuration helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misconfigured(pub String);

/// On one line: control characters in names are escaped.
impl fmt::Display for Misconfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .chars()
            .try_for_each(|c| if c.is_control() { write!(f, "{}", c.escape_default()) } else { f.write_char(c) })
    }
}

impl std::error::Error for Misconfigured {}

/// Chooses the proxy, once per agent: an agent connects to one server, and ureq's own NO_PROXY doesn't support CIDR.
fn proxy(proxy: &ProxyUse) -> Result<Option<Proxy>, Misconfigured> {
    let ProxyUse::FromEnvironment { environment, target } = proxy else { return Ok(None) };
    let target = target_of(target)?;
    let host = target.host();
    let Some(address) = environment.proxy_for(target.scheme(), host, target.port()) else { return Ok(None) };
    // The address may contain a password, so it never appears in a message.
    let unusable = || Misconfigured(format!("unusable proxy address for `{host}`: need http://HOST:PORT"));
    let proxy = Proxy::new(address.expose().trim()).map_err(|_| unusable())?;
    match proxy.protocol() {
        ProxyProtocol::Http | ProxyProtocol::Https => Ok(Some(proxy)),
        _ => Err(unusable()),
    }
}

/// Parses a URL.
pub fn target_of(url: &str) -> Result<ServiceUrl, Misconfigured> {
    // The part before an `@` may contain a password.
    let shown = url.rsplit('@').next().unwrap_or_default();
    let unusable = || Misconfigured(format!("unusable URL `{shown}`: need https://HOST[:PORT] or http://HOST[:PORT]"));
    ServiceUrl::parse(url).map_err(|_| unusable())
}

const USER_AGENT: &str = concat!("kube2iam/", env!("CARGO_PKG_VERSION"));
/// ureq's default is 128 KiB each. Requests and most responses fit these.
const INPUT_BUFFER_BYTES: usize = 16 * 1024;
const OUTPUT_BUFFER_BYTES: usize = 8 * 1024;
/// The head must fit the input buffer.
const RESPONSE_HEAD_BYTES: usize = INPUT_BUFFER_BYTES;
/// Shorter than the idle timeout of any server called (the API server's is at least 90 s, that of STS 20 s).
const IDLE_AGE: Duration = Duration::from_secs(15);
