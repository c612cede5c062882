//! Builds the rooms out of the configuration.

use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::Receiver;
use parking_lot::RwLock;

use super::{StartError, tell};
use crate::config::{
    Access, BUILD, Config, ErrorMemory, ImdsV2, KubernetesConfig, PolicyMode, SessionTags, SharedAddress,
};
use crate::desk::Desk;
use crate::edge::dice;
use crate::edge::imds::{MetadataLimits, MetadataService};
use crate::edge::kubernetes::{
    ApiServer, ApiServerOptions, Connection, Limits, SERVICE_ACCOUNT_CA, SERVICE_ACCOUNT_TOKEN, Verification,
};
use crate::edge::latch::Latch;
use crate::edge::logs::LogQueue;
use crate::edge::node_credentials::{self, NodeCredentials};
use crate::edge::sts::{RegionSource, StsClient, StsOptions, StsWire};
use crate::logic::aws_environment::AwsEnvironment;
use crate::logic::bucket::Rate;
use crate::logic::cache::CacheRules;
use crate::logic::events::Refused;
use crate::logic::policy::{Enforcement, Tokens};
use crate::logic::route::RouteRules;
use crate::logic::service_url::ServiceUrl;
use crate::logic::session::{SessionRules, TagReach, Tags};
use crate::logic::token::TokenKeys;
use crate::ports::{Clock, Imds, Sts};
use crate::registry::Registry;
use crate::serve::{Duplicates, Facts, Service};
use crate::telemetry::{Metrics, Telemetry};

/// Everything that threads share.
pub(super) struct Rooms {
    pub(super) config: Config,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) latch: Arc<Latch>,
    pub(super) registry: Arc<Registry>,
    pub(super) desk: Arc<Desk>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) facts: Arc<Facts>,
    pub(super) keys: Arc<RwLock<Arc<TokenKeys>>>,
    pub(super) service: Arc<Service>,
    pub(super) kubernetes: Arc<ApiServer>,
    /// The metadata service as the agent itself asks it
    pub(super) imds: Arc<dyn Imds>,
    pub(super) sts: Arc<dyn Sts>,
    pub(super) node_credentials: Arc<dyn NodeCredentials>,
    /// Refusals that are to become Events
    pub(super) refusals: Option<Receiver<Refused>>,
}

pub(super) fn rooms(
    config: &Config,
    environment: &AwsEnvironment,
    clock: Arc<dyn Clock>,
    latch: Arc<Latch>,
    log: LogQueue,
) -> Result<Arc<Rooms>, StartError> {
    let metrics = Metrics::new(&BUILD).map_err(|cause| StartError::new("register the metrics", &cause))?;
    let (sender, refusals) = tell::queue(config);
    let telemetry = Telemetry::new(metrics, Box::new(move || log.has_room()));
    let telemetry = Arc::new(telemetry.telling(sender.map(tell::sink)));
    let proxied: Arc<dyn Imds> = metadata_service(&config.metadata.proxied.to_string(), &clock)?;
    let imds: Arc<dyn Imds> = if config.metadata.own == config.metadata.proxied {
        proxied.clone()
    } else {
        metadata_service(&config.metadata.own.to_string(), &clock)?
    };
    let wire = sts_wire(environment, &imds, &clock)?;
    let (sts, node_credentials) = sts(config, environment, &imds, &wire, &clock)?;
    let kubernetes = Arc::new(api_server(&config.kubernetes, environment, &clock, Limits::default())?);
    let registry = Arc::new(Registry::new(clock.clone()));
    let desk = Arc::new(Desk::new(cache_rules(config), clock.clone()));
    let keys =
        TokenKeys::new(&dice::secret().map_err(|cause| StartError::new("draw a token key", &cause))?, clock.now().wall);
    let keys = Arc::new(RwLock::new(Arc::new(keys)));
    let host_ip = config.host.map(|address| address.to_string()).unwrap_or_default();
    let facts = Arc::new(Facts { host_ip, ..Facts::default() });
    let duplicates = (config.door.shared_address == SharedAddress::AskApiServer)
        .then(|| Duplicates::new(kubernetes.clone(), clock.clone(), telemetry.clone()));
    let service = Arc::new(Service {
        registry: registry.clone(),
        desk: desk.clone(),
        imds: proxied,
        clock: clock.clone(),
        keys: keys.clone(),
        telemetry: telemetry.clone(),
        facts: facts.clone(),
        duplicates,
        routes: route_rules(config),
        wait_for_pod: config.door.wait_for_pod,
    });
    let config = config.clone();
    Ok(Arc::new(Rooms {
        config,
        clock,
        latch,
        registry,
        desk,
        telemetry,
        facts,
        keys,
        service,
        kubernetes,
        imds,
        sts,
        node_credentials,
        refusals,
    }))
}

