//! The few fields of pods, namespaces and service accounts that decide anything, and how the API server's answers are read.
//!
//! Everything is read while it comes, in pieces of any size: an object costs what is kept of it, however long it is.
//! Reading never panics, whatever the bytes. What is not understood is named, never guessed: [`Unreadable`].

mod frame;
mod list;
mod object;
mod record;
mod scan;

use std::fmt;
use std::net::IpAddr;

pub use frame::{LineReader, WatchLine, frame, one_line, status};
pub use list::{Item, PageReader};
pub use object::{SESSION_NAME, object};

/// What is listed and watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    Pods,
    Namespaces,
    ServiceAccounts,
}

/// Which annotations are read, by their configured names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotationKeys {
    /// On pods and service accounts; `--iam-role-key`
    pub role: String,
    /// On pods; `--iam-external-id`
    pub external_id: String,
    /// On namespaces; `--namespace-key`
    pub allowed_roles: String,
}

/// A pod, reduced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub uid: String,
    pub namespace: String,
    pub name: String,
    pub service_account: String,
    /// `status.podIPs`, else `status.podIP`; v4-mapped v6 folded to v4; unreadable ones left out
    pub addresses: Vec<IpAddr>,
    /// Phase `Succeeded` or `Failed`
    pub finished: bool,
    pub host_network: bool,
    /// `metadata.deletionTimestamp` is set
    pub deleting: bool,
    /// The raw role annotation; `Some("")` when it is there but empty
    pub role: Option<String>,
    pub external_id: Option<String>,
    /// `None`, as nearly always: no annotation speaks of the session.
    pub session: Option<Box<SessionAnnotations>>,
    /// `iam.amazonaws.com/imds-v2` says `required`
    pub v2_required: bool,
}

/// What a pod's annotations ask of its session, raw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionAnnotations {
    /// `iam.amazonaws.com/session-name`, as kiam has it
    pub name: Option<Box<str>>,
    /// `iam.amazonaws.com/policy`: an inline session policy
    pub policy: Option<Box<str>>,
    /// `iam.amazonaws.com/policy-arns`: managed session policies
    pub policy_arns: Option<Box<str>>,
}

/// A namespace, reduced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    pub uid: String,
    pub name: String,
    /// The raw annotation that lists allowed roles
    pub allowed_roles: Option<String>,
    /// `iam.amazonaws.com/default-role`: the role of its pods that name none
    pub default_role: Option<String>,
    /// `iam.amazonaws.com/imds-v2` says `required`
    pub v2_required: bool,
}

/// A service account, reduced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    pub uid: String,
    pub namespace: String,
    pub name: String,
    /// The annotation of [`AnnotationKeys::role`], else `eks.amazonaws.com/role-arn`
    pub role: Option<String>,
}

/// Something that is listed and watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    Pod(Pod),
    Namespace(Namespace),
    ServiceAccount(ServiceAccount),
}

/// One line of a watch, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Added(Object, ResourceVersion),
    Modified(Object, ResourceVersion),
    Deleted(Object, ResourceVersion),
    Bookmark(ResourceVersion),
    /// The watch's version is too old: relist.
    Gone(String),
    /// Another error object; its message.
    Failed(String),
    /// Not JSON, or not of the expected shape, and its version where that could be read.
    Unreadable(Unreadable, Option<ResourceVersion>),
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    pub resource: Resource,
    pub why: String,
    pub identity: ObjectIdentity,
}

/// Whose object something is, as far as that could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectIdentity {
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub uid: Option<String>,
}

/// A `resourceVersion`: opaque, only handed back.
pub type ResourceVersion = String;

/// A page of a list. Its items have been handed over one by one while it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPage {
    pub version: ResourceVersion,
    /// Where the next page begins; `None` on the last.
    pub continuation: Option<String>,
}

/// What changes in the World of one resource: a list arrives item by item between `Init` and `InitDone`, then single changes.
/// `Init` before `InitDone` starts the list over. `Forget` may come at any time: what is known of this object is no
/// longer true, and what is true could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Init,
    InitApply(Object),
    InitDone,
    Apply(Object),
    Delete(Object),
    Forget(ObjectIdentity),
}

/// Why the API server gave no answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesFailure {
    pub kind: KubernetesFailureKind,
    pub cause: String,
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KubernetesFailureKind {
    /// 410: the version or the continue token is too old. Relist at once.
    Gone,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// Another answer that refuses: 404, or a status or a body that isn't an API server's.
    Refused,
    /// The server was not reached, or can't serve now: no connection, no handshake, no answer in time, 429, 5xx. Back off;
    /// `retry_after_s` if the server said so.
    Unavailable { retry_after_s: Option<u32> },
}

impl KubernetesFailureKind {
    /// A server that refuses is there, and can have given addresses to other pods meanwhile.
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::Unauthorized | Self::Forbidden | Self::Refused)
    }
}

impl ObjectIdentity {
    /// Whether it names one object of this resource.
    pub fn is_known(&self, resource: Resource) -> bool {
        let placed = resource == Resource::Namespaces || self.namespace.is_some();
        self.uid.is_some() || self.name.is_some() && placed
    }
}

impl fmt::Display for ObjectIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.namespace, &self.name, &self.uid) {
            (Some(namespace), Some(name), _) => write!(f, "{namespace}/{name}"),
            (None, Some(name), _) => f.write_str(name),
            (_, None, Some(uid)) => write!(f, "uid {uid}"),
            (_, None, None) => f.write_str("an unknown one"),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pods => "pods",
            Self::Namespaces => "namespaces",
            Self::ServiceAccounts => "serviceaccounts",
        })
    }
}

impl fmt::Display for KubernetesFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for KubernetesFailure {}
