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
