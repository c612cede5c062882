//! Packets of every kind for the metadata address, from pods that may open raw sockets.
//!
//! A packet counts as lost once two marks that were sent behind it, to another address of the cloud, have come.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::time::Duration;

use kube2iam::for_tests::{InterfaceRule, METADATA_V4, METADATA_V6, OtherPorts, RedirectSpec};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketType, recv, sendto, socket};

use crate::lab::{Answer, Lab, ready, text};
use crate::traffic::{ensure, spec};

/// The cloud's own addresses, which no rule is about.
const CLOUD: [&str; 2] = ["10.77.0.1", "fd77::1"];
/// IP-in-IP, UDP, DCCP, IPv6-in-IP, GRE, ESP, SCTP, UDP-Lite, and one for experiments (IANA, "Protocol Numbers").
const PROTOCOLS: [u8; 9] = [4, 17, 33, 41, 47, 50, 132, 136, 253];
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: [u8; 2] = [1, 58];

/// A raw socket that sends and receives one protocol.
pub(crate) fn raw(lab: &Lab, name: &str, protocol: u8, family: AddressFamily) -> OwnedFd {
    let protocol = Protocol::from_raw(NonZeroU32::new(protocol.into()).unwrap());
    let socket = lab.inside(name, || socket(family, SocketType::RAW, Some(protocol)).unwrap());
    set_socket_timeout(&socket, Timeout::Recv, Some(Duration::from_secs(10))).unwrap();
    socket
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

/// What becomes of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Reaches,
    Dropped,
}

/// 24 bytes that are an echo request, or begin with ports, and end with `mark`.
fn packet(protocol: u8, port: u16, mark: &[u8; 6]) -> Vec<u8> {
    let first = match protocol {
        1 => [8, 0, 0, 0],
        58 => [128, 0, 0, 0],
        _ => [0x9c, 0x40, port.to_be_bytes()[0], port.to_be_bytes()[1]],
    };
    [&first[..], &[0; 14], mark].concat()
}

/// Whether what `send` sends to the metadata address comes to the real service; `protocol` is what comes out there.
fn reaches(lab: &Lab, protocol: u8, metadata: IpAddr, send: impl Fn(IpAddr, &[u8; 6])) -> bool {
    let cloud: IpAddr = CLOUD[usize::from(metadata.is_ipv6())].parse().unwrap();
    let receiver = raw(lab, "cloud", protocol, family(metadata));
    let mut buffer = [0; 256];
    let mut reached = false;
    send(metadata, b"attack");
    for mark in [b"mark-1", b"mark-2"] {
        send(cloud, mark);
        for _ in 0..1_000 {
            let (length, _) = recv(&receiver, &mut buffer, RecvFlags::empty()).unwrap();
            reached |= buffer[..length].ends_with(b"attack");
            if buffer[..length].ends_with(mark) {
                break;
            }
        }
    }
    reached
}

fn raw_fate(lab: &Lab, from: &str, protocol: u8, port: u16, metadata: IpAddr) -> Fate {
    let sender = raw(lab, from, protocol, family(metadata));
    let reached = reaches(lab, protocol, metadata, |to, mark| {
        sendto(&sender, &packet(protocol, port, mark), SendFlags::empty(), &SocketAddr::new(to, 0)).unwrap();
    });
    if reached { Fate::Reaches } else { Fate::Dropped }
}

/// Asserts it of each protocol, and gives what was asserted in words for the message.
fn check(lab: &Lab, from: &str, fate: Fate, why: &str) {
    for metadata in [IpAddr::V4(METADATA_V4), IpAddr::V6(METADATA_V6)] {
        let icmp = ICMP[usize::from(metadata.is_ipv6())];
        for protocol in PROTOCOLS.into_iter().chain([icmp]) {
            let found = raw_fate(lab, from, protocol, 53, metadata);
            assert_eq!(found, fate, "protocol {protocol} from {from} to {metadata}: {why}");
        }
        assert_eq!(raw_fate(lab, from, TCP, 8080, metadata), fate, "TCP from {from} to {metadata}: {why}");
    }
}

/// A TCP packet that no connection tracking takes for the first of a connection.
fn check_stray_request(lab: &Lab, from: &str, fate: Fate) {
    for metadata in [IpAddr::V4(METADATA_V4), IpAddr::V6(METADATA_V6)] {
        assert_eq!(raw_fate(lab, from, TCP, 80, metadata), fate, "from {from} to {metadata}");
    }
}

#[test]
fn no_protocol_reaches_the_metadata_address_by_any_interface() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["eni1", "veth1a2b3c"]);
    let named = |other_ports| {
        let interfaces = InterfaceRule::parse(&["eni+,vlan+"]).unwrap();
        RedirectSpec { interfaces, other_ports, ..spec() }
    };
    for pod in ["pod1", "pod2"] {
        check(&lab, pod, Fate::Reaches, "there is no redirect");
        check_stray_request(&lab, pod, Fate::Reaches);
    }
    ensure(&lab, spec());
    check(&lab, "pod1", Fate::Dropped, "every interface is redirected");
    check(&lab, "pod2", Fate::Dropped, "every interface is redirected");
    ensure(&lab, named(OtherPorts::Drop));
    check(&lab, "pod1", Fate::Dropped, "eni1 is named");
    check(&lab, "pod2", Fate::Dropped, "veth1a2b3c isn't named");
    ensure(&lab, named(OtherPorts::Pass));
    check(&lab, "pod1", Fate::Reaches, "other ports of named interfaces pass");
    check(&lab, "pod2", Fate::Dropped, "other ports pass on named interfaces only");
    for pod in ["pod1", "pod2"] {
        check_stray_request(&lab, pod, Fate::Dropped);
    }
    check(&lab, "node", Fate::Reaches, "the node's own packets are not touched");
}

