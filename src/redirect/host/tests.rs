use super::super::message::{Attributes, NetlinkMessage};
use super::*;

/// `struct rtmsg` of a unicast route in table main with a prefix of `bits`.
fn route(family: u8, bits: u8, kind: u8, list: Attributes) -> Vec<u8> {
    NetlinkMessage::new(0, 0, &[family, bits, 0, 0, 254, 0, 0, kind, 0, 0, 0, 0], list).body
}

fn native(kind: u16, value: u32) -> Attributes {
    Attributes::new().bytes(kind, &value.to_ne_bytes())
}

fn check(body: &[u8], interfaces: &[u32]) {
    let found: Vec<u32> = default_routes(body, 2, Family::V4).iter().map(|route| route.interface).collect();
    assert_eq!(found, interfaces);
}

#[test]
fn only_default_routes_of_the_main_table_are_uplinks() {
    check(&route(2, 0, UNICAST, native(ROUTE_INTERFACE, 3)), &[3]);
    check(&route(2, 24, UNICAST, native(ROUTE_INTERFACE, 3)), &[]);
    check(&route(10, 0, UNICAST, native(ROUTE_INTERFACE, 3)), &[]);
    check(&route(2, 0, 7, native(ROUTE_INTERFACE, 3)), &[]);
    check(&route(2, 0, UNICAST, native(ROUTE_INTERFACE, 3).bytes(ROUTE_TABLE, &2u32.to_ne_bytes())), &[]);
}

#[test]
fn every_hop_of_a_multipath_route_is_an_uplink() {
    let hop = |interface: u32| [&[16, 0, 0, 0][..], &interface.to_ne_bytes(), &[8, 0, 5, 0, 10, 0, 0, 1]].concat();
    let list = Attributes::new().bytes(ROUTE_HOPS, &[hop(3), hop(4)].concat());
    check(&route(2, 0, UNICAST, list), &[3, 4]);
}

#[test]
fn length_of_zero_ends_the_iteration() {
    assert_eq!(hops(&[0; 24]), [0, 0, 0]);
}

#[test]
fn local_end_of_a_point_to_point_link_is_the_address() {
    let list = Attributes::new().bytes(ADDRESS_ADDRESS, &[10, 0, 0, 9]).bytes(ADDRESS_LOCAL, &[10, 0, 0, 1]);
    let body = NetlinkMessage::new(0, 0, &[2, 32, 0x80, 0, 5, 0, 0, 0], list).body;
    let found = address(&body).unwrap();
    assert_eq!((found.ip, found.interface, found.standing), ([10, 0, 0, 1].into(), 5, AddressStanding::Global));
}

#[test]
fn this_machine_has_a_loopback_interface() {
    let host = network().unwrap();
    assert!(host.interfaces.iter().any(|interface| interface.kind == InterfaceKind::Loopback), "{host:?}");
}
