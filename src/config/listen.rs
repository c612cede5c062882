//! The listeners for requests, and how long a request waits for its pod.

use std::net::IpAddr;
use std::time::Duration;

use super::flags::ListenFlags;
use super::pflag::CommandLine;
use super::usage::UsageError;
use super::values::or_allowed;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenConfig {
    pub app: Listen,
    /// Serve `/v1/credentials` at 169.254.170.2 and on loopback.
    pub container_credentials: bool,
    /// A token presented there must have one of these audiences.
    pub token_audiences: Vec<String>,
    pub metrics: MetricsListener,
    /// Serve `/debug/store`.
    pub debug_store: bool,
    /// How long a request waits for its pod to appear in the World.
    pub wait_for_pod: Duration,
    pub shared_address: SharedAddress,
}

/// A port to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// `None`: every address, IPv6 and IPv4
    pub address: Option<IpAddr>,
    pub port: u16,
}

/// Where `/metrics` is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsListener {
    OnAppPort,
    Own(Listen),
}

/// What happens when several live pods claim one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedAddress {
    Refuse,
    AskApiServer,
}

impl ListenConfig {
    pub(super) fn read(
        flags: ListenFlags,
        line: &CommandLine<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, UsageError> {
        let app = Listen { address: flags.bind_address, port: flags.app_port };
        if flags.container_credentials && app.address.is_some_and(|address| !address.is_unspecified()) {
            let cause = "not allowed with --container-credentials, which is served at several addresses";
            return Err(UsageError::contradiction(line.shown("bind-address"), cause));
        }
        let wait_for_pod = match flags.backoff_max_elapsed_time {
            Duration::ZERO => LONG_WAIT,
            wait => wait,
        };
        let shared_address =
            if flags.resolve_duplicate_cache_ips { SharedAddress::AskApiServer } else { SharedAddress::Refuse };
        Ok(Self {
            app,
            container_credentials: flags.container_credentials,
            metrics: metrics(&flags, line, app)?,
            token_audiences: token_audiences(&flags, warnings),
            debug_store: flags.debug,
            wait_for_pod,
            shared_address,
        })
    }
}

fn token_audiences(flags: &ListenFlags, warnings: &mut Vec<String>) -> Vec<String> {
    let mut audiences = flags.token_audience.clone();
    if !audiences.is_empty() && !flags.container_credentials {
        warnings.push("--token-audience without --container-credentials has no effect".to_owned());
    }
    if audiences.is_empty() {
        audiences.push(AUDIENCE.to_owned());
    }
    audiences
}

pub(super) fn audience(text: &str) -> Result<String, String> {
    let is_plain = text.chars().all(|c| !c.is_control());
    let fits = (1..=LONGEST_AUDIENCE).contains(&text.len()) && is_plain;
    or_allowed(fits.then(|| text.to_owned()), "a token's audience of 1 to 256 characters")
}

fn metrics(flags: &ListenFlags, line: &CommandLine<'_>, app: Listen) -> Result<MetricsListener, UsageError> {
    let (address, port) = (flags.metrics_bind_address, flags.metrics_port.unwrap_or(app.port));
    match address {
        Some(_) if port == app.port => Err(UsageError::contradiction(
            line.shown("metrics-bind-address"),
            format!("allowed only with a --metrics-port other than the app port {port}"),
        )),
        _ if port == app.port => Ok(MetricsListener::OnAppPort),
        _ => Ok(MetricsListener::Own(Listen { address, port })),
    }
}

/// In kube2iam `--backoff-max-elapsed-time=0` waits without limit; no client waits longer than this.
const LONG_WAIT: Duration = Duration::from_secs(10);
/// The audience of tokens without `--token-audience`.
const AUDIENCE: &str = "kube2iam";
/// In bytes. Audiences are names or URLs.
const LONGEST_AUDIENCE: usize = 256;
