//! What pods reach.

use kube2iam::for_tests::{InterfaceRule, OtherPorts, Redirect, RedirectOutcome, RedirectSpec, RequestAction};

use crate::lab::{AGENT_PORT, Answer, Lab, METADATA_OTHER_PORT, METADATA_V4, METADATA_V6, ask_on, ready, text};

pub(crate) fn spec() -> RedirectSpec {
    RedirectSpec::new(AGENT_PORT)
}

pub(crate) fn ensure(lab: &Lab, spec: RedirectSpec) -> Redirect {
    lab.node(|| {
        let mut redirect = Redirect::open(spec).unwrap();
        let ensured = redirect.ensure().unwrap();
        assert!(!matches!(ensured.outcome, RedirectOutcome::Yielded), "{ensured}");
        assert!(ensured.cut.is_ok(), "{:?}", ensured.cut);
        redirect
    })
}

#[test]
fn without_the_redirect_pods_reach_the_real_service() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    assert_eq!(lab.ask("pod1", METADATA_V4), text("canary"));
    assert_eq!(lab.ask("pod1", METADATA_V6), text("canary"));
}

#[test]
fn every_pod_reaches_the_agent_with_its_own_address() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1", "cali2"]);
    let _agent = lab.agent();
    ensure(&lab, spec());
    assert_eq!(lab.ask("pod1", METADATA_V4), text("agent for 10.81.0.2"));
    assert_eq!(lab.ask("pod1", METADATA_V6), text("agent for fd81::2"));
    assert_eq!(lab.ask("pod2", METADATA_V4), text("agent for 10.82.0.2"));
    assert_eq!(lab.ask("pod2", METADATA_V6), text("agent for fd82::2"));
    let curl = |url| lab.exec("pod1", "curl", &["-sS", "--max-time", "5", "--noproxy", "*", url]);
    assert_eq!(curl("http://169.254.169.254/latest/meta-data/"), "agent for 10.81.0.2");
    assert_eq!(curl("http://[fd00:ec2::254]/latest/meta-data/"), "agent for fd81::2");
}

#[test]
fn the_node_itself_still_reaches_the_real_service() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let _agent = lab.agent();
    ensure(&lab, spec());
    for address in [METADATA_V4, METADATA_V6, METADATA_OTHER_PORT] {
        assert_eq!(lab.ask("node", address), text("canary"), "{address}");
    }
}

#[test]
fn named_interfaces_are_redirected_excepted_ones_left_alone_and_all_others_dropped() {
    if !ready() {
        return;
    }
    for other_ports in [OtherPorts::Drop, OtherPorts::Pass] {
        let lab = Lab::new(&["cali1", "other1", "cali2"]);
        let _agent = lab.agent();
        let interfaces = InterfaceRule::parse(&["cali+,!cali2"]).unwrap();
        ensure(&lab, RedirectSpec { interfaces, other_ports, ..spec() });
        assert_eq!(lab.ask("pod1", METADATA_V4), text("agent for 10.81.0.2"));
        for address in [METADATA_V4, METADATA_V6, METADATA_OTHER_PORT] {
            assert_eq!(lab.ask("pod2", address), Answer::Nothing, "{address} of an interface that isn't named");
            assert_eq!(lab.ask("pod3", address), text("canary"), "{address} of an excepted interface");
            assert_eq!(lab.ask("node", address), text("canary"), "{address} of the node");
        }
    }
}

#[test]
fn requests_can_be_dropped_instead_of_redirected_and_back() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let _agent = lab.agent();
    let mut redirect = ensure(&lab, spec());
    let mut stream = lab.connect("pod1", METADATA_V4).unwrap();
    assert_eq!(ask_on(&mut stream), text("agent for 10.81.0.2"));
    redirect.set_requests(RequestAction::Drop);
    let ensured = lab.node(|| redirect.ensure()).unwrap();
    assert_eq!((ensured.outcome, ensured.cut), (RedirectOutcome::Updated, Ok(1)));
    for address in [METADATA_V4, METADATA_V6] {
        assert_eq!(lab.ask("pod1", address), Answer::Nothing, "{address}");
        assert_eq!(lab.ask("node", address), text("canary"), "{address}");
    }
    assert_eq!(ask_on(&mut stream), Answer::Nothing);
    assert_eq!(lab.node(|| redirect.ensure()).unwrap().outcome, RedirectOutcome::Kept);
    redirect.set_requests(RequestAction::Redirect);
    assert_eq!(lab.node(|| redirect.ensure()).unwrap().outcome, RedirectOutcome::Updated);
    assert_eq!(lab.ask("pod1", METADATA_V4), text("agent for 10.81.0.2"));
}

#[test]
fn other_ports_of_the_metadata_address_are_dropped_unless_told_otherwise() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let _agent = lab.agent();
    let mut redirect = ensure(&lab, spec());
    assert_eq!(lab.ask("pod1", METADATA_OTHER_PORT), Answer::Nothing);
    lab.node(|| redirect.remove()).unwrap();
    ensure(&lab, RedirectSpec { other_ports: OtherPorts::Pass, ..spec() });
    assert_eq!(lab.ask("pod1", METADATA_OTHER_PORT), text("canary"));
    assert_eq!(lab.ask("pod1", METADATA_V4), text("agent for 10.81.0.2"));
}

