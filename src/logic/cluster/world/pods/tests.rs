use super::*;
use crate::logic::cluster::world::tests::pod;

#[test]
fn pods_share_names_until_the_last_one_is_removed() {
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
fn addresses_are_kept_whatever_their_number() {
    let some: Vec<IpAddr> = ["10.0.0.1", "fd00::1"].map(|text| text.parse().unwrap()).to_vec();
    for count in 0..=2 {
        assert_eq!(*Addresses::from(some[..count].to_vec()), some[..count]);
    }
}

#[test]
fn addresses_print_as_a_list() {
    let one: IpAddr = "10.0.0.1".parse().unwrap();
    assert_eq!(format!("{:?}", Addresses::from(vec![one])), "[10.0.0.1]");
}
