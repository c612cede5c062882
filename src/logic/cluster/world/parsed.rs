//! Events with parsed annotations. They are parsed before any lock is taken.

use std::sync::Arc;

use super::PodTokens;
use crate::logic::cluster::kubernetes::{Event, Namespace, Object, Pod, ServiceAccount};
use crate::logic::policy::arn::{BaseArn, NamedRole};
use crate::logic::policy::pattern::{Format, RoleList};
use crate::logic::policy::reason::Reason;
use crate::logic::sessions::session::SessionOptions;

/// How annotations are parsed.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'r> {
    pub base: &'r BaseArn,
    /// The format of namespaces' lists
    pub format: Format,
    /// If accepted, the annotations of pods on the host network count too
    pub pod_tokens: PodTokens,
}

/// An event for the World.
#[derive(Debug)]
pub struct ParsedEvent {
    pub(super) event: Event,
    pub(super) annotations: Annotations,
    /// For the end of a list of pods: the UIDs of the pods that it doesn't contain, if they have been looked up
    pub(super) unlisted: Option<Vec<Arc<str>>>,
}

/// The parsed annotations of an event's object.
#[derive(Debug)]
pub(super) enum Annotations {
    /// No object, or no annotations
    None,
    Pod(Box<PodAnnotations>),
    Namespace(NamespaceAnnotations),
    Account(NamedRole),
}

/// The parsed annotations of a pod, within their limits.
#[derive(Debug, PartialEq, Eq)]
pub struct PodAnnotations {
    pub role: Option<NamedRole>,
    /// `None`, as for nearly all pods, if there is no session annotation
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
        Self { event, annotations, unlisted: None }
    }

    /// The end of a list of pods, with what [`World::unlisted_pods`](super::World::unlisted_pods) returned since its last item.
    #[must_use]
    pub fn with_unlisted(self, unlisted: Vec<Arc<str>>) -> Self {
        Self { unlisted: Some(unlisted), ..self }
    }
}

fn parse(object: &Object, reading: Reading<'_>) -> Annotations {
    match object {
        Object::Pod(pod) => of_pod(pod, reading).map_or(Annotations::None, |parsed| Annotations::Pod(Box::new(parsed))),
        Object::Namespace(namespace) => Annotations::Namespace(of_namespace(namespace, reading)),
        Object::ServiceAccount(account) => of_account(account, reading).map_or(Annotations::None, Annotations::Account),
    }
}

/// Annotations are kept only for pods that can request credentials: not for finished pods, nor, without tokens, for
/// pods on the host network, which can't be identified by address.
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
