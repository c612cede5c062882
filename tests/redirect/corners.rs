//! Nodes, pods and packets that are not as usual.

use std::net::UdpSocket;
use std::time::Duration;

use kube2iam::for_tests::{InterfaceRule, Redirect, RedirectNote, RedirectOutcome, RedirectSpec};

use crate::lab::{Answer, Lab, METADATA_OTHER_PORT, METADATA_V4, METADATA_V6, ask_on, ready, text};
use crate::traffic::{ensure, spec};

/// The answer to one datagram; `None` if it is lost.
fn datagram(lab: &Lab, pod: &str, address: &str) -> Option<String> {
    let any = if address.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
    let socket = lab.inside(pod, || UdpSocket::bind(any).unwrap());
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut buffer = [0; 64];
    (0..3).find_map(|_| {
        socket.send_to(b"?", address).ok()?;
        let length = socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    })
}

/// Until nobody has asked for a while.
fn echo(socket: &UdpSocket) {
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut buffer = [0; 64];
    while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
        let _ = socket.send_to(b"canary", peer);
    }
}

#[test]
fn datagrams_and_other_ports_are_dropped_in_both_families() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let _agent = lab.agent();
    let (udp, tcp) = (["169.254.169.254:53", "[fd00:ec2::254]:80"], [METADATA_OTHER_PORT, "[fd00:ec2::254]:443"]);
    let _more = lab.serve("cloud", tcp[1], |_| "canary".to_owned());
    for address in udp {
        let socket = lab.inside("cloud", || UdpSocket::bind(address).unwrap());
        std::thread::Builder::new().spawn(move || echo(&socket)).unwrap();
    }
    let reached = |what| {
        for address in udp {
            assert_eq!(datagram(&lab, "pod1", address).is_some(), what, "UDP to {address}");
        }
        for address in tcp {
            assert_eq!(lab.ask("pod1", address) == text("canary"), what, "TCP to {address}");
        }
    };
    reached(true);
    ensure(&lab, spec());
    reached(false);
    assert_eq!(lab.ask("pod1", METADATA_V6), text("agent for fd81::2"));
}

#[test]
fn a_pod_behind_an_interface_that_comes_later_is_redirected() {
    if !ready() {
        return;
    }
    for interfaces in [&[][..], &["cali+"], &["cali2,!eth0"]] {
        let mut lab = Lab::new(&["cali1"]);
        let _agent = lab.agent();
        ensure(&lab, RedirectSpec { interfaces: InterfaceRule::parse(interfaces).unwrap(), ..spec() });
        lab.plug(2, "cali2");
        assert_eq!(lab.ask("pod2", METADATA_V4), text("agent for 10.82.0.2"), "{interfaces:?}");
        assert_eq!(lab.ask("pod2", METADATA_V6), text("agent for fd82::2"), "{interfaces:?}");
    }
}

/// kube2iam's chart always names it.
#[test]
fn docker0_alone_means_every_pod_where_there_is_none() {
    if !ready() {
        return;
    }
    let mut lab = Lab::new(&["cali1"]);
    let _agent = lab.agent();
    let mut redirect = ensure(&lab, RedirectSpec { interfaces: InterfaceRule::parse(&["docker0"]).unwrap(), ..spec() });
    assert_eq!(lab.ask("pod1", METADATA_V4), text("agent for 10.81.0.2"));
    lab.plug(2, "docker0");
    assert_eq!(lab.node(|| redirect.ensure()).unwrap().outcome, RedirectOutcome::Kept, "for the life of the agent");
    assert_eq!(lab.ask("pod1", METADATA_V4), text("agent for 10.81.0.2"));
    assert_eq!(lab.ask("pod2", METADATA_V4), text("agent for 10.82.0.2"));
    let lab = Lab::new(&["cali1", "docker0"]);
    let _agent = lab.agent();
    ensure(&lab, RedirectSpec { interfaces: InterfaceRule::parse(&["docker0"]).unwrap(), ..spec() });
    assert_eq!(lab.ask("pod1", METADATA_V4), Answer::Nothing);
    assert_eq!(lab.ask("pod2", METADATA_V4), text("agent for 10.82.0.2"));
}

/// A pod that may open raw sockets can advertise itself as a router, and a node that doesn't forward IPv6 believes it.
#[test]
fn a_pod_that_advertises_itself_as_a_router_stays_redirected() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let _agent = lab.agent();
    lab.ip("node", &["-6", "route", "del", "default"]);
    let mut redirect = ensure(&lab, spec());
    lab.ip("node", &["-6", "route", "add", "default", "dev", "cali1", "proto", "ra"]);
    let ensured = lab.node(|| redirect.ensure()).unwrap();
    assert_eq!(
        (ensured.outcome, ensured.wanted.scope.to_string()),
        (RedirectOutcome::Kept, "all but eth0 (uplink), lo (loopback)".to_owned())
    );
    assert_eq!(lab.ask("pod1", METADATA_V4), text("agent for 10.81.0.2"));
}

#[test]
fn a_node_without_ipv4_redirects_ipv6_and_leaks_nothing() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let _agent = lab.serve("node", "[fd77::2]:8181", |peer| format!("agent for {peer}"));
    lab.ip("node", &["-4", "addr", "flush", "dev", "eth0"]);
    let ensured = lab.node(|| Redirect::open(spec()).unwrap().ensure()).unwrap();
    assert_eq!((ensured.wanted.agent_v4, ensured.notes), (None, vec![RedirectNote::V4LeftOut]));
    assert_eq!(lab.ask("pod1", METADATA_V6), text("agent for fd81::2"));
    assert_eq!(lab.ask("pod1", METADATA_V4), Answer::Nothing);
}

/// A predecessor was killed after it had written the table and before it had cut what was from before.
#[test]
fn what_a_killed_agent_had_no_time_to_cut_is_cut_by_the_next() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    lab.nft(&["add table inet firewall; add chain inet firewall any { type filter hook forward priority 0; }"]);
    lab.nft(&["add rule inet firewall any ct state invalid drop"]);
    let _agent = lab.agent();
    let mut streams = [METADATA_V4, METADATA_V6].map(|address| lab.connect("pod1", address).unwrap());
    for stream in &mut streams {
        assert_eq!(ask_on(stream), text("canary"));
    }
    lab.nft(&[include_str!("golden.nft")]);
    for stream in &mut streams {
        assert_eq!(ask_on(stream), Answer::Nothing, "the table by itself drops their packets");
    }
    let ensured = lab.node(|| Redirect::open(spec()).unwrap().ensure()).unwrap();
    assert_eq!((ensured.outcome, ensured.cut), (RedirectOutcome::Kept, Ok(2)));
}
