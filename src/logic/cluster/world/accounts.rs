//! The known ServiceAccounts and their roles.

use std::collections::HashMap;

use super::Novelty;
use crate::logic::cluster::kubernetes::{ObjectIdentity, ServiceAccount};
use crate::logic::policy::arn::NamedRole;

/// By namespace and name.
#[derive(Debug, Default)]
pub(super) struct ServiceAccounts(HashMap<Box<str>, HashMap<Box<str>, HeldAccount>>);

#[derive(Debug)]
struct HeldAccount {
    role: Option<NamedRole>,
    uid: Box<str>,
    generation: u32,
}

impl ServiceAccounts {
    pub(super) fn apply(&mut self, account: ServiceAccount, role: Option<NamedRole>, generation: u32) -> Novelty {
        let of_namespace = self.0.entry(account.namespace.into()).or_default();
        let novelty = match of_namespace.get(account.name.as_str()) {
            Some(before) if before.role == role => Novelty::Known,
            _ => Novelty::News,
        };
        of_namespace.insert(account.name.into(), HeldAccount { role, uid: account.uid.into(), generation });
        novelty
    }

    /// The account may have been recreated meanwhile, so only one with the same UID is removed.
    pub(super) fn remove(&mut self, account: &ServiceAccount) {
        let Some(of_namespace) = self.0.get_mut(account.namespace.as_str()) else { return };
        if of_namespace.get(account.name.as_str()).is_some_and(|held| *held.uid == *account.uid) {
            of_namespace.remove(account.name.as_str());
        }
        if of_namespace.is_empty() {
            self.0.remove(account.namespace.as_str());
        }
    }

    /// Forgets the account with this name or this UID.
    pub(super) fn forget(&mut self, identity: &ObjectIdentity) {
        let is_meant = |namespace: &str, name: &str, held: &HeldAccount| {
            let named = (identity.namespace.as_deref(), identity.name.as_deref()) == (Some(namespace), Some(name));
            named || identity.uid.as_deref() == Some(&*held.uid)
        };
        self.0.iter_mut().for_each(|(namespace, of_namespace)| {
            of_namespace.retain(|name, held| !is_meant(namespace, name, held));
        });
        self.0.retain(|_, of_namespace| !of_namespace.is_empty());
    }

    /// Removes accounts that the list of this generation didn't include.
    pub(super) fn sweep(&mut self, generation: u32) {
        self.0.values_mut().for_each(|of_namespace| of_namespace.retain(|_, held| held.generation == generation));
        self.0.retain(|_, of_namespace| !of_namespace.is_empty());
    }

    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = &NamedRole> {
        self.0.values().flat_map(HashMap::values).filter_map(|held| held.role.as_ref())
    }

    /// `None`: the account isn't known.
    pub(super) fn role(&self, namespace: &str, name: &str) -> Option<Option<&NamedRole>> {
        self.0.get(namespace)?.get(name).map(|held| held.role.as_ref())
    }
}

#[cfg(test)]
mod tests;
