//! Client of the API server, over ureq. Makes three calls: list, watch, and a live list of one address; two more for a
//! node that starts with a taint, see [`node`]; one for Events, see [`events`]; two for the token keys, see [`issuer`].
//!
//! Every wait is bounded: the phases of a call, the silence between two reads, a complete body. Objects are parsed as
//! they arrive, and only the few fields used are kept.

mod connection;
mod connections;
mod events;
mod injection;
mod issuer;
mod kubeconfig;
mod lines;
mod node;
mod page;
mod probe;
mod token;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use form_urlencoded::byte_serialize;
use ureq::http::{HeaderValue, Response};
use ureq::{Agent, Body, RequestBuilder};

pub use connection::{ApiServerConnection, Auth, SERVICE_ACCOUNT_CA, SERVICE_ACCOUNT_TOKEN, Verification};
pub use events::WriteMode;

use crate::clients::http::{
    AgentOptions, ClientCertificate, Misconfigured, ProxyUse, TimeLimits, cause, retry_if_disconnected,
};
use crate::logic::base::proxy::ProxyEnvironment;
use crate::logic::base::secret::Secret;
use crate::logic::base::time::Mono;
use crate::logic::cluster::kubernetes::{
    AnnotationKeys, Item, KubernetesFailure, KubernetesFailureKind, ListPage, Object, Pod, Resource, one_line, status,
};
use crate::ports::{Clock, Kubernetes, WatchLines};
use connections::Connections;
use lines::WatchStream;
use page::PageItems;
use token::BearerTokens;

/// Options of [`ApiServer`].
pub struct ApiServerOptions {
    pub connection: ApiServerConnection,
    pub proxies: ProxyEnvironment,
    /// Restricts lists and watches of pods to this node; `--node`.
    pub node: Option<String>,
    pub keys: AnnotationKeys,
    pub clock: Arc<dyn Clock>,
    pub limits: CallLimits,
}

/// Time limits.
#[derive(Clone, Copy, Debug)]
pub struct CallLimits {
    /// TCP, proxy and TLS.
    pub connect: Duration,
    pub send: Duration,
    /// Longer than a request may queue in the API server before it is handled or rejected.
    pub response_head: Duration,
    /// One page, which may be large and slow; `list_idle` ends a stalled one much sooner.
    pub list_body: Duration,
    /// Silence within a page.
    pub list_idle: Duration,
    /// Silence of a watch. Bookmarks arrive about once a minute (API concepts, "Watch bookmarks"): two and a half
    /// intervals, so that one may be late and the next one lost before the connection counts as dead.
    pub watch_idle: Duration,
    /// A complete watch: the server should end it after at most 350 s; this bounds one that it doesn't end.
    pub watch_body: Duration,
    /// The live list in total, since a pod waits for it.
    pub live: Duration,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            send: Duration::from_secs(5),
            response_head: Duration::from_secs(30),
            list_body: Duration::from_secs(240),
            list_idle: Duration::from_secs(30),
            watch_idle: Duration::from_secs(150),
            watch_body: Duration::from_secs(410),
            live: Duration::from_secs(1),
        }
    }
}

/// The API server of the cluster.
pub struct ApiServer {
    connections: Connections,
    server: String,
    tokens: BearerTokens,
    client_certificate: Option<ClientCertificate>,
    node: Option<String>,
    keys: AnnotationKeys,
    clock: Arc<dyn Clock>,
    limits: CallLimits,
    page_items: PageItems,
}

impl ApiServer {
    pub fn new(options: ApiServerOptions) -> Result<Self, Misconfigured> {
        let ApiServerOptions { connection, proxies, node, keys, clock, limits } = options;
        let client_certificate = connection.tls.client_certificate.clone();
        let connections = Connections::new(AgentOptions {
            proxy: ProxyUse::FromEnvironment { environment: proxies, target: connection.server.clone() },
            tls: connection.tls,
            limits: TimeLimits {
                connect: limits.connect,
                send: limits.send,
                response_head: limits.response_head,
                response_body: Some(limits.list_body),
                idle_read: Some(limits.list_idle),
            },
            idle_connections: IDLE_CONNECTIONS,
        })?;
        let tokens = BearerTokens::new(connection.auth);
        let (server, page_items) = (connection.server, PageItems::default());
        Ok(Self { connections, server, tokens, client_certificate, node, keys, clock, limits, page_items })
    }

    fn get(&self, url: &str, kind: CallKind) -> Result<Response<Body>, KubernetesFailure> {
        self.get_as("application/json", url, kind)
    }

