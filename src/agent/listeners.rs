//! The listeners: sockets are bound before anything else starts, and served once everything is ready.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use log::{info, warn};

use super::StartError;
use super::connection_events::ConnectionEvents;
use super::node_addresses::NodeAddresses;
use crate::agent::state::AgentState;
use crate::api::metadata::{Caller, Service};
use crate::config::{Listen, ListenConfig, MetricsListener};
use crate::logic::base::time::Mono;
use crate::logic::policy::reason::Reason;
use crate::logic::redirect::METADATA_PORT;
use crate::logic::request::message::{Method, Request, Response};
use crate::logic::request::reply;
use crate::logic::request::route::{Route, has_broken_authorization, is_metadata_address};
use crate::os::port_holder::holders;
use crate::os::process;
use crate::ports::Waited;
use crate::server::{
    BadHead, Endpoints, Front, Handler, Limits, LocalPods, Server, bind, bind_shared, has_address, is_bound_to,
    is_in_use, is_taken, may_be_free_later,
};

/// Bound sockets.
pub(super) struct AgentListeners {
    app: TcpListener,
    metrics: Option<TcpListener>,
    /// The port of `/metrics`, if it can't be bound yet
    missing: Option<Listen>,
    source: ListenerSource,
    sharing: PortSharing,
}

/// The running servers, and the port of `/metrics` while it can't be bound.
pub(super) struct OpenListeners {
    servers: Vec<Server>,
    missing: Option<Listen>,
    sharing: PortSharing,
    silent_until: Mono,
}

/// The origin of the app port's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListenerSource {
    /// Shared with the previous agent.
    HandedOver,
    Bound,
}

/// The processes with which the ports are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PortSharing {
    /// None: the next agent gets the listeners from this one.
    None,
    /// All of the same user, including the next agent.
    SameUser,
}

/// The result of trying to bind a port.
#[derive(Debug)]
pub(crate) enum PortTrial {
    Free,
    Taken,
    Failed(io::Error),
}

/// Tries to bind a port as an agent would, exclusively, so that the listener of a running agent counts as taken.
pub(crate) fn try_port(Listen { address, port }: Listen) -> PortTrial {
    match bind(address, port) {
        Ok(_) => PortTrial::Free,
        Err(error) if is_in_use(&error) => PortTrial::Taken,
        Err(error) => PortTrial::Failed(error),
    }
}

/// Why sockets couldn't be bound.
#[derive(Debug)]
pub(super) enum NoListeners {
    /// Another process holds the port, or the node lacks its address.
    Taken(Listen),
    Failed(StartError),
}

impl AgentListeners {
    /// Uses the sockets in `offered` that match the configuration, and binds the others. A failure to bind the port of
    /// `/metrics` doesn't prevent serving pods.
    pub(super) fn bind(
        config: &ListenConfig,
        mut offered: Vec<TcpListener>,
        sharing: PortSharing,
    ) -> Result<Self, NoListeners> {
        let (app, source) = match take(&mut offered, config.app) {
            Some(app) => (app, ListenerSource::HandedOver),
            None => (listening(config.app, sharing)?, ListenerSource::Bound),
        };
        let (metrics, missing) = match config.metrics {
            MetricsListener::OnAppPort => (None, None),
            MetricsListener::Own(listen) => {
                match take(&mut offered, listen).map_or_else(|| listening(listen, sharing), Ok) {
                    Ok(listener) => (Some(listener), None),
                    Err(NoListeners::Taken(listen)) => (None, Some(listen)),
                    Err(failed @ NoListeners::Failed(_)) => return Err(failed),
                }
            }
        };
        Ok(Self { app, metrics, missing, source, sharing })
    }

    pub(super) fn source(&self) -> ListenerSource {
        self.source
    }

    /// Duplicates the sockets, for the next agent.
    pub(super) fn share(&self) -> io::Result<Vec<TcpListener>> {
        [Some(&self.app), self.metrics.as_ref()].into_iter().flatten().map(TcpListener::try_clone).collect()
    }

