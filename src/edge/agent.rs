//! The one place where ureq agents are built, every option said. What ureq would do by itself is wrong for this house:
//! it reads proxies from the environment, follows redirects, takes 4xx for an error, keeps 256 KiB of buffers for each
//! connection and waits for ever.
//!
//! Time is bounded phase by phase. ureq's totals (global, per call, resolve) are not used: with any of them it starts a
//! thread for every name lookup. A lookup itself is bounded by resolv.conf.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::sign::CertifiedKey;
use ureq::config::{AutoHeaderValue, IpFamily, RedirectAuthHeaders};
use ureq::http::Uri;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Proxy, ProxyProtocol};

use crate::logic::proxy::{ProxyEnvironment, Scheme};

/// Everything in which our agents differ.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    pub proxy: ProxyUse,
    pub roots: Roots,
    pub client_certificate: Option<ClientCertificate>,
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

/// Whom a TLS server must be vouched for by.
#[derive(Clone, Debug)]
pub enum Roots {
    /// Mozilla's roots, compiled in: a scratch image has no bundle.
    BuiltIn,
    /// Mozilla's and these.
    BuiltInAnd(Authorities),
    /// None but these.
    Only(Authorities),
    /// Nobody: `--insecure`.
    Unverified,
}

/// How long each phase of a call may take.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimits {
    /// TCP, the proxy's part and the TLS handshake together.
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
    let config = Agent::config_builder()
        .proxy(proxy(&options.proxy)?)
        .tls_config(tls(options))
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
        .timeout_resolve(None)
        .timeout_connect(Some(limits.connect))
        .timeout_send_request(Some(limits.send))
        .timeout_await_100(Some(limits.send))
        .timeout_send_body(Some(limits.send))
        .timeout_per_write(Some(limits.send))
        .timeout_recv_response(Some(limits.response_head))
        .timeout_recv_body(limits.response_body)
        .timeout_per_read(limits.idle_read)
        .build();
    Ok(config.new_agent())
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
        ureq::Error::Timeout(phase) => format!("no progress in time ({phase:?})"),
        ureq::Error::Io(error) => error.to_string().to_lowercase(),
        error => error.to_string().replace(['\r', '\n'], " "),
    }
}

/// Certificates of authorities, at least one of them readable.
#[derive(Clone)]
pub struct Authorities(Arc<Vec<Certificate<'static>>>);

impl Authorities {
    /// Reads a PEM bundle. Certificates that can't serve as a root are left out, as bundles of distributions have some.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Misconfigured> {
        let certificates = certificates(pem)?;
        let (readable, _) = RootCertStore::empty().add_parsable_certificates(certificates.iter().cloned());
        if readable == 0 {
            return Err(Misconfigured("no usable certificate in PEM form".to_owned()));
        }
        Ok(Self(Arc::new(certificates.iter().map(certificate).collect())))
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates", self.0.len())
    }
}

/// Who we are to a server that asks for a certificate.
#[derive(Clone)]
pub struct ClientCertificate(ClientCert);

impl ClientCertificate {
    /// Reads a chain and its key (PKCS#1, PKCS#8 or SEC1), both in PEM form. Refuses a key that isn't the chain's:
    /// ureq would panic at the first connection.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, Misconfigured> {
        let chain = certificates(chain)?;
        let unreadable = |cause: &dyn fmt::Display| Misconfigured(format!("unusable client key: {cause}"));
        let der = PrivateKeyDer::from_pem_slice(key).map_err(|error| unreadable(&error))?;
        CertifiedKey::from_der(chain.clone(), der, &default_provider()).map_err(|error| unreadable(&error))?;
        let key = PrivateKey::from_pem(key).map_err(|error| unreadable(&error))?;
        Ok(Self(ClientCert::new_with_certs(&chain.iter().map(certificate).collect::<Vec<_>>(), key)))
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates and a key", self.0.certs().len())
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

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Misconfigured> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| Misconfigured(format!("unreadable certificate: {error}")))
}