    fn get_as(&self, accept: &str, url: &str, kind: CallKind) -> Result<Response<Body>, KubernetesFailure> {
        let call = |bearer: Option<&HeaderValue>| {
            let request = self.connections.agent().get(url).header("accept", accept);
            self.bounded(authorized(request, bearer), kind).call()
        };
        let response = self.call(&call)?;
        if response.status() == 200 { Ok(response) } else { Err(refusal(response)) }
    }

    /// Makes an idempotent call; on 401 repeats it once if token or client certificate can be refreshed.
    fn call(&self, call: SendWith<'_>) -> Result<Response<Body>, KubernetesFailure> {
        let token = self.tokens.current(self.clock.now().mono)?;
        let response = send(call, token.as_ref())?;
        if response.status() != 401 {
            return Ok(response);
        }
        let is_renewed = self.client_certificate.as_ref().is_some_and(ClientCertificate::reread);
        if !is_renewed && !self.tokens.may_change() {
            return Ok(response);
        }
        // Read to the end, so that the connection can be reused.
        drop(refusal(response));
        let token = self.tokens.reread(self.clock.now().mono)?;
        send(call, token.as_ref())
    }

    fn bounded<B>(&self, request: RequestBuilder<B>, kind: CallKind) -> RequestBuilder<B> {
        let limits = &self.limits;
        let config = request.config();
        match kind {
            CallKind::List => config.build(),
            CallKind::Watch => {
                config.timeout_per_read(Some(limits.watch_idle)).timeout_recv_body(Some(limits.watch_body)).build()
            }
            // In total, including a second attempt, since a pod waits for it.
            CallKind::Live(deadline) => {
                config.timeout_global(Some(self.clock.now().mono.until(deadline).max(MIN_TIMEOUT))).build()
            }
        }
    }

    fn url(&self, resource: Resource, query: &[(&str, &str)]) -> String {
        let query: Vec<_> = query.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
        format!("{}/api/v1/{resource}?{}", self.server, query.join("&"))
    }

    /// The field selector for both lists and watches of a resource.
    fn selector(&self, resource: Resource) -> Option<String> {
        self.node.as_ref().filter(|_| resource == Resource::Pods).map(|node| format!("spec.nodeName={node}"))
    }
}

impl Kubernetes for ApiServer {
    fn list(
        &self,
        resource: Resource,
        continuation: Option<&str>,
        each: &mut dyn FnMut(Item),
    ) -> Result<ListPage, KubernetesFailure> {
        let selector = self.selector(resource);
        // No resourceVersion: the most recent state instead of a cached one.
        let mut query = vec![("limit", self.page_items.of(resource))];
        query.extend(selector.as_deref().map(|selector| ("fieldSelector", selector)));
        query.extend(continuation.map(|token| ("continue", token)));
        self.get(&self.url(resource, &query), CallKind::List)
            .and_then(|response| {
                let read = page::read(response, resource, &self.keys, each);
                self.page_items.learn(resource, &read);
                Ok(read?)
            })
            .map_err(|failure| named("list", resource, failure))
    }

    fn watch(&self, resource: Resource, version: &str) -> Result<Box<dyn WatchLines>, KubernetesFailure> {
        let selector = self.selector(resource);
        // Jitter, so that watches opened together don't end together; the clock's microseconds are random enough.
        let seconds = (WATCH_SECONDS + self.clock.now().mono.micros() % WATCH_SECONDS_SPREAD).to_string();
        let mut query = vec![
            ("watch", "1"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version),
            ("timeoutSeconds", &seconds),
        ];
        query.extend(selector.as_deref().map(|selector| ("fieldSelector", selector)));
        let response = self
            .get(&self.url(resource, &query), CallKind::Watch)
            .map_err(|failure| named("watch", resource, failure))?;
        Ok(Box::new(WatchStream::new(response.into_body(), resource, &self.keys)))
    }

    fn pods_at(&self, address: IpAddr) -> Result<Vec<Pod>, KubernetesFailure> {
        let selector = format!("status.podIP={address},status.phase!=Succeeded,status.phase!=Failed");
        let (mut pods, mut is_whole) = (Vec::new(), true);
        let mut each = |item| match item {
            Ok(Object::Pod(pod)) => pods.push(pod),
            _ => is_whole = false,
        };
        let url = self.url(Resource::Pods, &[("limit", LIVE_ITEMS), ("fieldSelector", &selector)]);
        let page = self
            .get(&url, CallKind::Live(self.clock.now().mono.after(self.limits.live)))
            .and_then(|response| Ok(page::read(response, Resource::Pods, &self.keys, &mut each)?))
            .and_then(|page| match page.continuation {
                None if is_whole => Ok(()),
                _ => Err(unavailable(format!("more than {LIVE_ITEMS} pods, or unreadable ones, at `{address}`"))),
            });
        page.map(|()| pods).map_err(|failure| named("list", Resource::Pods, failure))
    }

