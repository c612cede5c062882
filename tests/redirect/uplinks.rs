//! Which interfaces lead out of the node, where that is not as usual.

use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsFd;
use std::time::Duration;

use kube2iam::for_tests::{Redirect, RedirectNote, RedirectOutcome, RedirectSpec};
use rustix::net::sockopt::set_ipv6_multicast_hops;
use rustix::net::{AddressFamily, SendFlags, netdevice, sendto};

use crate::lab::{Lab, METADATA_V4, METADATA_V6, ready, text};
use crate::packets::raw;
use crate::site::Site;
use crate::traffic::{ensure, spec};

const ICMP_V6: u8 = 58;

/// RFC 4861 section 4.2: type 134, half an hour of life. The kernel adds the checksum.
const ROUTER_ADVERTISEMENT: [u8; 16] = [134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];

/// `name` advertises itself on its `interface` until the node has taken it for a router on `nodes_interface`.
fn advertise(lab: &Lab, name: &str, interface: &str, nodes_interface: &str) {
    let socket = raw(lab, name, ICMP_V6, AddressFamily::INET6);
    let index = netdevice::name_to_index(socket.as_fd(), interface).unwrap();
    set_ipv6_multicast_hops(&socket, 255).unwrap();
    let everyone = SocketAddrV6::new(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 0, 0, index);
    let taken = (0..100).any(|_| {
        // Refused while the link-local address is still checked for duplicates.
        let _ = sendto(&socket, &ROUTER_ADVERTISEMENT, SendFlags::empty(), &everyone);
        std::thread::sleep(Duration::from_millis(100));
        default_routes(lab).iter().any(|route| route.contains(&format!("dev {nodes_interface} proto ra")))
    });
    assert!(taken, "the node has {:?}", default_routes(lab));
}

fn default_routes(lab: &Lab) -> Vec<String> {
    let routes = lab.ip("node", &["-6", "route", "show", "default"]);
    routes.lines().map(str::to_owned).collect()
}

/// A node that learns its only default route from advertisements, and listens to those of pods too.
fn believe_advertisements(lab: &Lab) {
    for family in ["-4", "-6"] {
        lab.ip("node", &[family, "route", "del", "default"]);
    }
    lab.node(|| {
        for interface in ["eth0", "cali1"] {
            std::fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/accept_ra"), "2").unwrap();
        }
    });
}

#[test]
fn a_pods_router_advertisement_makes_no_uplink() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let _agent = lab.agent();
    believe_advertisements(&lab);
    advertise(&lab, "cloud", "up", "eth0");
    let given = RedirectSpec { host_ip: Some([10, 77, 0, 2].into()), ..spec() };
    let scope = "all but eth0 (uplink), lo (loopback)";
    let mut redirect = ensure(&lab, spec());
    advertise(&lab, "pod1", "eth0", "cali1");
    let ensured = lab.node(|| redirect.ensure()).unwrap();
    assert_eq!((ensured.outcome, ensured.wanted.scope.to_string()), (RedirectOutcome::Kept, scope.to_owned()));
    for spec in [spec(), given.clone()] {
        let ensured = lab.node(|| Redirect::open(spec.clone()).unwrap().ensure()).unwrap();
        assert_eq!(ensured.wanted.scope.to_string(), scope, "at the start of an agent with {spec:?}");
        assert_eq!(lab.ask("pod1", METADATA_V6), text("agent for fd81::2"));
    }
    lab.ip("node", &["-6", "route", "del", "default", "dev", "eth0"]);
    let ensured = lab.node(|| Redirect::open(given).unwrap().ensure()).unwrap();
    assert_eq!(ensured.wanted.scope.to_string(), scope, "a given address wins over an advertised route");
    assert_eq!(lab.ask("pod1", METADATA_V6), text("agent for fd81::2"));
}