    /// Starts the servers.
    pub(super) fn open(self, agent: &Arc<AgentState>, node: &Arc<NodeAddresses>) -> Result<OpenListeners, StartError> {
        let configured = agent.config.metadata.proxied.host.parse().ok();
        let configured = configured.map(|address| SocketAddr::new(address, METADATA_PORT));
        let pods = Arc::new(PodHandler { service: agent.service.clone(), configured, node: node.clone() });
        let mut servers = vec![server(self.app, pods, Limits::default(), agent, node)?];
        if let Some(metrics) = self.metrics {
            servers.push(operators(metrics, agent, node)?);
        }
        agent.telemetry.metrics.count_connections(servers.iter().map(Server::connection_count).collect());
        agent.telemetry.metrics.count_usage(Box::new(process::usage));
        Ok(OpenListeners { servers, missing: self.missing, sharing: self.sharing, silent_until: Mono::default() })
    }
}

impl OpenListeners {
    /// Serves until shutdown; opens the port of `/metrics` as soon as it can be bound.
    pub(super) fn serve(mut self, agent: &Arc<AgentState>, node: &Arc<NodeAddresses>) -> Vec<Server> {
        while let Some(listen) = self.missing {
            self.report(agent, listen);
            if agent.latch.wait(agent.clock.now().mono.after(METRICS_RETRY)) == Waited::ShutDown {
                break;
            }
            match listening(listen, self.sharing) {
                Ok(listener) => match operators(listener, agent, node) {
                    Ok(server) => {
                        self.servers.push(server);
                        info!("port" = listen.port; "the port of /metrics is this agent's now");
                        self.settle(agent);
                    }
                    Err(error) => warn!("{error}"),
                },
                Err(NoListeners::Taken(_)) => {}
                Err(NoListeners::Failed(error)) => {
                    warn!("{error}; /metrics is not served");
                    self.settle(agent);
                }
            }
        }
        agent.latch.wait_for_close();
        self.servers
    }

    fn settle(&mut self, agent: &AgentState) {
        self.missing = None;
        *agent.facts.missing_metrics.write() = None;
    }

    fn report(&mut self, agent: &AgentState, listen: Listen) {
        let now = agent.clock.now().mono;
        if now < self.silent_until {
            return;
        }
        self.silent_until = now.after(METRICS_REPORT);
        let port = listen.port;
        let cause = match listen.address.filter(|address| !has_address(*address)) {
            Some(address) => format!("the node has no address {address}"),
            None => {
                let holders: Vec<String> = holders(port).iter().map(ToString::to_string).collect();
                let found = if holders.is_empty() { "another process".to_owned() } else { holders.join(" and ") };
                format!("it is held by {found}")
            }
        };
        let text = format!(
            "port {port} of /metrics can't be opened: {cause}; give another --metrics-port; pods are served meanwhile"
        );
        warn!("port" = port; "{text}");
        *agent.facts.missing_metrics.write() = Some(text);
    }
}

/// The server of the operator's pages.
fn operators(listener: TcpListener, agent: &Arc<AgentState>, node: &Arc<NodeAddresses>) -> Result<Server, StartError> {
    let operators = Arc::new(Operators(agent.service.clone()));
    let (connections, crowded_from) = (OPERATOR_CONNECTIONS, OPERATOR_CONNECTIONS / 4 * 3);
    let limits = Limits { connections, crowded_from, ..Limits::default() };
    server(listener, operators, limits, agent, node)
}

fn take(offered: &mut Vec<TcpListener>, listen: Listen) -> Option<TcpListener> {
    let fits = |listener: &TcpListener| is_bound_to(listener, listen.address, listen.port);
    offered.iter().position(fits).map(|at| offered.swap_remove(at))
}