pub(crate) fn metadata_service(authority: &str, clock: &Arc<dyn Clock>) -> Result<Arc<MetadataService>, StartError> {
    let failed = |cause: &dyn std::fmt::Display| StartError::new(&format!("use metadata service `{authority}`"), cause);
    let url = ServiceUrl::parse(&format!("http://{authority}")).map_err(|cause| failed(&cause))?;
    let service = MetadataService::new(&url, MetadataLimits::default(), clock.clone());
    service.map(Arc::new).map_err(|cause| failed(&cause))
}

type StsAndCredentials = (Arc<dyn Sts>, Arc<dyn NodeCredentials>);

/// The way to STS.
pub(crate) fn sts_wire(
    environment: &AwsEnvironment,
    imds: &Arc<dyn Imds>,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<StsWire>, StartError> {
    let endpoints = environment.endpoints().map_err(|cause| no_sts(&cause))?;
    let region = RegionSource::new(environment.region.clone(), imds.clone(), clock.clone());
    let options = StsOptions::new(endpoints, region, environment).map_err(|cause| no_sts(&cause))?;
    StsWire::new(options, clock.clone()).map(Arc::new).map_err(|cause| no_sts(&cause))
}

fn no_sts(cause: &dyn std::fmt::Display) -> StartError {
    StartError::new("set up the calls to STS", cause)
}

/// STS, and what it is asked with.
pub(crate) fn sts(
    config: &Config,
    environment: &AwsEnvironment,
    imds: &Arc<dyn Imds>,
    wire: &Arc<StsWire>,
    clock: &Arc<dyn Clock>,
) -> Result<StsAndCredentials, StartError> {
    let source = environment.node_source().map_err(|cause| no_sts(&cause))?;
    let session = session_rules(config);
    let hop = config.sts.assume_first.as_ref().map(|role| session.hop(role));
    let doors = node_credentials::Doors { imds: imds.clone(), wire: wire.clone(), clock: clock.clone() };
    let credentials = node_credentials::node_credentials(source, hop, &doors).map_err(|cause| no_sts(&cause))?;
    Ok((Arc::new(StsClient::new(wire.clone(), credentials.clone())), credentials))
}

pub(crate) fn api_server(
    config: &KubernetesConfig,
    environment: &AwsEnvironment,
    clock: &Arc<dyn Clock>,
    limits: Limits,
) -> Result<ApiServer, StartError> {
    let verification = if config.insecure { Verification::Skipped } else { Verification::Required };
    let connection = match &config.access {
        Access::Kubeconfig(path) => Connection::kubeconfig(path, verification),
        Access::ApiServer { url, token } => Connection::api_server(url, Some(token.clone()), verification),
        Access::InCluster { host, port } => Connection::in_cluster(
            host,
            &port.to_string(),
            Path::new(SERVICE_ACCOUNT_TOKEN),
            Path::new(SERVICE_ACCOUNT_CA),
        ),
    };
    let failed = |cause: &dyn std::fmt::Display| StartError::new("set up the API server", cause);
    let options = ApiServerOptions {
        connection: connection.map_err(|cause| failed(&cause))?,
        proxies: environment.proxy.clone(),
        node: config.node.clone(),
        keys: config.keys.clone(),
        clock: clock.clone(),
        limits,
    };
    ApiServer::new(options).map_err(|cause| failed(&cause))
}

fn cache_rules(config: &Config) -> CacheRules {
    let error_ttl = match config.sts.error_memory {
        ErrorMemory::ByKind => None,
        ErrorMemory::For(span) => Some(span),
        ErrorMemory::Off => Some(std::time::Duration::ZERO),
    };
    let refill = config.sts.calls_per_second;
    CacheRules { budget: Rate { burst: (refill * 2.0).max(1.0), refill }, error_ttl }
}

fn route_rules(config: &Config) -> RouteRules {
    RouteRules {
        metrics: config.door.metrics == crate::config::MetricsDoor::OnAppPort,
        debug: config.door.debug_store,
        allowed: config.metadata.allowed.clone(),
        denied: config.metadata.denied.clone(),
    }
}

pub(crate) fn session_rules(config: &Config) -> SessionRules {
    SessionRules {
        duration_s: config.sts.life.asked_s,
        name: config.sts.session_name.clone(),
        node: config.kubernetes.node.clone().unwrap_or_default(),
        tags: match &config.sts.tags {
            SessionTags::None => Tags::None,
            SessionTags::OfPod { transitive, cluster } => Tags::Pod {
                cluster: cluster.clone(),
                reach: if *transitive { TagReach::Chain } else { TagReach::Session },
            },
        },
    }
}

pub(super) fn tokens(config: &Config) -> Tokens {
    match config.metadata.v2 {
        ImdsV2::Optional => Tokens::Optional,
        ImdsV2::Required => Tokens::Required,
    }
}

pub(super) fn enforcement(config: &Config) -> Enforcement {
    match config.roles.mode {
        PolicyMode::Enforce => Enforcement::Enforce,
        PolicyMode::Audit => Enforcement::Audit,
    }
}