/// As the VPC CNI leaves a node with two network cards: the second one's default route stands in a table of its own,
/// rules send some pods' packets there, and each pod has a /32 route.
#[test]
fn a_node_with_several_network_cards_and_policy_routing_has_the_uplinks_of_its_main_table() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["eni1", "eni2"]);
    let _agent = lab.agent();
    lab.wire(("node", "eth1", ["10.78.0.2/24", "fd78::2/64"]), ("cloud", "up1", ["10.78.0.1/24", "fd78::1/64"]));
    lab.ip("node", &["route", "add", "default", "via", "10.78.0.1", "dev", "eth1", "table", "2"]);
    lab.ip("node", &["route", "add", "10.82.0.2/32", "dev", "eni2", "scope", "link"]);
    lab.ip("node", &["rule", "add", "to", "10.82.0.2", "lookup", "main", "priority", "512"]);
    lab.ip("node", &["rule", "add", "from", "10.82.0.2", "lookup", "2", "priority", "1536"]);
    lab.ip("cloud", &["route", "add", "10.82.0.2/32", "via", "10.78.0.2", "dev", "up1"]);
    lab.wait_for_links();
    assert_eq!(lab.ask("pod2", METADATA_V4), text("canary"), "by the second card");
    let mut redirect = ensure(&lab, spec());
    let reached = |scope: &str, redirect: &Redirect| {
        let status = lab.node(kube2iam::for_tests::redirect_status).unwrap().text();
        assert!(status.contains(&format!("  interfaces: {scope}\n")), "{status} of {redirect:?}");
        for (pod, answer) in [("pod1", "agent for 10.81.0.2"), ("pod2", "agent for 10.82.0.2"), ("node", "canary")] {
            assert_eq!(lab.ask(pod, METADATA_V4), text(answer), "{pod} with {scope}");
        }
    };
    reached("all but eth0 (uplink), lo (loopback)", &redirect);
    lab.ip("node", &["route", "add", "default", "via", "10.78.0.1", "dev", "eth1", "metric", "512"]);
    let ensured = lab.node(|| redirect.ensure()).unwrap();
    let [RedirectNote::NewUplink(uplink)] = ensured.notes.as_slice() else { panic!("{:?}", ensured.notes) };
    assert_eq!((ensured.outcome, uplink.to_string().as_str()), (RedirectOutcome::Updated, "eth1"));
    reached("all but eth0 (uplink), eth1 (uplink), lo (loopback)", &redirect);
    lab.ip("node", &["route", "add", "default", "dev", "eni1", "metric", "9999", "table", "7"]);
    assert_eq!(lab.node(|| redirect.ensure()).unwrap().outcome, RedirectOutcome::Kept);
}

#[test]
fn an_uplink_that_appears_later_is_a_warning_and_counted() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    let agent = site.agent(&[]);
    let metric = |value| format!("\nkube2iam_redirect_new_uplinks_total {value}\n");
    assert!(site.page("/metrics").text().contains(&metric(0)));
    site.ip("node", &["route", "add", "default", "dev", "cali1", "metric", "9999"]);
    // The table is looked at anew when it changes.
    site.nft(&["insert rule inet kube2iam to_agent accept"]);
    let line = agent.wait_for_log("the interface `cali1` has become an uplink");
    assert!(line.contains("level=warning"), "{line}");
    assert!(site.page("/metrics").text().contains(&metric(1)));
}

/// The kernel takes 128 expressions a rule: as many names as are allowed must fit.
#[test]
fn as_many_interfaces_as_may_be_named_are_taken_by_the_kernel_and_one_more_is_refused_in_a_line() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    let named = |count: usize| {
        let names: Vec<String> = (0..count).map(|number| format!("veth{number}")).collect();
        site.command(&["redirect", "add", "--app-port=8181", &format!("--host-interface={}", names.join(","))])
    };
    let refused = named(61);
    assert_eq!((refused.code, refused.stderr.lines().count()), (Some(64), 1), "{refused:?}");
    assert!(refused.stderr.contains("61 names, at most 60"), "{refused:?}");
    let taken = named(60);
    assert_eq!((taken.code, taken.stderr.lines().count()), (Some(0), 60), "each of them is missing: {taken:?}");
    assert!(site.nft(&["list table inet kube2iam"]).contains("iifname != \"veth59\""));
}
