//! The fields of pods, namespaces and ServiceAccounts that the agent uses, and parsers of the API server's responses.
//!
//! Everything is parsed while it is received, in pieces of any size: the memory for an object depends on the fields
//! that are kept, not on its length. Parsing never panics, whatever the input. Input that can't be parsed is reported
//! as [`Unreadable`], never guessed.

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

/// A kind of object that is listed and watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    Pods,
    Namespaces,
    ServiceAccounts,
}

/// The configured names of annotations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotationKeys {
    /// On pods and ServiceAccounts; `--iam-role-key`
    pub role: String,
    /// On pods; `--iam-external-id`
    pub external_id: String,
    /// On namespaces; `--namespace-key`
    pub allowed_roles: String,
}

/// The used fields of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub uid: String,
    pub namespace: String,
    pub name: String,
    pub service_account: String,
    /// `status.podIPs`, else `status.podIP`; IPv4-mapped IPv6 as IPv4; malformed ones are skipped
    pub addresses: Vec<IpAddr>,
    /// Phase `Succeeded` or `Failed`
    pub finished: bool,
    pub host_network: bool,
    /// `metadata.deletionTimestamp` is set
    pub deleting: bool,
    /// The raw role annotation; `Some("")` if it exists and is empty
    pub role: Option<String>,
    pub external_id: Option<String>,
    /// `None`, as for nearly all pods, if there is no session annotation
    pub session: Option<Box<SessionAnnotations>>,
    /// `iam.amazonaws.com/imds-v2` is `required`
    pub v2_required: bool,
}

/// The raw session annotations of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionAnnotations {
    /// `iam.amazonaws.com/session-name`, as in kiam
    pub name: Option<Box<str>>,
    /// `iam.amazonaws.com/policy`: an inline session policy
    pub policy: Option<Box<str>>,
    /// `iam.amazonaws.com/policy-arns`: managed session policies
    pub policy_arns: Option<Box<str>>,
}

/// The used fields of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    pub uid: String,
    pub name: String,
    /// The raw annotation with the list of allowed roles
    pub allowed_roles: Option<String>,
    /// `iam.amazonaws.com/default-role`: the role of the namespace's pods that name none
    pub default_role: Option<String>,
    /// `iam.amazonaws.com/imds-v2` is `required`
    pub v2_required: bool,
}

/// The used fields of a ServiceAccount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    pub uid: String,
    pub namespace: String,
    pub name: String,
    /// The annotation of [`AnnotationKeys::role`], else `eks.amazonaws.com/role-arn`
    pub role: Option<String>,
}

/// An object that is listed and watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    Pod(Pod),
    Namespace(Namespace),
    ServiceAccount(ServiceAccount),
}

/// A parsed line of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Added(Object, ResourceVersion),
    Modified(Object, ResourceVersion),
    Deleted(Object, ResourceVersion),
    Bookmark(ResourceVersion),
    /// The watch's version is too old: list again
    Gone(String),
    /// Another error object, with its message
    Failed(String),
    /// Not JSON or not an object of the expected form, with its version if that could be parsed
    Unreadable(Unreadable, Option<ResourceVersion>),
}

/// An object that could not be parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    pub resource: Resource,
    pub why: String,
    pub identity: ObjectIdentity,
}

/// The identity of an object, as far as it could be parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectIdentity {
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub uid: Option<String>,
}

/// A `resourceVersion`: an opaque string that is only sent back.
pub type ResourceVersion = String;

/// A page of a list. Its items were passed on one by one while it was parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPage {
    pub version: ResourceVersion,
    /// The token of the next page; `None` on the last
    pub continuation: Option<String>,
}

/// A change of one resource in the World. A list arrives item by item between `Init` and `InitDone`; single changes
/// follow. Another `Init` before `InitDone` restarts the list. `Forget` may come at any time: the known state of this
/// object is outdated and the current state could not be parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Init,
    InitApply(Object),
    InitDone,
    Apply(Object),
    Delete(Object),
    Forget(ObjectIdentity),
}

/// Why the API server returned no usable response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesFailure {
    pub kind: KubernetesFailureKind,
    pub cause: String,
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KubernetesFailureKind {
    /// 410: the version or the continue token is too old. List again at once.
    Gone,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// Another refusal: 404, or a status or body that doesn't come from an API server
    Refused,
    /// The server could not be reached or is failing: no connection, no TLS handshake, timeout, 429, 5xx. Back off,
    /// at least for `retry_after_s` if the server gave it.
    Unavailable { retry_after_s: Option<u32> },
}

impl KubernetesFailureKind {
    /// A refusal proves that the server runs, so it may have assigned addresses to other pods meanwhile.
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::Unauthorized | Self::Forbidden | Self::Refused)
    }
}

impl ObjectIdentity {
    /// Whether it identifies one object of this resource.
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

#[cfg(test)]
mod tests;
