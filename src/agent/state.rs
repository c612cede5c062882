//! The state shared by the agent's threads, independent of the implementations of the ports.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use log::warn;

use super::StartError;
use super::node_addresses::NodeAddresses;
use super::refusals::Refusals;
use crate::api::container_credentials::Proof;
use crate::api::metadata::{Duplicates, Facts, Forwards, Service};
use crate::config::{BUILD, Config, SharedAddress};
use crate::logic::request::route::RouteRules;
use crate::logic::sessions::budget::Rate;
use crate::logic::sessions::cache::CacheRules;
use crate::os::latch::Latch;
use crate::ports::NodeCredentials;
use crate::ports::{Clock, Events, Imds, IssuerDiscovery, IssuerStore, KeyStore, Kubernetes, Nodes, Random, Sts, Time};
use crate::state::issuer_keys::IssuerKeyring;
use crate::state::sessions::SessionCache;
use crate::state::shared_world::SharedWorld;
use crate::state::token_keys::Keyring;
use crate::telemetry::{Metrics, RequestLines, Telemetry};

/// The agent's shared state.
pub struct AgentState {
    pub config: Config,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub latch: Arc<Latch>,
    /// Closed once the last responses are sent: until then they may need updates from the API server
    pub drained: Latch,
    pub world: Arc<SharedWorld>,
    pub sessions: Arc<SessionCache>,
    pub telemetry: Arc<Telemetry>,
    pub facts: Arc<Facts>,
    pub keys: Arc<Keyring>,
    /// `None`: pods' tokens aren't used
    pub issuer_keys: Option<Arc<IssuerKeyring>>,
    pub issuer_discovery: Option<Arc<dyn IssuerDiscovery>>,
    pub service: Arc<Service>,
    pub kubernetes: Arc<dyn Kubernetes>,
    pub nodes: Option<Arc<dyn Nodes>>,
    pub events: Option<Arc<dyn Events>>,
    /// The metadata service, for the agent's own reads
    pub imds: Arc<dyn Imds>,
    pub sts: Arc<dyn Sts>,
    pub node_credentials: Arc<dyn NodeCredentials>,
    /// Refusals to be written as Events
    pub(super) refusals: Option<Refusals>,
    /// The node's own addresses, once read
    pub(super) node: OnceLock<Arc<NodeAddresses>>,
    /// The name of the first thread that panicked
    pub fallen: OnceLock<&'static str>,
}

/// The implementations of the ports.
pub struct Ports {
    pub time: Arc<dyn Time>,
    pub random: Arc<dyn Random>,
    pub kubernetes: Arc<dyn Kubernetes>,
    /// `None`: no taint is removed
    pub nodes: Option<Arc<dyn Nodes>>,
    /// `None`: no Events are written
    pub events: Option<Arc<dyn Events>>,
    /// `None`: the token keys aren't shared with other agents
    pub key_store: Option<Arc<dyn KeyStore>>,
    /// `None`: the keys of ServiceAccount tokens can't be read
    pub issuer_discovery: Option<Arc<dyn IssuerDiscovery>>,
    /// `None`: they are read again after each start
    pub issuer_store: Option<Arc<dyn IssuerStore>>,
    /// The metadata service, for forwarded requests
    pub proxied: Arc<dyn Imds>,
    /// The metadata service, for the agent's own reads
    pub imds: Arc<dyn Imds>,
    pub sts: Arc<dyn Sts>,
    pub node_credentials: Arc<dyn NodeCredentials>,
}