    fn server(&self) -> &str {
        &self.server
    }

    fn reopen(&self) -> Result<(), KubernetesFailure> {
        let token = self.tokens.current(self.clock.now().mono)?;
        let bearer = token.as_ref().map(bearer).transpose()?;
        let url = format!("{}/version", self.server);
        let ask = |fresh: &Agent| {
            let request = fresh.get(&url).header("accept", "application/json");
            let answer =
                authorized(request, bearer.as_ref()).config().timeout_global(Some(VERSION_TIMEOUT)).build().call();
            // Any response shows that new connections work.
            answer.map(|answer| drop(refusal(answer))).map_err(|error| unavailable(cause(&error)))
        };
        self.connections.renew(ask).map_err(|failure| named("get", "version", failure))
    }

    fn shut_down(&self) {
        self.connections.shut_down();
    }
}

/// The kind of call, which selects its time limits.
#[derive(Clone, Copy)]
enum CallKind {
    List,
    Watch,
    /// Ends at this time
    Live(Mono),
}

/// Sends a request with the given `Authorization`.
type SendWith<'a> = &'a dyn Fn(Option<&HeaderValue>) -> Result<Response<Body>, ureq::Error>;

fn send(call: SendWith<'_>, token: Option<&Secret<String>>) -> Result<Response<Body>, KubernetesFailure> {
    let bearer = token.map(bearer).transpose()?;
    retry_if_disconnected(|| call(bearer.as_ref())).map_err(|error| unavailable(cause(&error)))
}

fn authorized<B>(request: RequestBuilder<B>, bearer: Option<&HeaderValue>) -> RequestBuilder<B> {
    match bearer {
        Some(bearer) => request.header("authorization", bearer.clone()),
        None => request,
    }
}

fn encoded(value: &str) -> String {
    byte_serialize(value.as_bytes()).collect()
}

fn bearer(token: &Secret<String>) -> Result<HeaderValue, KubernetesFailure> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose()))
        .map_err(|_| unavailable("the token holds characters that no header can".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The failure for a status other than 200. If the response is the API server's own, its body is an `ApiStatus` with
/// details.
fn refusal(response: Response<Body>) -> KubernetesFailure {
    let code = response.status();
    let retry_after_s = response
        .headers()
        .get("retry-after")
        .and_then(|value| value.to_str().ok())
        .and_then(|seconds| seconds.trim().parse().ok());
    let body = response.into_body().into_with_config().limit(REFUSAL_BYTES).read_to_vec().unwrap_or_default();
    let status = status(&body).unwrap_or_default();
    let kind = match code.as_u16() {
        401 => KubernetesFailureKind::Unauthorized,
        403 => KubernetesFailureKind::Forbidden,
        410 => KubernetesFailureKind::Gone,
        408 | 429 | 500.. => KubernetesFailureKind::Unavailable { retry_after_s },
        _ => KubernetesFailureKind::Refused,
    };
    KubernetesFailure { kind, cause: one_line(format!("{code}: {}", status.message).trim_end_matches(": ")) }
}

fn refused(cause: String) -> KubernetesFailure {
    KubernetesFailure { kind: KubernetesFailureKind::Refused, cause }
}

fn unavailable(cause: String) -> KubernetesFailure {
    KubernetesFailure { kind: KubernetesFailureKind::Unavailable { retry_after_s: None }, cause }
}

fn named(verb: &str, resource: impl fmt::Display, failure: KubernetesFailure) -> KubernetesFailure {
    KubernetesFailure { cause: format!("failed to {verb} `{resource}`: {}", failure.cause), ..failure }
}

/// Maximum pods at one address: one, briefly two, and on a node's own address all hostNetwork pods.
const LIVE_ITEMS: &str = "50";
/// About five minutes, the lower end of client-go's five to ten minutes.
const WATCH_SECONDS: u64 = 290;
const WATCH_SECONDS_SPREAD: u64 = 61;
/// The version request, made when all connections are silent, is answered from memory.
const VERSION_TIMEOUT: Duration = Duration::from_secs(5);
/// Besides the two watches' own: one for lists, one for live lists.
const IDLE_CONNECTIONS: usize = 2;
/// Used when no time is left, since zero would mean no limit.
const MIN_TIMEOUT: Duration = Duration::from_millis(1);
/// An `ApiStatus` takes less than a tenth of this.
const REFUSAL_BYTES: u64 = 64 * 1024;
