//! The traits for external dependencies: clocks, randomness, AWS and Kubernetes. Implemented by `clients` and `os` in
//! the binary, and by fakes in tests and the simulator. Their methods may block; `logic` never calls them.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::logic::base::secret::Secret;
use crate::logic::base::time::{Mono, Now, Wall};
use crate::logic::cluster::kubernetes::{Frame, Item, KubernetesFailure, ListPage, Pod, Resource};
use crate::logic::cluster::taint::{Patched, Removal, Taint};
use crate::logic::identity::issuer::{Issuer, IssuerDocuments};
use crate::logic::identity::metadata_token::TokenKeys;
use crate::logic::operator::events::Notice;
use crate::logic::policy::OwnRole;
use crate::logic::request::message::Response;
use crate::logic::request::path::CanonicalPath;
use crate::logic::request::upstream::ImdsFailure;
use crate::logic::sessions::credentials::Credentials;
use crate::logic::sts::{AssumeRole, Assumed, StsFailure};

/// The system's clocks.
pub trait Clock: Send + Sync {
    fn now(&self) -> Now;
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    Elapsed,
    /// Ended early: the awaited condition may hold
    Cut,
    ShutDown,
}

/// The clocks, and notifiers for waits between threads.
pub trait Time: Clock {
    /// A new notifier.
    fn notifier(&self) -> Arc<dyn Notifier>;

    /// CPU time used by the calling thread, which excludes the time of other threads. In virtual time, all elapsed
    /// time.
    fn cpu_time(&self) -> Duration {
        self.now().mono.since(Mono::default())
    }
}

/// Wakes threads that wait for a change. A waiter passes the generation read before its check: a change between the
/// check and the wait is never missed, and no lock is held meanwhile.
pub trait Notifier: Send + Sync {
    /// The number of notifications so far.
    fn generation(&self) -> u64;

    /// Wakes all waiters. Called after the change, without holding a lock.
    fn notify(&self);

    /// Waits until the generation differs from `before`, or until `deadline`.
    fn wait(&self, before: u64, deadline: Mono);
}

/// The system's randomness.
pub trait Random: Send + Sync {
    /// 64 random bits for jitter.
    fn number(&self) -> u64;

    /// A key that can't be guessed.
    fn secret(&self) -> io::Result<[u8; 32]>;
}

/// The Security Token Service, called with the node's own credentials or with a pod's token.
pub trait Sts: Send + Sync {
    /// Credentials of a role. Returns within 30 s.
    fn assume_role(&self, request: &AssumeRole) -> Result<Assumed, StsFailure>;

    /// Credentials of a role by a token of the request's subject, in an unsigned call.
    fn assume_role_with_web_identity(
        &self,
        request: &AssumeRole,
        token: &Secret<String>,
    ) -> Result<Assumed, StsFailure>;

    /// The ARN of the node's own credentials (`GetCallerIdentity`).
    fn caller_identity(&self) -> Result<String, StsFailure>;

    /// The ARN of the credentials at the start of the chain, where the node's credentials are assumed with others.
    fn first_caller_identity(&self) -> Result<String, StsFailure> {
        self.caller_identity()
    }
}

/// The node's own credentials, which sign calls to STS; renewed before they expire.
pub trait NodeCredentials: Send + Sync {
    /// The credentials to sign with now. Returns within `patience`, plus at most two reads of the metadata service (4
    /// s).
    fn current(&self, patience: Duration) -> Result<Arc<Credentials>, StsFailure>;

    /// Drops `refused`, which AWS rejected, so that the next call fetches others. Keeps others fetched meanwhile.
    fn reload(&self, refused: &Credentials);

    /// Expiry of the cached credentials; `None` without any, or if they don't expire.
    fn expiration(&self) -> Option<Wall> {
        None
    }

    /// Their source, for the log line at start. Contains no secret and no key id.
    fn describe(&self) -> String;

    /// The credentials that these are assumed with, if any.
    fn first(&self) -> Option<Arc<dyn NodeCredentials>> {
        None
    }