impl AgentState {
    /// Builds the state from the ports.
    pub fn new(
        config: &Config,
        ports: Ports,
        latch: Arc<Latch>,
        request_lines: RequestLines,
    ) -> Result<Arc<Self>, StartError> {
        let Ports { time, random, kubernetes, nodes, events, key_store, proxied, imds, sts, node_credentials, .. } =
            ports;
        let (issuer_discovery, issuer_store) = (ports.issuer_discovery, ports.issuer_store);
        let metrics = metrics(config)?;
        let refusals = config.operation.events.then(|| Refusals::new(&*time));
        let telemetry = Telemetry::new(metrics, request_lines);
        let telemetry = Arc::new(telemetry.with_refusal_sink(refusals.as_ref().map(Refusals::sink)));
        let world = Arc::new(SharedWorld::new(time.clone()));
        world.limit_age(config.kubernetes.longest_age);
        let drained = Latch::new(time.clone());
        let sessions = Arc::new(SessionCache::new(cache_rules(config), time.clone()));
        let keys = Arc::new(token_keys(key_store, &*random, time.clone())?);
        let issuer_keys = config.listen.container_credentials.then(|| issuer_keys(issuer_store, time.clone()));
        let proof = issuer_keys.clone().map(|keys| proof(config, keys));
        let host_ip = config.host.map(|address| address.to_string()).unwrap_or_default();
        // Missing until seen in place.
        let redirect_missing = AtomicBool::new(config.redirect.is_some());
        let address_missing = AtomicBool::new(config.credentials_address.is_some());
        let facts = Arc::new(Facts { host_ip, redirect_missing, address_missing, ..Facts::default() });
        let duplicates = (config.listen.shared_address == SharedAddress::AskApiServer)
            .then(|| Duplicates::new(kubernetes.clone(), sessions.clone(), time.clone(), telemetry.clone()));
        let clock: Arc<dyn Clock> = time;
        let service = Arc::new(Service {
            world: world.clone(),
            sessions: sessions.clone(),
            imds: proxied,
            forwards: Forwards::default(),
            clock: clock.clone(),
            keys: keys.clone(),
            telemetry: telemetry.clone(),
            facts: facts.clone(),
            duplicates,
            routes: route_rules(config),
            tokens: config.metadata.tokens,
            proof,
            wait_for_pod: config.listen.wait_for_pod,
        });
        let config = config.clone();
        Ok(Arc::new(Self {
            config,
            clock,
            random,
            latch,
            drained,
            world,
            sessions,
            telemetry,
            facts,
            keys,
            issuer_keys,
            issuer_discovery,
            service,
            kubernetes,
            nodes,
            events,
            imds,
            sts,
            node_credentials,
            refusals,
            node: OnceLock::new(),
            fallen: OnceLock::new(),
        }))
    }
}

/// The previous agent's keys, or new ones: a damaged file in the state directory never prevents the start.
fn token_keys(
    store: Option<Arc<dyn KeyStore>>,
    random: &dyn Random,
    clock: Arc<dyn Clock>,
) -> Result<Keyring, StartError> {
    let secret = random.secret().map_err(|cause| StartError::new("draw a token key", &cause))?;
    let (keys, trouble) = Keyring::open(store, &secret, clock);
    if let Some(cause) = trouble {
        warn!("clients may have to fetch new session tokens after an upgrade: {cause}");
    }
    Ok(keys)
}

fn metrics(config: &Config) -> Result<Metrics, StartError> {
    let node = config.kubernetes.node.as_deref().unwrap_or_default();
    let metrics = Metrics::new(&BUILD, node).map_err(|cause| StartError::new("register the metrics", &cause))?;
    if config.listen.container_credentials {
        metrics.container.begin();
    }
    Ok(metrics)
}

fn proof(config: &Config, keys: Arc<IssuerKeyring>) -> Proof {
    Proof { keys, audiences: config.listen.token_audiences.clone(), node: config.kubernetes.node.clone() }
}

/// The keys of ServiceAccount tokens, as last stored by an agent on this node.
fn issuer_keys(store: Option<Arc<dyn IssuerStore>>, time: Arc<dyn Time>) -> Arc<IssuerKeyring> {
    let (keys, trouble) = IssuerKeyring::open(store, time);
    if let Some(cause) = trouble {
        warn!("the keys of ServiceAccount tokens are to be read from the API server first: {cause}");
    }
    Arc::new(keys)
}

fn cache_rules(config: &Config) -> CacheRules {
    let refill = config.sts.calls_per_second;
    let budget = Rate { burst: (refill * 2.0).max(1.0), refill };
    CacheRules { budget, renew: config.sts.life.renew, error_ttl: config.sts.error_ttl }
}

fn route_rules(config: &Config) -> RouteRules {
    RouteRules {
        metrics: config.listen.metrics == crate::config::MetricsListener::OnAppPort,
        debug: config.listen.debug_store,
        container_credentials: config.listen.container_credentials,
        allowed: config.metadata.allowed.clone(),
        denied: config.metadata.denied.clone(),
    }
}
