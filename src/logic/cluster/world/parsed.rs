//! Events with their annotations parsed: into the form that is kept, before any lock is taken.

use super::PodTokens;
use crate::logic::cluster::kubernetes::{Event, Namespace, Object, Pod, ServiceAccount};
use crate::logic::policy::arn::{BaseArn, NamedRole};
use crate::logic::policy::pattern::{Format, RoleList};
use crate::logic::policy::reason::Reason;
use crate::logic::sessions::session::SessionOptions;

/// How annotations are read.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'r> {
    pub base: &'r BaseArn,
    /// Of namespaces' lists
    pub format: Format,
    /// With them, pods on the node's network can ask for what their annotations say.
    pub pod_tokens: PodTokens,
}

/// An event as the World takes it.
#[derive(Debug)]
pub struct ParsedEvent {
    pub(super) event: Event,
    pub(super) annotations: Annotations,
}

/// The parsed annotations of an event's object.
#[derive(Debug)]
pub(super) enum Annotations {
    /// Of no object, or of one whose annotations nothing asks for
    None,
    Pod(Box<PodAnnotations>),
    Namespace(NamespaceAnnotations),
    Account(NamedRole),
}

/// What a pod's annotations ask for, within its bounds.
#[derive(Debug, PartialEq, Eq)]
pub struct PodAnnotations {
    pub role: Option<NamedRole>,
    /// `None`, as nearly always: no annotation speaks of the session.
    pub session: Option<Box<Result<SessionOptions, Reason>>>,
}

#[derive(Debug, Default)]
pub(super) struct NamespaceAnnotations {
    pub(super) allowed_roles: Option<RoleList>,
    pub(super) default_role: Option<NamedRole>,
}

impl ParsedEvent {
    pub fn new(event: Event, reading: Reading<'_>) -> Self {
        let annotations = match &event {
            Event::InitApply(object) | Event::Apply(object) => parse(object, reading),
            _ => Annotations::None,
        };
        Self { event, annotations }
    }
}

fn parse(object: &Object, reading: Reading<'_>) -> Annotations {
    match object {
        Object::Pod(pod) => of_pod(pod, reading).map_or(Annotations::None, |parsed| Annotations::Pod(Box::new(parsed))),
        Object::Namespace(namespace) => Annotations::Namespace(of_namespace(namespace, reading)),
        Object::ServiceAccount(account) => of_account(account, reading).map_or(Annotations::None, Annotations::Account),
    }
}

/// What the annotations of a pod that can't ask say is not kept: a finished one, and without tokens one on the node's
/// network, to which no address leads.
fn of_pod(pod: &Pod, reading: Reading<'_>) -> Option<PodAnnotations> {
    if pod.finished || pod.host_network && reading.pod_tokens == PodTokens::Ignored {
        return None;
    }
    let role = pod.role.as_deref().map(|role| NamedRole::parse(role, reading.base));
    let session = SessionOptions::parse(pod.external_id.as_deref(), pod.session.as_deref());
    let session = (session != Ok(SessionOptions::default())).then(|| Box::new(session));
    (role.is_some() || session.is_some()).then_some(PodAnnotations { role, session })
}

fn of_namespace(namespace: &Namespace, reading: Reading<'_>) -> NamespaceAnnotations {
    let default_role = namespace.default_role.as_deref().filter(|role| !role.is_empty());
    NamespaceAnnotations {
        allowed_roles: namespace.allowed_roles.as_deref().map(|list| RoleList::parse(list, reading.format)),
        default_role: default_role.map(|role| NamedRole::parse(role, reading.base)),
    }
}

fn of_account(account: &ServiceAccount, reading: Reading<'_>) -> Option<NamedRole> {
    account.role.as_deref().map(|role| NamedRole::parse(role, reading.base))
}
