//! The API server's edge over real sockets, against a stand-in that replays recorded answers and misbehaves on purpose.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking, its helpers too

mod agent;
mod auth;
mod certificates;
mod handshakes;
mod list;
mod reflect;
mod renewal;
mod server;
mod tls;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use kube2iam::for_tests::{
    AnnotationKeys, ApiServer, ApiServerConnection, ApiServerOptions, CallLimits, Clock, Item, Kubernetes,
    KubernetesFailure, ListPage, Mono, Now, Object, ProxyEnvironment, Resource, Secret, Verification, Wall,
};

use server::Server;

/// A clock that only moves when it is told to.
#[derive(Clone, Default)]
struct HandClock(Arc<AtomicU64>);

impl HandClock {
    fn pass(&self, span: Duration) {
        self.0.fetch_add(u64::try_from(span.as_micros()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Now {
        Now { mono: Mono::from_micros(self.0.load(Ordering::Relaxed)), wall: Wall::default() }
    }
}

fn keys() -> AnnotationKeys {
    AnnotationKeys {
        role: "iam.amazonaws.com/role".to_owned(),
        external_id: "iam.amazonaws.com/external-id".to_owned(),
        allowed_roles: "iam.amazonaws.com/allowed-roles".to_owned(),
    }
}

/// An API server behind any connection.
fn api_server(connection: ApiServerConnection, node: Option<&str>, clock: &HandClock, limits: CallLimits) -> ApiServer {
    ApiServer::new(ApiServerOptions {
        connection,
        proxies: ProxyEnvironment::default(),
        node: node.map(str::to_owned),
        keys: keys(),
        clock: Arc::new(clock.clone()),
        limits,
    })
    .unwrap()
}

/// By URL and token, without a node.
fn plain(server: &Server, limits: CallLimits) -> ApiServer {
    let token = Some(Secret::new("hunter2".to_owned()));
    let connection = ApiServerConnection::api_server(&server.url(), token, Verification::Required).unwrap();
    api_server(connection, None, &HandClock::default(), limits)
}

/// The names of a page's items, and the page.
fn names(
    api: &ApiServer,
    resource: Resource,
    continuation: Option<&str>,
) -> (Vec<String>, Result<ListPage, KubernetesFailure>) {
    let mut names = Vec::new();
    let mut each = |item: Item| {
        names.push(match item {
            Ok(Object::Pod(pod)) => pod.name,
            Ok(Object::Namespace(namespace)) => namespace.name,
            Ok(Object::ServiceAccount(account)) => account.name,
            Err(unreadable) => format!("unreadable {}", unreadable.identity),
        });
    };
    let page = api.list(resource, continuation, &mut each);
    (names, page)
}

/// An empty directory of this process's own, gone with the value.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let nth = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("kube2iam-kubernetes-{}-{nth}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a file and gives its path.
    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
