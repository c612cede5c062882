//! The doors: sockets bound before anything else starts, opened when everything stands.

use std::net::{IpAddr, TcpListener};
use std::sync::Arc;

use super::StartError;
use super::build::Rooms;
use crate::config::{DoorConfig, Listen, MetricsDoor};
use crate::edge::http::{Connection, Event, Front, Handler, Limits, Observer, Server, bind};
use crate::logic::http::{Request, Response};
use crate::logic::reason::Reason;
use crate::logic::reply;
use crate::logic::route::{Route, is_metadata_address};
use crate::serve::{Caller, Service};
use crate::telemetry::Telemetry;

/// Bound sockets.
pub(super) struct Doors {
    app: TcpListener,
    metrics: Option<TcpListener>,
}

impl Doors {
    pub(super) fn bind(config: &DoorConfig) -> Result<Self, StartError> {
        let metrics = match config.metrics {
            MetricsDoor::OnAppPort => None,
            MetricsDoor::Own(listen) => Some(listening(listen)?),
        };
        Ok(Self { app: listening(config.app)?, metrics })
    }

    /// Begins to answer.
    pub(super) fn open(self, rooms: &Arc<Rooms>) -> Result<Vec<Server>, StartError> {
        let handler: Arc<dyn Handler> = match rooms.config.operation.shadow {
            None => Arc::new(Pods(rooms.service.clone())),
            Some(_) => Arc::new(Onlookers(rooms.service.clone())),
        };
        let mut servers = vec![server(self.app, handler, Limits::default(), rooms)?];
        if let Some(metrics) = self.metrics {
            let operators = Arc::new(Operators(rooms.service.clone()));
            let limits = Limits { connections: OPERATOR_CONNECTIONS, ..Limits::default() };
            servers.push(server(metrics, operators, limits, rooms)?);
        }
        Ok(servers)
    }
}

fn listening(listen: Listen) -> Result<TcpListener, StartError> {
    let Listen { address, port } = listen;
    let shown = address.map_or_else(|| format!("port {port}"), |address| format!("{address} port {port}"));
    bind(address, port).map_err(|cause| StartError::new(&format!("listen on `{shown}`"), &cause))
}

fn server(
    listener: TcpListener,
    handler: Arc<dyn Handler>,
    limits: Limits,
    rooms: &Rooms,
) -> Result<Server, StartError> {
    let host = rooms.config.host;
    let front = Front {
        limits,
        handler,
        observer: Arc::new(Counter(rooms.telemetry.clone())),
        clock: rooms.clock.clone(),
        own_address: Box::new(move |peer: IpAddr| Some(peer) == host),
    };
    Server::start(vec![listener], front).map_err(|cause| StartError::new("open the door", &cause))
}

/// What pods reach.
struct Pods(Arc<Service>);

impl Handler for Pods {
    fn handle(&self, request: &Request<'_>, connection: &Connection<'_>) -> Response {
        let redirected = || connection.original_destination().is_some_and(|meant| is_metadata_address(meant.ip()));
        self.0.handle(request, &Caller { peer: connection.peer, is_redirected: &redirected })
    }
}

/// What there is beside a kube2iam that serves the pods: the agent's own pages.
struct Onlookers(Arc<Service>);

impl Handler for Onlookers {
    fn handle(&self, request: &Request<'_>, connection: &Connection<'_>) -> Response {
        let redirected = || connection.original_destination().is_some_and(|meant| is_metadata_address(meant.ip()));
        self.0.own_page(request, &Caller { peer: connection.peer, is_redirected: &redirected })
    }
}

/// What `--metrics-port` opens: the operator's pages and nothing else.
struct Operators(Arc<Service>);

impl Handler for Operators {
    fn handle(&self, request: &Request<'_>, _: &Connection<'_>) -> Response {
        let route = Route::Refuse(Reason::NotFound);
        match request.target.split('?').next() {
            Some("/metrics") => self.0.metrics(),
            _ => reply::refusal(Reason::NotFound, &route),
        }
    }
}

/// Counts what happens at a door besides requests.
struct Counter(Arc<Telemetry>);

impl Observer for Counter {
    fn saw(&self, event: &Event) {
        self.0.at_the_door(event_label(event));
    }
}

fn event_label(event: &Event) -> &'static str {
    match event {
        Event::Accepted { .. } => "accepted",
        Event::Refused { .. } => "refused",
        Event::Evicted { .. } => "evicted",
        Event::BadHead { bad, .. } => bad.label(),
        Event::Panicked { .. } => "panicked",
        Event::Cut { .. } => "cut",
        Event::AcceptFailed { .. } => "accept_failed",
    }
}

/// Prometheus and a few curious people.
const OPERATOR_CONNECTIONS: usize = 64;