fn listening(listen: Listen, sharing: PortSharing) -> Result<TcpListener, NoListeners> {
    let Listen { address, port } = listen;
    let shown = address.map_or_else(|| format!("port {port}"), |address| format!("{address} port {port}"));
    let is_shared = sharing == PortSharing::SameUser && port != 0 && is_taken(address, port);
    let bound = match sharing {
        PortSharing::None => bind(address, port),
        PortSharing::SameUser => bind_shared(address, port),
    };
    let listener = bound.map_err(|cause| match may_be_free_later(&cause) {
        true => NoListeners::Taken(listen),
        false => NoListeners::Failed(StartError::new(&format!("listen on `{shown}`"), &cause)),
    })?;
    if is_shared {
        warn!("another process listens on {shown}; connections are shared with it");
    }
    Ok(listener)
}

fn server(
    listener: TcpListener,
    handler: Arc<dyn Handler>,
    limits: Limits,
    agent: &AgentState,
    node: &Arc<NodeAddresses>,
) -> Result<Server, StartError> {
    let node = node.clone();
    let front = Front {
        limits,
        handler,
        observer: Arc::new(ConnectionEvents::new(agent.telemetry.clone(), agent.clock.clone())),
        clock: agent.clock.clone(),
        own_address: Box::new(move |peer: IpAddr| node.holds(peer)),
        local_pods: match agent.config.listen.container_credentials {
            true => LocalPods::MayConnect,
            false => LocalPods::None,
        },
    };
    Server::start(vec![listener], front).map_err(|cause| StartError::new("start the HTTP server", &cause))
}

/// The handler of the app port.
struct PodHandler {
    service: Arc<Service>,
    /// The address of `--metadata-addr`, as pods connect to it
    configured: Option<SocketAddr>,
    node: Arc<NodeAddresses>,
}

impl PodHandler {
    /// Whether a connection was made to the metadata address.
    fn is_redirected(&self, endpoints: &Endpoints<'_>) -> bool {
        let is_metadata = |meant: SocketAddr| is_metadata_address(meant.ip()) || Some(meant) == self.configured;
        endpoints.original_destination().is_some_and(is_metadata)
    }

    fn with_caller<T>(&self, endpoints: &Endpoints<'_>, answer: impl FnOnce(&Caller<'_>) -> T) -> T {
        answer(&Caller {
            peer: endpoints.peer,
            is_redirected: &|| self.is_redirected(endpoints),
            local: &|| endpoints.local_address(),
            is_node: &|| self.node.holds(endpoints.peer),
            prove_pod: &|uid| endpoints.prove_pod(uid).is_ok(),
        })
    }
}

impl Handler for PodHandler {
    fn handle(&self, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Response {
        self.with_caller(endpoints, |caller| self.service.handle(request, caller))
    }

    fn answer_bad_head(&self, bad: BadHead, start: &[u8], endpoints: &Endpoints<'_>) -> Option<Response> {
        let is_tokens_fault = match bad {
            BadHead::TooLong => true,
            BadHead::Malformed => has_broken_authorization(start),
            _ => false,
        };
        let answer = || self.with_caller(endpoints, |caller| self.service.answer_bad_token(start, caller));
        is_tokens_fault.then(answer).flatten()
    }
}

/// The handler of `--metrics-port`: only the operator's pages.
struct Operators(Arc<Service>);

impl Handler for Operators {
    fn handle(&self, request: &Request<'_>, _: &Endpoints<'_>) -> Response {
        let route = Route::Refuse(Reason::NotFound);
        match (request.target.split('?').next(), request.method) {
            (Some("/metrics"), Method::Get | Method::Head) => self.0.metrics(),
            (Some("/metrics"), _) => reply::refusal(Reason::MethodNotAllowed, &route),
            _ => reply::refusal(Reason::NotFound, &route),
        }
    }
}

/// How often binding the port of `/metrics` is retried.
const METRICS_RETRY: Duration = Duration::from_secs(1);
const METRICS_REPORT: Duration = Duration::from_secs(60);
/// Enough for Prometheus and a few manual requests.
const OPERATOR_CONNECTIONS: usize = 64;