#[test]
fn a_second_interface_of_a_pod_does_not_reach_the_real_service() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["eni1", "veth1a2b3c"]);
    let _agent = lab.agent();
    let interfaces = InterfaceRule::parse(&["eni+,vlan+"]).unwrap();
    let mut redirect = ensure(&lab, RedirectSpec { interfaces, ..spec() });
    for address in ["169.254.169.254:80", "[fd00:ec2::254]:80", "169.254.169.254:8080"] {
        assert_eq!(lab.ask("pod2", address), Answer::Nothing, "{address}");
    }
    assert_eq!(lab.ask("pod1", "169.254.169.254:80"), text("agent for 10.81.0.2"));
    let status = lab.node(kube2iam::for_tests::redirect_status).unwrap().text();
    assert!(
        status.contains("\n    redirected: eni1\n    dropped: veth1a2b3c\n    loopback: lo\n    uplink: eth0\n"),
        "{status}"
    );
    assert!(
        status.contains("from interfaces that are not named: dropped, ")
            && !status.contains("dropped, 0 packets\n  interfaces"),
        "{status}"
    );
    lab.node(|| redirect.remove()).unwrap();
    assert_eq!(lab.ask("pod2", "169.254.169.254:80"), text("canary"));
}

/// The packet within is from the pod to `to`, the frame for the node's own end of the overlay network.
fn vxlan(to: Ipv4Addr, mark: &[u8; 6]) -> Vec<u8> {
    let data = packet(UDP, 53, mark);
    let ip = |sum: u16| {
        let length = u16::try_from(20 + data.len()).unwrap().to_be_bytes();
        let first = [0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, UDP];
        [&first[..], &sum.to_be_bytes(), &[10, 81, 0, 2], &to.octets()].concat()
    };
    let sum: u32 = ip(0).chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    let header = [0x08, 0, 0, 0, 0, 0, 1, 0];
    let ethernet = [OVERLAY_MAC.as_slice(), &[2, 0, 0, 0, 0, 9], &[0x08, 0]].concat();
    [&header[..], &ethernet, &ip(sum), &data].concat()
}

const OVERLAY_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

#[test]
fn a_packet_out_of_an_overlay_networks_tunnel_does_not_reach_the_real_service() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cni0"]);
    let tunnel = ["type", "vxlan", "id", "1", "local", "10.77.0.2", "dstport", "8472"];
    lab.ip("node", &[&["link", "add", "flannel.1", "address", "02:00:00:00:00:01"][..], &tunnel].concat());
    lab.ip("node", &["link", "set", "dev", "flannel.1", "up"]);
    let sender = lab.inside("pod1", || UdpSocket::bind("10.81.0.2:0").unwrap());
    let reached = || {
        reaches(&lab, UDP, METADATA_V4.into(), |to, mark| {
            let IpAddr::V4(to) = to else { panic!("{to}") };
            sender.send_to(&vxlan(to, mark), "10.77.0.2:8472").unwrap();
        })
    };
    assert!(reached(), "without a redirect");
    ensure(&lab, RedirectSpec { interfaces: InterfaceRule::parse(&["cni0"]).unwrap(), ..spec() });
    assert!(!reached(), "with cni0 named");
    ensure(&lab, spec());
    assert!(!reached(), "with every interface but the uplink");
}

/// Writing an EndpointSlice is enough for it where kube-proxy rewrites destinations: fd00:ec2::254 is no address that
/// the API server refuses.
#[test]
fn a_service_whose_endpoint_is_the_metadata_address_leads_nowhere() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let _agent = lab.agent();
    lab.nft(&["add table inet proxy; add chain inet proxy services { type nat hook prerouting priority dstnat; }"]);
    for (service, endpoint) in [
        ("ip daddr 10.96.0.1 tcp dport 443", "ip to 169.254.169.254:80"),
        ("ip daddr 10.96.0.2 tcp dport 443", "ip to 169.254.169.254:8080"),
        ("ip6 daddr fd96::1 tcp dport 443", "ip6 to [fd00:ec2::254]:80"),
    ] {
        lab.nft(&[&format!("add rule inet proxy services {service} dnat {endpoint}")]);
    }
    let services = ["10.96.0.1:443", "10.96.0.2:443", "[fd96::1]:443"];
    for service in services {
        assert_eq!(lab.ask("pod1", service), text("canary"), "{service} without a redirect");
    }
    ensure(&lab, spec());
    for service in services {
        assert_eq!(lab.ask("pod1", service), Answer::Nothing, "{service}");
    }
}
