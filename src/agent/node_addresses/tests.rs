use super::*;
use crate::logic::redirect::resolve::{Address, AddressStanding};

#[test]
fn address_of_container_credentials_is_not_the_nodes_own() {
    let on = |ip: IpAddr| Address { interface: 1, ip, standing: AddressStanding::Other };
    let host: IpAddr = "10.0.0.1".parse().unwrap();
    let network = HostNetwork { addresses: vec![on(host), on(ADDRESS.into())], ..HostNetwork::default() };
    assert_eq!(of_the_node(&network), BTreeSet::from([host]));
}

#[test]
fn node_has_the_configured_and_all_found_addresses() {
    let given = "240.0.0.1".parse().unwrap();
    let node = NodeAddresses::find(Some(given));
    assert_eq!(node.host(), Some(given));
    *node.found.write() = BTreeSet::new();
    assert!(!node.holds("127.0.0.1".parse().unwrap()));
    node.refresh();
    for (address, own) in [("240.0.0.1", true), ("127.0.0.1", true), ("0.0.0.0", false)] {
        assert_eq!(node.holds(address.parse().unwrap()), own, "{address}");
    }
}
