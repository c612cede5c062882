//! The World: pods, namespaces and ServiceAccounts as reported by the watches.
//!
//! An address maps to a set of pod UIDs, never to a single pod, so a late delete of its old holder can't evict the
//! new one. A name maps to one UID: a recreated object replaces the old one even if its deletion was missed. A relist
//! is applied in place; objects that it didn't include are removed only at its end, so no request sees half a list.

mod accounts;
mod age;
mod change;
mod holders;
mod lists;
mod parsed;
mod pod_tokens;
mod pods;

use std::net::IpAddr;
use std::sync::Arc;

use super::kubernetes::{Event, Namespace, Object, ObjectIdentity, Pod, Resource};
use crate::logic::base::maps::FastMap;
use crate::logic::policy::arn::NamedRole;
use accounts::ServiceAccounts;
use age::Ages;
pub use age::{Needed, TooOld};
pub use change::{Change, Novelty};
use holders::Holders;
pub use lists::{HeldList, ListResults};
use parsed::{Annotations, NamespaceAnnotations};
pub use parsed::{ParsedEvent, PodAnnotations, Reading};
pub use pod_tokens::PodTokens;
pub use pods::HeldPod;
use pods::PodIndex;

/// Pods by UID and by address, namespaces and ServiceAccounts by name.
#[derive(Debug, Default)]
pub struct World {
    pods: PodIndex,
    holders: FastMap<IpAddr, Holders>,
    namespaces: FastMap<Box<str>, HeldNamespace>,
    accounts: ServiceAccounts,
    /// The number of lists of allowed roles so far
    lists: u64,
    listing: [ListedGeneration; 3],
    /// Whether ServiceAccounts name roles: then nothing is decided before they are listed
    needs_accounts: bool,
    pod_tokens: PodTokens,
    ages: Ages,
}

/// A namespace in the World.
#[derive(Debug)]
pub struct HeldNamespace {
    /// `None`: it has no list
    pub allowed_roles: Option<HeldList>,
    pub default_role: Option<NamedRole>,
    pub v2_required: bool,
    uid: Box<str>,
    generation: u32,
}

/// The holder of an address.
#[derive(Debug)]
pub enum AddressHolder<'a> {
    Nobody,
    Pod(&'a Arc<HeldPod>),
    /// Several live pods claim it; their number
    Several(usize),
}

/// The progress of one resource's lists.
#[derive(Clone, Copy, Debug, Default)]
struct ListedGeneration {
    generation: u32,
    complete_once: bool,
}

impl World {
    /// Applies one event.
    pub fn apply(&mut self, resource: Resource, parsed: ParsedEvent) -> Change {
        let ParsedEvent { event, annotations, unlisted } = parsed;
        match event {
            Event::Init => {
                self.listing[index(resource)].generation += 1;
                Change::Nothing
            }
            Event::InitDone => self.finish_list(resource, unlisted),
            Event::InitApply(Object::Pod(pod)) | Event::Apply(Object::Pod(pod)) => self.apply_pod(pod, annotations),
            Event::InitApply(Object::Namespace(namespace)) | Event::Apply(Object::Namespace(namespace)) => {
                self.apply_namespace(namespace, annotations)
            }
            Event::InitApply(Object::ServiceAccount(account)) | Event::Apply(Object::ServiceAccount(account)) => {
                let (namespace, name) = (account.namespace.as_str().into(), account.name.as_str().into());
                let generation = self.listing[index(Resource::ServiceAccounts)].generation;
                let role = if let Annotations::Account(role) = annotations { Some(role) } else { None };
                let novelty = self.accounts.apply(account, role, generation);
                Change::ServiceAccountApplied { namespace, name, novelty }
            }
            Event::Delete(Object::ServiceAccount(account)) => {
                self.accounts.remove(&account);
                Change::Nothing
            }
            Event::Delete(Object::Pod(pod)) => self.remove_pod(&pod.uid),
            Event::Delete(Object::Namespace(namespace)) => self.remove_namespace(&namespace),
            Event::Forget(identity) => self.forget(resource, &identity),
        }
    }

    /// Records the results of evaluating a namespace's list, unless the list has changed meanwhile.
    pub fn record(&mut self, results: ListResults) -> Change {
        let Some(namespace) = self.namespaces.get_mut(&*results.namespace) else { return Change::Nothing };
        let Some(list) = namespace.allowed_roles.as_mut().filter(|list| list.serial() == results.serial) else {
            return Change::Nothing;
        };
        let name = results.namespace.clone();
        let pods = &self.pods;
        list.record(results, || pods.all().filter(|pod| pod.namespace == name).count());
        Change::ListEvaluated(name)
    }