fn certificate(der: &CertificateDer<'_>) -> Certificate<'static> {
    Certificate::from_der(der).to_owned()
}

/// Mozilla's roots, whole: authorities of one's own can be added to them.
fn built_in_roots() -> impl Iterator<Item = Certificate<'static>> {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|der| Certificate::from_der(der))
}

fn tls(options: &AgentOptions) -> TlsConfig {
    let roots = match &options.roots {
        Roots::Unverified => RootCerts::from(std::iter::empty::<Certificate<'static>>()),
        Roots::BuiltIn => RootCerts::from(built_in_roots()),
        Roots::BuiltInAnd(authorities) => RootCerts::from(built_in_roots().chain(authorities.0.iter().cloned())),
        Roots::Only(authorities) => RootCerts::Specific(Arc::clone(&authorities.0)),
    };
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .client_cert(options.client_certificate.as_ref().map(|certificate| certificate.0.clone()))
        .root_certs(roots)
        .use_sni(true)
        .disable_verification(matches!(options.roots, Roots::Unverified))
        .unversioned_rustls_crypto_provider(Arc::new(default_provider()))
        .build()
}

/// The proxy is chosen here and once: an agent speaks to one server, and ureq's own NO_PROXY knows no CIDR.
fn proxy(proxy: &ProxyUse) -> Result<Option<Proxy>, Misconfigured> {
    let ProxyUse::FromEnvironment { environment, target } = proxy else { return Ok(None) };
    let (scheme, host, port) = target_of(target)?;
    let Some(address) = environment.proxy_for(scheme, &host, port) else { return Ok(None) };
    // The address may carry a password and is never part of a message.
    let unusable = || Misconfigured(format!("unusable proxy address for `{host}`: need http://HOST:PORT"));
    let proxy = Proxy::new(address.expose().trim()).map_err(|_| unusable())?;
    match proxy.protocol() {
        ProxyProtocol::Http | ProxyProtocol::Https => Ok(Some(proxy)),
        _ => Err(unusable()),
    }
}

/// Scheme, host without brackets, and port of a URL.
pub fn target_of(url: &str) -> Result<(Scheme, String, u16), Misconfigured> {
    // What stands before an `@` may be a password.
    let shown = url.rsplit('@').next().unwrap_or_default();
    let unusable = || Misconfigured(format!("unusable URL `{shown}`: need https://HOST[:PORT] or http://HOST[:PORT]"));
    let uri: Uri = url.parse().map_err(|_| unusable())?;
    let (scheme, usual_port) = match uri.scheme_str() {
        Some("https") => (Scheme::Https, 443),
        Some("http") => (Scheme::Http, 80),
        _ => return Err(unusable()),
    };
    let authority = uri.authority().ok_or_else(unusable)?;
    let place = authority.as_str().rsplit('@').next().unwrap_or_default();
    // http::Uri takes any text after the host, and none for a port it can't read.
    let port = match place.strip_prefix(authority.host()) {
        Some("") => usual_port,
        Some(port) => port.strip_prefix(':').and_then(|port| port.parse().ok()).ok_or_else(unusable)?,
        None => return Err(unusable()),
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || port == 0 { Err(unusable()) } else { Ok((scheme, host.to_owned(), port)) }
}

const USER_AGENT: &str = concat!("kube2iam/", env!("CARGO_PKG_VERSION"));
/// ureq asks for 128 KiB each. What we send and most of what we read fits these.
const INPUT_BUFFER_BYTES: usize = 16 * 1024;
const OUTPUT_BUFFER_BYTES: usize = 8 * 1024;
/// The head must fit the input buffer.
const RESPONSE_HEAD_BYTES: usize = INPUT_BUFFER_BYTES;
/// Shorter than the idle time of any server spoken to (the API server keeps idle connections for 90 s or longer, STS 20 s).
const IDLE_AGE: Duration = Duration::from_secs(15);
