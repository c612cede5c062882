//! The pods that are held, found by their uid. What a pod costs, fifty thousand of them cost: nothing is kept twice.

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

/// A pod as it is kept: what a decision needs of it.
#[derive(Debug)]
pub struct HeldPod {
    pub uid: Arc<str>,
    /// Shared by all pods of the namespace
    pub namespace: Arc<str>,
    pub name: Box<str>,
    /// Shared by all pods with one of this name
    pub service_account: Arc<str>,
    /// `None`: it has none that are read, or no way to ask for what they say.
    pub annotations: Option<Box<PodAnnotations>>,
    pub addresses: Addresses,
    pub finished: bool,
    pub host_network: bool,
    pub deleting: bool,
    pub v2_required: bool,
    generation: u32,
}

impl HeldPod {
    /// Of which list or watch it was last heard.
    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether it asks for the same session as before.
    pub(super) fn asks_like(&self, old: &Self) -> bool {
        self.service_account == old.service_account && self.annotations == old.annotations
    }

    /// Whether it holds an address that leads to it.
    pub fn has_address(&self) -> bool {
        self.counts() && !self.addresses.is_empty()
    }

    /// The role that its own annotation names; `None`: it has none.
    pub fn role(&self) -> Option<&NamedRole> {
        self.annotations.as_ref()?.role.as_ref()
    }

    /// What it asks of its session, or why that can't be; `None`: nothing.
    pub fn session(&self) -> Option<&Result<SessionOptions, Reason>> {
        self.annotations.as_ref()?.session.as_deref()
    }

    /// Whether the pod holds its addresses: a finished one has given them back,
    /// and an address of the node is no one pod's.
    pub fn counts(&self) -> bool {
        !self.finished && !self.host_network
    }
}

/// A pod's addresses: one, as nearly always, or none or several.
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

/// All pods, and the names that they share.
#[derive(Debug, Default)]
pub(super) struct PodIndex {
    by_uid: FastSet<ByUid>,
    by_name: FastSet<ByName>,
    /// Of namespaces and ServiceAccounts
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

    /// The pod that bears the same name and is another.
    pub(super) fn namesake(&self, pod: &Pod) -> Option<&Arc<HeldPod>> {
        self.named(&pod.namespace, &pod.name).filter(|held| *held.uid != *pod.uid)
    }

    /// Takes a pod of which neither uid nor name is held.
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

    /// Forgets a name that only a pod just removed bears, `own` times. Whoever still holds an earlier pod keeps its name,
    /// and with it this one until the next pod of that name goes.
    fn forget(&mut self, name: &Arc<str>, own: usize) {
        if Arc::strong_count(name) <= 1 + own {
            self.names.remove(name);
        }
    }
}

/// A pod in a set, known by its uid.
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

/// A pod in a set, known by its namespace and its own name.
#[derive(Debug)]
struct ByName(Arc<HeldPod>);

/// What [`ByName`] is found by: its own names, or any two.
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
mod tests {
    use super::*;
    use crate::logic::cluster::world::tests::pod;

    #[test]
    fn pods_share_their_names_and_the_last_takes_them_along() {
        let mut pods = PodIndex::default();
        for uid in ["a", "b"] {
            pods.insert(pod(uid, "10.0.0.1"), None, 0);
        }
        let [a, b] = ["a", "b"].map(|uid| pods.get(uid).unwrap().clone());
        assert!(Arc::ptr_eq(&a.namespace, &b.namespace) && !pods.names.is_empty());
        drop((a, b));
        pods.remove("a");
        assert!(!pods.names.is_empty());
        pods.remove("b");
        assert!(pods.names.is_empty() && pods.all().next().is_none());
    }

    #[test]
    fn addresses_are_the_same_however_many_they_are() {
        let some: Vec<IpAddr> = ["10.0.0.1", "fd00::1"].map(|text| text.parse().unwrap()).to_vec();
        for count in 0..=2 {
            assert_eq!(*Addresses::from(some[..count].to_vec()), some[..count]);
        }
    }
}
