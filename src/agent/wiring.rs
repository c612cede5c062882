//! Builds the clients from the configuration, also for `doctor`.

use std::path::Path;
use std::sync::Arc;

use super::StartError;
use super::state::Ports;
use crate::clients::imds::{MetadataLimits, MetadataService};
use crate::clients::kubernetes::{
    ApiServer, ApiServerConnection, ApiServerOptions, CallLimits, SERVICE_ACCOUNT_CA, SERVICE_ACCOUNT_TOKEN,
    Verification,
};
use crate::clients::node_credentials;
use crate::clients::sts::{RegionSource, StsClient, StsOptions, StsWire};
use crate::config::{Access, Config, KubernetesConfig};
use crate::logic::base::url::ServiceUrl;
use crate::logic::sessions::session::{CallsBear, SessionRules};
use crate::logic::sts::environment::AwsEnvironment;
use crate::os::issuer_file::IssuerFile;
use crate::os::key_file::KeyFile;
use crate::os::random::OsRandom;
use crate::os::state_dir::StateDir;
use crate::ports::NodeCredentials;
use crate::ports::{Clock, Events, Imds, IssuerDiscovery, IssuerStore, KeyStore, Nodes, Sts, Time};

impl Ports {
    /// Builds the real implementations of the ports.
    pub(super) fn open(
        config: &Config,
        environment: &AwsEnvironment,
        time: Arc<dyn Time>,
        state_dir: Option<&StateDir>,
    ) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = time.clone();
        let proxied: Arc<dyn Imds> = metadata_service(&config.metadata.proxied.to_string(), &clock)?;
        // A separate client: pods share slots for calls in flight, and the agent's own reads must not wait for them.
        let imds: Arc<dyn Imds> = metadata_service(&config.metadata.own.to_string(), &clock)?;
        let wire = sts_wire(environment, &imds, &clock)?;
        let (sts, node_credentials) = sts(config, &imds, &wire, environment, &clock)?;
        let kubernetes = Arc::new(api_server(&config.kubernetes, environment, &clock, CallLimits::default())?);
        let nodes: Option<Arc<dyn Nodes>> = Some(kubernetes.clone());
        let events: Option<Arc<dyn Events>> = Some(kubernetes.clone());
        let issuer_discovery: Option<Arc<dyn IssuerDiscovery>> = Some(kubernetes.clone());
        let issuer_store = state_dir.map(|dir| Arc::new(IssuerFile::new(dir)) as Arc<dyn IssuerStore>);
        let key_store = state_dir.map(|dir| Arc::new(KeyFile::new(dir, clock)) as Arc<dyn KeyStore>);
        let random = Arc::new(OsRandom);
        Ok(Self {
            time,
            random,
            kubernetes,
            nodes,
            events,
            key_store,
            issuer_discovery,
            issuer_store,
            proxied,
            imds,
            sts,
            node_credentials,
        })
    }
}

/// The metadata service at `authority`.
pub(crate) fn metadata_service(authority: &str, clock: &Arc<dyn Clock>) -> Result<Arc<MetadataService>, StartError> {
    let failed = |cause: &dyn std::fmt::Display| StartError::new(&format!("use metadata service `{authority}`"), cause);
    let url = ServiceUrl::parse(&format!("http://{authority}")).map_err(|cause| failed(&cause))?;
    let service = MetadataService::new(&url, MetadataLimits::default(), clock.clone());
    service.map(Arc::new).map_err(|cause| failed(&cause))
}

/// The connection to STS.
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

type StsAndCredentials = (Arc<dyn Sts>, Arc<dyn NodeCredentials>);

/// The STS client, and its credentials.
pub(crate) fn sts(
    config: &Config,
    imds: &Arc<dyn Imds>,
    wire: &Arc<StsWire>,
    environment: &AwsEnvironment,
    clock: &Arc<dyn Clock>,
) -> Result<StsAndCredentials, StartError> {
    if config.sts.bearing == CallsBear::PodToken {
        let credentials = node_credentials::none_needed();
        return Ok((Arc::new(StsClient::new(wire.clone(), credentials.clone())), credentials));
    }
    let source = environment.node_source().map_err(|cause| no_sts(&cause))?;
    let session = session_rules(config);
    let hop = config.sts.assume_first.as_ref().map(|role| session.hop(role));
    let clients = node_credentials::SourceClients { imds: imds.clone(), wire: wire.clone(), clock: clock.clone() };
    let credentials = node_credentials::node_credentials(source, hop, &clients).map_err(|cause| no_sts(&cause))?;
    Ok((Arc::new(StsClient::new(wire.clone(), credentials.clone())), credentials))
}

/// The API server.
pub(crate) fn api_server(
    config: &KubernetesConfig,
    environment: &AwsEnvironment,
    clock: &Arc<dyn Clock>,
    limits: CallLimits,
) -> Result<ApiServer, StartError> {
    let verification = if config.insecure { Verification::Skipped } else { Verification::Required };
    let connection = match &config.access {
        Access::Unknown(error) => return Err(StartError::new("set up the API server", error)),
        Access::Kubeconfig(path) => ApiServerConnection::kubeconfig(path, verification),
        Access::ApiServer { url, token } => ApiServerConnection::api_server(url, Some(token.clone()), verification),
        Access::InCluster { host, port } => ApiServerConnection::in_cluster(
            host,
            &port.to_string(),
            Path::new(SERVICE_ACCOUNT_TOKEN),
            Path::new(SERVICE_ACCOUNT_CA),
        ),
    };
    let action = match &config.access {
        Access::Kubeconfig(path) => format!("use `--kubeconfig={}`", path.display()),
        _ => "set up the API server".to_owned(),
    };
    let failed = |cause: &dyn std::fmt::Display| StartError::new(&action, cause);
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

pub(crate) fn session_rules(config: &Config) -> SessionRules {
    SessionRules {
        duration_s: config.sts.life.asked_s,
        name: config.sts.session_name.clone(),
        name_annotation: config.sts.name_annotation,
        node: config.kubernetes.node.clone().unwrap_or_default(),
        bearing: config.sts.bearing,
        tags: config.sts.tags.clone(),
    }
}