    /// Their role, if the source knows it without a call to STS.
    fn role(&self) -> Option<OwnRole> {
        None
    }
}

/// The EC2 metadata service of the node. Every call carries the agent's own session token, never the pod's.
pub trait Imds: Send + Sync {
    /// Fetches `path` for a pod and returns the response for the pod, without hop-by-hop headers.
    fn forward(&self, method: Forwarded, path: &CanonicalPath, accept: Option<&[u8]>) -> Result<Response, ImdsFailure>;

    /// Reads a small document for the agent itself, such as `/latest/meta-data/instance-id`.
    fn read(&self, path: &str) -> Result<String, ImdsFailure>;
}

/// The two methods that may be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    Get,
    Head,
}

/// The Kubernetes API server.
pub trait Kubernetes: Send + Sync {
    /// Reads one page of a list and passes each item to `each` as soon as it is parsed.
    fn list(
        &self,
        resource: Resource,
        continuation: Option<&str>,
        each: &mut dyn FnMut(Item),
    ) -> Result<ListPage, KubernetesFailure>;

    /// Opens a watch from `version`.
    fn watch(&self, resource: Resource, version: &str) -> Result<Box<dyn WatchLines>, KubernetesFailure>;

    /// All pods of the cluster at `address` now, by a live list.
    fn pods_at(&self, address: IpAddr) -> Result<Vec<Pod>, KubernetesFailure>;

    /// Its URL, for log lines.
    fn server(&self) -> &str {
        ""
    }

    /// Makes a cheap call over a new connection. If it succeeds, ends every call over older ones, including a blocked
    /// watch, whose connection may be dead undetected.
    fn reopen(&self) -> Result<(), KubernetesFailure> {
        Ok(())
    }

    /// Ends every call in progress, including a blocked watch, and fails new ones.
    fn shut_down(&self);
}

/// An open watch.
pub trait WatchLines {
    /// Waits for the next line and parses it. `Ok(None)` if the server ended the watch in order.
    fn next_line(&mut self) -> Result<Option<Frame>, KubernetesFailure>;
}

/// The taints of the cluster's nodes.
pub trait Nodes: Send + Sync {
    /// A node's current taints.
    fn taints(&self, node: &str) -> Result<Vec<Taint>, KubernetesFailure>;

    /// Removes taints from a node: all of them, or none if they have changed meanwhile.
    fn patch(&self, node: &str, removal: &Removal) -> Result<Patched, KubernetesFailure>;
}

/// The Events of the cluster.
pub trait Events: Send + Sync {
    /// Writes an Event, or raises the count of the existing one.
    fn write(&self, notice: &Notice) -> Result<(), KubernetesFailure>;
}

/// The API server's published documents of the issuer of its ServiceAccount tokens.
pub trait IssuerDiscovery: Send + Sync {
    /// Both documents, of a bounded length.
    fn issuer_documents(&self) -> Result<IssuerDocuments, KubernetesFailure>;
}

/// Stores the issuer for the next start of an agent. A failure of the store has no other effect.
pub trait IssuerStore: Send + Sync {
    /// The stored issuer; `None` if there is none.
    fn read(&self) -> Result<Option<Issuer>, String>;

    /// Replaces the stored issuer.
    fn write(&self, issuer: &Issuer) -> Result<(), String>;

    /// Removes the stored issuer.
    fn remove(&self) -> Result<(), String>;
}

/// Stores the token keys, shared by this agent, its predecessor and its successor.
pub trait KeyStore: Send + Sync {
    /// The stored keys; `None` if there are none yet.
    fn read(&self) -> Result<Option<TokenKeys>, String>;

    /// Reads the keys, passes them to `change`, and writes its result (`None` leaves them as they are), atomically with
    /// respect to other agents. Fails after a fraction of a second if another agent holds the lock.
    fn update(
        &self,
        change: &mut dyn FnMut(Result<Option<TokenKeys>, String>) -> Option<TokenKeys>,
    ) -> Result<(), String>;
}