    /// Makes decisions wait for the list of ServiceAccounts.
    pub fn require_accounts(&mut self) {
        self.needs_accounts = true;
    }

    /// Whether the first lists of all required resources are complete.
    pub fn is_ready(&self) -> bool {
        self.missing().is_none()
    }

    /// The first resource that isn't listed yet.
    pub fn missing(&self) -> Option<Resource> {
        self.watched().find(|resource| !self.is_listed(*resource))
    }

    /// The watched resources.
    pub fn watched(&self) -> impl Iterator<Item = Resource> + use<> {
        let accounts = self.needs_accounts.then_some(Resource::ServiceAccounts);
        [Resource::Pods, Resource::Namespaces].into_iter().chain(accounts)
    }

    /// The current holder of `address`: of several live pods the only one that isn't being deleted.
    pub fn holder(&self, address: IpAddr) -> AddressHolder<'_> {
        let pod = |uid: &Arc<str>| self.pods.get(uid);
        match self.holders.get(&address) {
            None => AddressHolder::Nobody,
            Some(Holders::One(uid)) => pod(uid).map_or(AddressHolder::Nobody, AddressHolder::Pod),
            Some(Holders::Many(uids)) => {
                let mut staying = uids.iter().filter_map(pod).filter(|pod| !pod.deleting);
                match (staying.next(), staying.count()) {
                    (Some(pod), 0) => AddressHolder::Pod(pod),
                    (Some(_), others) => AddressHolder::Several(others + 1),
                    (None, _) => AddressHolder::Several(uids.len()),
                }
            }
        }
    }

    /// The current holder of `address`; if it is ambiguous, `chosen` by the API server decides. The API server finds
    /// pods only by their first address, so its choice counts only if this is the first address of all claimants.
    pub fn holder_among(&self, address: IpAddr, chosen: Option<&str>) -> AddressHolder<'_> {
        let is_seen = || self.claimants(address).all(|pod| pod.addresses.first() == Some(&address));
        let claims = |pod: &&Arc<HeldPod>| is_seen() && pod.counts() && pod.addresses.contains(&address);
        match (self.holder(address), chosen) {
            (AddressHolder::Several(count), Some(uid)) => {
                self.pods.get(uid).filter(claims).map_or(AddressHolder::Several(count), AddressHolder::Pod)
            }
            (holder, _) => holder,
        }
    }

    /// All pods that claim `address`, including those being deleted.
    pub fn claimants(&self, address: IpAddr) -> impl Iterator<Item = &Arc<HeldPod>> {
        let uids = match self.holders.get(&address) {
            None => &[],
            Some(Holders::One(uid)) => std::slice::from_ref(uid),
            Some(Holders::Many(uids)) => uids,
        };
        uids.iter().filter_map(|uid| self.pods.get(uid))
    }

    /// Whether the first list of `resource` is complete.
    pub fn is_listed(&self, resource: Resource) -> bool {
        self.listing[index(resource)].complete_once
    }

    pub fn pod(&self, uid: &str) -> Option<&Arc<HeldPod>> {
        self.pods.get(uid)
    }

    pub fn namespace(&self, name: &str) -> Option<&HeldNamespace> {
        self.namespaces.get(name)
    }

    /// The role in a ServiceAccount's annotation, if it has one; `None`: the account isn't known.
    pub fn account_role(&self, namespace: &str, name: &str) -> Option<Option<&NamedRole>> {
        self.accounts.role(namespace, name)
    }

    /// The UIDs of the pods that the current list hasn't contained so far. With fifty thousand pods this takes
    /// milliseconds: it is asked for while others can read the World too, before the list is ended.
    pub fn unlisted_pods(&self) -> Vec<Arc<str>> {
        let generation = self.listing[index(Resource::Pods)].generation;
        self.pods.all().filter(|pod| pod.generation() != generation).map(|pod| pod.uid.clone()).collect()
    }

    pub fn pods(&self) -> impl Iterator<Item = &Arc<HeldPod>> {
        self.pods.all()
    }

    pub fn namespaces(&self) -> impl Iterator<Item = (&str, &HeldNamespace)> {
        self.namespaces.iter().map(|(name, namespace)| (&**name, namespace))
    }

    fn apply_pod(&mut self, pod: Pod, annotations: Annotations) -> Change {
        let annotations = if let Annotations::Pod(annotations) = annotations { Some(annotations) } else { None };
        let old = self.pods.remove(&pod.uid);
        let mut novelty = Novelty::News;
        if let Some(namesake) = self.pods.namesake(&pod).map(|namesake| namesake.uid.clone()) {
            self.remove_pod(&namesake);
        }
        let held = self.pods.insert(pod, annotations, self.listing[index(Resource::Pods)].generation);
        if let Some(old) = old {
            self.release(&old);
            if self.can_ask(&held) == self.can_ask(&old) && held.asks_like(&old) {
                novelty = Novelty::Known;
            }
        }
        if held.counts() {
            for address in held.addresses.iter() {
                Holders::add(&mut self.holders, *address, &held.uid);
            }
        }
        Change::PodApplied(held, novelty)
    }

    fn remove_pod(&mut self, uid: &str) -> Change {
        let Some(pod) = self.pods.remove(uid) else { return Change::Nothing };
        self.release(&pod);
        Change::PodGone(pod)
    }

    /// Forgets the object with this name, or with this UID.
    fn forget(&mut self, resource: Resource, identity: &ObjectIdentity) -> Change {
        let (uid, name) = (identity.uid.as_deref(), identity.name.as_deref());
        match resource {
            Resource::Pods => {
                let named = identity.namespace.as_deref().zip(name);
                let named = named.and_then(|(namespace, name)| self.pods.named(namespace, name));
                let known = named.or_else(|| self.pods.get(uid?)).map(|pod| pod.uid.clone());
                known.map_or(Change::Nothing, |uid| self.remove_pod(&uid))
            }
            Resource::Namespaces => {
                let mut held = self.namespaces.iter();
                let known = held.find(|(known, held)| Some(&***known) == name || Some(&*held.uid) == uid);
                let Some(name) = known.map(|(known, _)| known.clone()) else { return Change::Nothing };
                self.namespaces.remove(&name);
                Change::NamespaceGone(name)
            }
            Resource::ServiceAccounts => {
                self.accounts.forget(identity);
                Change::Nothing
            }
        }
    }

    fn release(&mut self, pod: &HeldPod) {
        for address in pod.addresses.iter() {
            Holders::remove(&mut self.holders, *address, &pod.uid);
        }
    }

    fn apply_namespace(&mut self, namespace: Namespace, annotations: Annotations) -> Change {
        let annotations =
            if let Annotations::Namespace(annotations) = annotations { annotations } else { <_>::default() };
        let NamespaceAnnotations { allowed_roles, default_role } = annotations;
        let name: Box<str> = namespace.name.into();
        let old = self.namespaces.remove(&name);
        let is_new = old.is_none();
        let (old_role, old_list) = old.map_or((None, None), |old| (old.default_role, old.allowed_roles));
        let kept = old_list.as_ref().map(|list| &**list.list()) == allowed_roles.as_ref();
        let novelty = if !is_new && kept && old_role == default_role { Novelty::Known } else { Novelty::News };
        let allowed_roles = if kept {
            old_list
        } else {
            self.lists += 1;
            allowed_roles.map(|list| HeldList::new(list, self.lists))
        };
        let held = HeldNamespace {
            allowed_roles,
            default_role,
            v2_required: namespace.v2_required,
            uid: namespace.uid.into(),
            generation: self.listing[index(Resource::Namespaces)].generation,
        };
        self.namespaces.insert(name.clone(), held);
        Change::NamespaceApplied { name, novelty }
    }

    /// The namespace may have been recreated meanwhile, so only one with the same UID is removed.
    fn remove_namespace(&mut self, namespace: &Namespace) -> Change {
        match self.namespaces.get(namespace.name.as_str()) {
            Some(held) if *held.uid == *namespace.uid => {
                self.namespaces.remove(namespace.name.as_str());
                Change::NamespaceGone(namespace.name.as_str().into())
            }
            _ => Change::Nothing,
        }
    }

    fn finish_list(&mut self, resource: Resource, unlisted: Option<Vec<Arc<str>>>) -> Change {
        let listing = &mut self.listing[index(resource)];
        let novelty = if listing.complete_once { Novelty::Known } else { Novelty::News };
        listing.complete_once = true;
        let generation = listing.generation;
        match resource {
            Resource::Pods => {
                let unlisted = unlisted.unwrap_or_else(|| self.unlisted_pods());
                unlisted.iter().for_each(|uid| drop(self.remove_pod(uid)));
            }
            Resource::Namespaces => self.namespaces.retain(|_, namespace| namespace.generation == generation),
            Resource::ServiceAccounts => self.accounts.sweep(generation),
        }
        Change::Listed(resource, novelty)
    }
}

const fn index(resource: Resource) -> usize {
    match resource {
        Resource::Pods => 0,
        Resource::Namespaces => 1,
        Resource::ServiceAccounts => 2,
    }
}

#[cfg(test)]
pub(crate) mod tests;
