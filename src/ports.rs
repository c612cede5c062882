//! The traits through which the agent reaches the outside: clocks, randomness, AWS and Kubernetes. `clients` and `os`
//! implement them in the binary, stand-ins in tests and the simulator. Their methods may block; `logic` never calls them.

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
    /// Ended before its time, since what was waited for may be there
    Cut,
    ShutDown,
}

/// The clocks, and what threads wait for each other by.
pub trait Time: Clock {
    /// A new bell.
    fn notifier(&self) -> Arc<dyn Notifier>;

    /// Processor time that the calling thread has used: what others run meanwhile doesn't count. Where threads don't
    /// compete, all time that passes.
    fn worked(&self) -> Duration {
        self.now().mono.since(Mono::default())
    }
}

/// Wakes those who wait for a change. Who waits says how often the bell had rung before the look that found nothing:
/// a change between the look and the wait is never missed, and no lock is held meanwhile.
pub trait Notifier: Send + Sync {
    /// How often it rang.
    fn generation(&self) -> u64;

    /// Wakes everyone. Rung after the change, with no lock held.
    fn notify(&self);

    /// Waits until it has rung more than `before` times, at most until `deadline`.
    fn wait(&self, before: u64, deadline: Mono);
}

/// The system's randomness.
pub trait Random: Send + Sync {
    /// 64 random bits for jitter.
    fn number(&self) -> u64;

    /// A key that nobody can guess.
    fn secret(&self) -> io::Result<[u8; 32]>;
}

/// The Security Token Service, asked with the node's own credentials or with a pod's token.
pub trait Sts: Send + Sync {
    /// Credentials of a role. Returns within 30 s.
    fn assume_role(&self, request: &AssumeRole) -> Result<Assumed, StsFailure>;

    /// The same by a token of the request's subject, in a call that nobody signs.
    fn assume_role_with_web_identity(
        &self,
        request: &AssumeRole,
        token: &Secret<String>,
    ) -> Result<Assumed, StsFailure>;

    /// The ARN under which the node's own credentials act (`GetCallerIdentity`).
    fn caller_identity(&self) -> Result<String, StsFailure>;

    /// The same of the credentials that come first, where these are assumed with others.
    fn first_caller_identity(&self) -> Result<String, StsFailure> {
        self.caller_identity()
    }
}

/// The node's own credentials, which calls to STS are signed with, renewed before they expire.
pub trait NodeCredentials: Send + Sync {
    /// Those to sign with now. Returns within `patience`, give or take two reads of the metadata service (4 s).
    fn current(&self, patience: Duration) -> Result<Arc<Credentials>, StsFailure>;

    /// Fetches others on the next call, since AWS refused these. Others than these, fetched meanwhile, stay.
    fn reload(&self, refused: &Credentials);

    /// When those that are held end; `None`: none are, or they don't.
    fn expiration(&self) -> Option<Wall> {
        None
    }

    /// Where they come from, for the start-up line. No secret, no key id.
    fn describe(&self) -> String;

    /// Those that these are assumed with, if they are.
    fn first(&self) -> Option<Arc<dyn NodeCredentials>> {
        None
    }

    /// The role that they stand for, as far as their source knows it without asking STS.
    fn role(&self) -> Option<OwnRole> {
        None
    }
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
        each: &mut dyn FnMut(Item),
    ) -> Result<ListPage, KubernetesFailure>;

    /// Opens a watch from `version` on.
    fn watch(&self, resource: Resource, version: &str) -> Result<Box<dyn WatchLines>, KubernetesFailure>;

    /// All pods of the cluster that hold `address` now, asked of the API server.
    fn pods_at(&self, address: IpAddr) -> Result<Vec<Pod>, KubernetesFailure>;

    /// Where it is, for log lines.
    fn server(&self) -> &str {
        ""
    }

    /// Asks something cheap over a new connection. If that is answered, ends every call over an older one, a blocked
    /// watch included: its connection may be dead without a sign.
    fn reopen(&self) -> Result<(), KubernetesFailure> {
        Ok(())
    }

    /// Ends every call under way, a blocked watch included, and refuses new ones.
    fn shut_down(&self);
}

/// An open watch.
pub trait WatchLines {
    /// Waits for the next line, and reads it. `Ok(None)`: the server ended the watch in good order.
    fn next_line(&mut self) -> Result<Option<Frame>, KubernetesFailure>;
}

/// The nodes of the cluster, as far as their taints go.
pub trait Nodes: Send + Sync {
    /// The taints that a node has now.
    fn taints(&self, node: &str) -> Result<Vec<Taint>, KubernetesFailure>;

    /// Takes taints off a node, all of them or, if they have changed meanwhile, none.
    fn patch(&self, node: &str, removal: &Removal) -> Result<Patched, KubernetesFailure>;
}

/// The Events of the cluster.
pub trait Events: Send + Sync {
    /// Writes an Event, or counts up the one that is there.
    fn write(&self, notice: &Notice) -> Result<(), KubernetesFailure>;
}

/// What the API server publishes of the issuer of its ServiceAccount tokens.
pub trait IssuerDiscovery: Send + Sync {
    /// Both documents, of a bounded length.
    fn issuer_documents(&self) -> Result<IssuerDocuments, KubernetesFailure>;
}

/// Where the issuer lies for the next start of an agent. A store that fails costs nothing but that.
pub trait IssuerStore: Send + Sync {
    /// What lies there; `None`: nothing.
    fn read(&self) -> Result<Option<Issuer>, String>;

    /// Replaces what lies there.
    fn write(&self, issuer: &Issuer) -> Result<(), String>;

    /// Leaves nothing there.
    fn remove(&self) -> Result<(), String>;
}

/// Where the keys of the tokens lie for this agent, its predecessor and its successor.
pub trait KeyStore: Send + Sync {
    /// What lies there; `None`: nothing yet.
    fn read(&self) -> Result<Option<TokenKeys>, String>;

    /// Reads, lets `change` say what is to lie there instead (`None`: what is there stays), and writes that, with no
    /// other agent in between. Gives up after a fraction of a second.
    fn update(
        &self,
        change: &mut dyn FnMut(Result<Option<TokenKeys>, String>) -> Option<TokenKeys>,
    ) -> Result<(), String>;
}
