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
mod tests {
    use super::*;
    use crate::logic::policy::arn::BaseArn;

    fn account(uid: &str, name: &str) -> ServiceAccount {
        let (uid, name) = (uid.to_owned(), name.to_owned());
        ServiceAccount { uid, name, namespace: "shop".to_owned(), role: None }
    }

    fn named(role: &str) -> Option<NamedRole> {
        Some(NamedRole::parse(role, &BaseArn::default()))
    }

    #[test]
    fn late_delete_keeps_the_recreated_account_and_a_list_sweeps_missing_ones() {
        let mut accounts = ServiceAccounts::default();
        assert_eq!(accounts.apply(account("1", "app"), named("a"), 1), Novelty::News);
        assert_eq!(accounts.apply(account("1", "app"), named("a"), 1), Novelty::Known);
        assert_eq!(accounts.apply(account("2", "app"), named("b"), 1), Novelty::News);
        accounts.remove(&account("1", "app"));
        assert_eq!(accounts.role("shop", "app"), Some(named("b").as_ref()));
        assert_eq!(accounts.apply(account("3", "bare"), None, 2), Novelty::News);
        accounts.sweep(2);
        assert_eq!((accounts.role("shop", "app"), accounts.role("shop", "bare")), (None, Some(None)));
        accounts.remove(&account("3", "bare"));
        assert!(accounts.0.is_empty());
    }
    #[test]
    fn an_unreadable_account_is_forgotten_by_name_or_uid() {
        let mut accounts = ServiceAccounts::default();
        for uid in ["1", "2"] {
            accounts.apply(account(uid, uid), named("a"), 1);
        }
        let namespace = Some("shop".to_owned());
        accounts.forget(&ObjectIdentity { namespace, name: Some("1".to_owned()), uid: None });
        assert_eq!((accounts.role("shop", "1"), accounts.role("shop", "2")), (None, Some(named("a").as_ref())));
        accounts.forget(&ObjectIdentity { uid: Some("2".to_owned()), ..ObjectIdentity::default() });
        assert!(accounts.0.is_empty());
    }
}
