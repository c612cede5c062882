//! The known pods, by UID and by name. A node may watch tens of thousands of pods, so no string is stored twice.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use super::PodAnnotations;
use crate::logic::base::maps::FastSet;
use crate::logic::cluster::kubernetes::Pod;
use crate::logic::policy::arn::NamedRole;
use crate::logic::policy::reason::Reason;
use crate::logic::sessions::session::SessionOptions;

/// The fields of a pod that decisions need.
#[derive(Debug)]
pub struct HeldPod {
    pub uid: Arc<str>,
    /// Shared by all pods of the namespace
    pub namespace: Arc<str>,
    pub name: Box<str>,
    /// Shared with all pods that use an account of this name
    pub service_account: Arc<str>,
    /// `None`: no relevant annotations, or the pod can't request credentials
    pub annotations: Option<Box<PodAnnotations>>,
    pub addresses: Addresses,
    pub finished: bool,
    pub host_network: bool,
    pub deleting: bool,
    pub v2_required: bool,
    generation: u32,
}

impl HeldPod {
    /// The generation of the list or watch that last reported the pod.
    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether both versions request the same session.
    pub(super) fn asks_like(&self, old: &Self) -> bool {
        self.service_account == old.service_account && self.annotations == old.annotations
    }

    /// Whether the pod holds an address of its own.
    pub fn has_address(&self) -> bool {
        self.counts() && !self.addresses.is_empty()
    }

    /// The role in the pod's own annotation; `None`: it has none.
    pub fn role(&self) -> Option<&NamedRole> {
        self.annotations.as_ref()?.role.as_ref()
    }

    /// The session parameters, or why they are invalid; `None`: there are none.
    pub fn session(&self) -> Option<&Result<SessionOptions, Reason>> {
        self.annotations.as_ref()?.session.as_deref()
    }

    /// Whether the pod holds its addresses: a finished pod has released them, and a host network pod's address
    /// belongs to the node.
    pub fn counts(&self) -> bool {
        !self.finished && !self.host_network
    }
}

/// A pod's addresses: usually one, or none or several.
pub enum Addresses {
    One(IpAddr),
    Others(Box<[IpAddr]>),
}

impl From<Vec<IpAddr>> for Addresses {
    fn from(addresses: Vec<IpAddr>) -> Self {
        match addresses.as_slice() {
            [one] => Self::One(*one),
            _ => Self::Others(addresses.into()),
        }
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Deref for Addresses {
    type Target = [IpAddr];

    fn deref(&self) -> &[IpAddr] {
        match self {
            Self::One(address) => std::slice::from_ref(address),
            Self::Others(addresses) => addresses,
        }
    }
}

/// All pods, and their shared names.
#[derive(Debug, Default)]
pub(super) struct PodIndex {
    by_uid: FastSet<ByUid>,
    by_name: FastSet<ByName>,
    /// Names of namespaces and ServiceAccounts
    names: FastSet<Arc<str>>,
}

impl PodIndex {
    pub(super) fn get(&self, uid: &str) -> Option<&Arc<HeldPod>> {
        self.by_uid.get(uid).map(|ByUid(pod)| pod)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<HeldPod>> {
        self.by_uid.iter().map(|ByUid(pod)| pod)
    }

    pub(super) fn named(&self, namespace: &str, name: &str) -> Option<&Arc<HeldPod>> {
        self.by_name.get(&(namespace, name) as &dyn Named).map(|ByName(pod)| pod)
    }

    /// Another pod with the same namespace and name.
    pub(super) fn namesake(&self, pod: &Pod) -> Option<&Arc<HeldPod>> {
        self.named(&pod.namespace, &pod.name).filter(|held| *held.uid != *pod.uid)
    }

    /// Inserts a pod whose UID and name aren't present.
    pub(super) fn insert(
        &mut self,
        pod: Pod,
        annotations: Option<Box<PodAnnotations>>,
        generation: u32,
    ) -> Arc<HeldPod> {
        let held = Arc::new(HeldPod {
            uid: pod.uid.into(),
            namespace: self.share(pod.namespace),
            name: pod.name.into(),
            service_account: self.share(pod.service_account),
            annotations,
            addresses: pod.addresses.into(),
            finished: pod.finished,
            host_network: pod.host_network,
            deleting: pod.deleting,
            v2_required: pod.v2_required,
            generation,
        });
        self.by_name.insert(ByName(held.clone()));
        self.by_uid.insert(ByUid(held.clone()));
        held
    }

    pub(super) fn remove(&mut self, uid: &str) -> Option<Arc<HeldPod>> {
        let ByUid(pod) = self.by_uid.take(uid)?;
        self.by_name.remove(&(&*pod.namespace, &*pod.name) as &dyn Named);
        let own = if Arc::ptr_eq(&pod.namespace, &pod.service_account) { 2 } else { 1 };
        self.forget(&pod.namespace, own);
        self.forget(&pod.service_account, own);
        Some(pod)
    }

    fn share(&mut self, name: String) -> Arc<str> {
        if let Some(known) = self.names.get(name.as_str()) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.names.insert(name.clone());
        name
    }

    /// Drops a name if only the pod just removed uses it, `own` times. While an older pod is still referenced
    /// elsewhere its name stays, until the next pod with that name is removed.
    fn forget(&mut self, name: &Arc<str>, own: usize) {
        if Arc::strong_count(name) <= 1 + own {
            self.names.remove(name);
        }
    }
}

/// A pod in a set, keyed by its UID.
#[derive(Debug)]
struct ByUid(Arc<HeldPod>);

impl Borrow<str> for ByUid {
    fn borrow(&self) -> &str {
        &self.0.uid
    }
}

impl Hash for ByUid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.uid.hash(state);
    }
}

impl PartialEq for ByUid {
    fn eq(&self, other: &Self) -> bool {
        self.0.uid == other.0.uid
    }
}

impl Eq for ByUid {}

/// A pod in a set, keyed by its namespace and name.
#[derive(Debug)]
struct ByName(Arc<HeldPod>);

/// The key of [`ByName`]: a pod's namespace and name, or any two strings.
trait Named {
    fn names(&self) -> (&str, &str);
}

impl Named for ByName {
    fn names(&self) -> (&str, &str) {
        (&self.0.namespace, &self.0.name)
    }
}

impl Named for (&str, &str) {
    fn names(&self) -> (&str, &str) {
        *self
    }
}

impl<'a> Borrow<dyn Named + 'a> for ByName {
    fn borrow(&self) -> &(dyn Named + 'a) {
        self
    }
}

impl Hash for dyn Named + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.names().hash(state);
    }
}

impl PartialEq for dyn Named + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.names() == other.names()
    }
}

impl Eq for dyn Named + '_ {}

impl Hash for ByName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.names().hash(state);
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.names() == other.names()
    }
}

impl Eq for ByName {}

#[cfg(test)]
mod tests;
