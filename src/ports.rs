//! The doors between the house and the world: four traits. `edge` stands behind them in the binary,
//! stand-ins in tests. Whoever holds one may wait; `logic` never does.

use std::net::IpAddr;

use crate::logic::http::Response;
use crate::logic::imds::ImdsFailure;
use crate::logic::kubernetes::{KubernetesFailure, Object, Page, Pod, Resource};
use crate::logic::path::CanonicalPath;
use crate::logic::sts::{AssumeRole, Assumed, StsFailure};
use crate::logic::time::Now;

/// The system's clocks.
pub trait Clock: Send + Sync {
    fn now(&self) -> Now;
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    Elapsed,
    ShutDown,
}

/// The Security Token Service, asked with the node's own credentials.
pub trait Sts: Send + Sync {
    /// Credentials of a role. Returns within 30 s.
    fn assume_role(&self, request: &AssumeRole) -> Result<Assumed, StsFailure>;

    /// The ARN under which the node's own credentials act (`GetCallerIdentity`).
    fn caller_identity(&self) -> Result<String, StsFailure>;
}

/// The EC2 metadata service of the node. Every call carries the agent's own session token and nothing of the pod's.
pub trait Imds: Send + Sync {
    /// Fetches `path` for a pod and gives the answer as it should reach it, without hop-by-hop headers.
    fn forward(&self, method: Forwarded, path: &CanonicalPath, accept: Option<&[u8]>) -> Result<Response, ImdsFailure>;

    /// Reads a small document for the agent itself, such as `/latest/meta-data/instance-id`.
    fn read(&self, path: &str) -> Result<String, ImdsFailure>;
}

/// The two methods that may be proxied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    Get,
    Head,
}

/// The Kubernetes API server.
pub trait Kubernetes: Send + Sync {
    /// Reads one page of a list and hands every item to `each` as soon as it is read.
    fn list(
        &self,
        resource: Resource,
        continuation: Option<&str>,
        each: &mut dyn FnMut(Object),
    ) -> Result<Page, KubernetesFailure>;

    /// Opens a watch from `version` on.
    fn watch(&self, resource: Resource, version: &str) -> Result<Box<dyn WatchLines>, KubernetesFailure>;

    /// All pods of the cluster that hold `address` now, asked of the API server.
    fn pods_at(&self, address: IpAddr) -> Result<Vec<Pod>, KubernetesFailure>;
}

/// An open watch.
pub trait WatchLines {
    /// Waits for the next line. `Ok(None)`: the server ended the watch in good order.
    fn next_line(&mut self) -> Result<Option<WatchLine<'_>>, KubernetesFailure>;
}

/// A line of a watch.
pub enum WatchLine<'a> {
    Whole(&'a [u8]),
    /// Longer than the limit; the watch can't go on.
    TooLong,
}