/// Where nobody tracked connections before, there is nothing to delete: the kernel takes the next packet for the first.
fn check_connections_from_before(lab: &Lab, entries: usize) {
    let _agent = lab.agent();
    let mut streams = [METADATA_V4, METADATA_V6].map(|address| lab.connect("pod1", address).unwrap());
    let mut nodes_own = lab.connect("node", METADATA_V4).unwrap();
    for stream in streams.iter_mut().chain([&mut nodes_own]) {
        assert_eq!(ask_on(stream), text("canary"));
    }
    let cut = lab.node(|| Redirect::open(spec()).unwrap().ensure().unwrap().cut);
    assert_eq!(cut, Ok(entries));
    for stream in &mut streams {
        assert_eq!(ask_on(stream), Answer::Nothing);
    }
    assert_eq!(ask_on(&mut nodes_own), text("canary"));
    assert_eq!(lab.ask("pod1", METADATA_V4), text("agent for 10.81.0.2"));
}

#[test]
fn a_tracked_connection_from_before_is_cut() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    lab.nft(&["add table inet firewall; add chain inet firewall any { type filter hook forward priority 0; }"]);
    lab.nft(&["add rule inet firewall any ct state invalid drop"]);
    check_connections_from_before(&lab, 2);
}

#[test]
fn an_untracked_connection_from_before_is_cut() {
    if ready() {
        check_connections_from_before(&Lab::new(&["cali1"]), 0);
    }
}

#[test]
fn a_connection_to_the_agent_survives_a_rewrite() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let _agent = lab.agent();
    let mut redirect = ensure(&lab, spec());
    let mut stream = lab.connect("pod1", METADATA_V4).unwrap();
    assert_eq!(ask_on(&mut stream), text("agent for 10.81.0.2"));
    lab.nft(&["flush", "ruleset"]);
    let ensured = lab.node(|| redirect.ensure()).unwrap();
    assert_eq!((ensured.outcome, ensured.cut), (RedirectOutcome::Placed, Ok(0)));
    assert_eq!(ask_on(&mut stream), text("agent for 10.81.0.2"));
}

#[test]
fn while_the_agent_is_down_pods_are_refused_and_nothing_leaks() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let agent = lab.agent();
    let redirect = ensure(&lab, spec());
    assert_eq!(lab.ask("pod1", METADATA_V4), text("agent for 10.81.0.2"));
    drop(agent);
    drop(redirect);
    for address in [METADATA_V4, METADATA_V6] {
        assert_eq!(lab.ask("pod1", address), Answer::Refused, "{address}");
    }
    let _agent = lab.agent();
    assert_eq!(lab.ask("pod1", METADATA_V4), text("agent for 10.81.0.2"));
}

#[test]
fn what_is_kept_from_being_redirected_is_dropped() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let _agent = lab.agent();
    ensure(&lab, spec());
    lab.nft(&["add table ip rude; add chain ip rude first { type filter hook prerouting priority raw; }"]);
    lab.nft(&["add rule ip rude first ip daddr 169.254.169.254 notrack"]);
    assert_eq!(lab.ask("pod1", METADATA_V4), Answer::Nothing);
    assert_eq!(lab.ask("pod1", METADATA_V6), text("agent for fd81::2"));
}

#[test]
fn a_family_without_an_agent_does_not_leak() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let _agent = lab.agent();
    lab.ip("node", &["-6", "addr", "flush", "dev", "eth0", "scope", "global"]);
    lab.ip("node", &["-6", "route", "replace", "default", "dev", "eth0"]);
    for other_ports in [OtherPorts::Drop, OtherPorts::Pass] {
        ensure(&lab, RedirectSpec { other_ports, ..spec() });
        assert_eq!(lab.ask("pod1", METADATA_V4), text("agent for 10.81.0.2"));
        assert_eq!(lab.ask("pod1", METADATA_V6), Answer::Nothing, "{other_ports:?}");
    }
}

#[test]
fn services_of_kube_proxy_work_beside_it() {
    if !ready() {
        return;
    }
    for proxy in [iptables_proxy, nftables_proxy] {
        let lab = Lab::new(&["cali1"]);
        let _agent = lab.agent();
        let _service = lab.serve("node", "10.77.0.2:9443", |_| "service".to_owned());
        proxy(&lab);
        ensure(&lab, spec());
        assert_eq!(lab.ask("pod1", "10.96.0.1:443"), text("service"));
        assert_eq!(lab.ask("pod1", METADATA_V4), text("agent for 10.81.0.2"));
        proxy(&lab);
        assert_eq!(lab.ask("pod1", METADATA_V4), text("agent for 10.81.0.2"));
    }
}

fn iptables_proxy(lab: &Lab) {
    let rule = ["-t", "nat", "-I", "PREROUTING", "-p", "tcp", "-d", "10.96.0.1", "--dport", "443"];
    let target = ["-j", "DNAT", "--to-destination", "10.77.0.2:9443"];
    for program in ["iptables-nft", "iptables-legacy"] {
        lab.exec("node", program, &[&rule[..], &target].concat());
    }
}

fn nftables_proxy(lab: &Lab) {
    lab.nft(&[
        "add table ip kube-proxy; add chain ip kube-proxy nat-prerouting { type nat hook prerouting priority dstnat; }",
    ]);
    lab.nft(&["add rule ip kube-proxy nat-prerouting ip daddr 10.96.0.1 tcp dport 443 dnat to 10.77.0.2:9443"]);
}
