//! The address of container credentials with real packets: who reaches it, and who can't take its packets.

use kube2iam::for_tests::{
    AddressEnsured, CredentialsAddress, GUARD_TABLE, InterfaceRule, Place, Redirect, RedirectOutcome, RedirectSpec,
    Removed, RequestAction, guard_chains, remove_credentials_address, table_text,
};

use crate::lab::{AGENT_PORT, Answer, Lab, METADATA_V4, Server, ask_on, ready, text};

pub(crate) const AT: &str = "169.254.170.2:8181";
pub(crate) const LOOPBACK: [&str; 2] = ["127.0.0.1:8181", "[::1]:8181"];

pub(crate) fn spec() -> RedirectSpec {
    RedirectSpec::new(AGENT_PORT)
}

/// A kernel with bridges may lack links without ports; a bridge without ports is one, too.
pub(crate) fn open(lab: &Lab, spec: RedirectSpec, kind: &'static str) -> CredentialsAddress {
    lab.node(|| CredentialsAddress::open(spec).unwrap().with_link_kind(kind))
}

fn set_up(lab: &Lab, spec: RedirectSpec) -> AddressEnsured {
    lab.node(|| CredentialsAddress::open(spec).unwrap().ensure()).unwrap()
}

/// The agent listens on every address; so does a pod that has the same port.
fn servers(lab: &Lab) -> [Server; 2] {
    let tenant = lab.serve("pod2", "[::]:8181", |_| "tenant".to_owned());
    [lab.serve("node", "[::]:8181", |_| "agent".to_owned()), tenant]
}

#[test]
fn pods_and_the_node_reach_the_address_on_either_link_with_no_rule_at_all() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let _agent = lab.serve("node", "[::]:8181", |peer| format!("agent for {peer}"));
    lab.exec("node", "sysctl", &["-qw", "net.ipv4.conf.all.rp_filter=1"]);
    for (kind, place) in [("bridge", Place::OwnLink), ("no-such-kind", Place::Loopback)] {
        assert_eq!(lab.ask("pod1", AT), Answer::Nothing, "nothing is there yet");
        let mut address = open(&lab, spec(), kind);
        assert_eq!(lab.node(|| address.ensure()).unwrap().place, Ok(place));
        lab.nft(&["flush ruleset"]);
        assert_eq!(lab.ask("pod1", AT), text("agent for ::ffff:10.81.0.2"), "{kind}");
        assert_eq!(lab.ask("node", AT), text("agent for ::ffff:169.254.170.2"), "{kind}");
        let routes = lab.ip("node", &["route", "get", "10.81.0.2"]);
        assert!(!routes.contains("169.254.170.2"), "no source of other packets: {routes}");
        assert_eq!(lab.node(|| address.remove()), Ok(Removed::Deleted));
    }
    assert!(!lab.ip("node", &["addr"]).contains("kube2iam"), "nothing is left");
}

#[test]
fn nft_shows_the_table_that_is_described() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&[]);
    let mut address = open(&lab, spec(), "bridge");
    for (generation, requests) in [(1, RequestAction::Redirect), (2, RequestAction::Drop)] {
        address = lab.node(|| CredentialsAddress::open(RedirectSpec { requests, ..spec() }).unwrap());
        let ensured = lab.node(|| address.ensure()).unwrap();
        assert_eq!(lab.nft(&["list", "ruleset"]), table_text(GUARD_TABLE, &guard_chains(&ensured.guard), generation));
        let again = lab.node(|| address.ensure()).unwrap();
        assert_eq!((again.outcome, again.repairs), (RedirectOutcome::Kept, vec![]), "read as it was written");
    }
    lab.node(|| address.remove()).unwrap();
}

/// What the portmap plugin writes for `hostPort: 8181`, and a Service with this address as its external IP.
fn take_port(lab: &Lab, program: &str) {
    for chain in ["PREROUTING", "OUTPUT"] {
        for destination in ["-m addrtype --dst-type LOCAL", "-d 169.254.170.2/32"] {
            let rule =
                format!("-t nat -A {chain} -p tcp --dport 8181 {destination} -j DNAT --to-destination 10.82.0.2");
            lab.exec("node", program, &rule.split(' ').collect::<Vec<_>>());
        }
    }
    lab.exec("node", program, &["-t", "nat", "-A", "POSTROUTING", "-s", "127.0.0.1", "-j", "MASQUERADE"]);
}

fn take_port_by_nft(lab: &Lab) {
    lab.nft(&["add table inet hostports"]);
    for (hook, priority) in [("prerouting", "dstnat"), ("output", "-100")] {
        lab.nft(&[&format!("add chain inet hostports {hook} {{ type nat hook {hook} priority {priority}; }}")]);
        for (family, to) in [("ip", "10.82.0.2"), ("ip6", "[fd82::2]:8181")] {
            let is = if family == "ip" { "meta nfproto ipv4" } else { "meta nfproto ipv6" };
            let rule = format!("{is} fib daddr type local tcp dport 8181 dnat {family} to {to}");
            lab.nft(&[&format!("add rule inet hostports {hook} {rule}")]);
        }
    }
    lab.nft(&["add chain inet hostports post { type nat hook postrouting priority 100; }"]);
    lab.nft(&["add rule inet hostports post ip saddr 127.0.0.1 masquerade"]);
}

#[test]
fn a_pod_with_the_same_host_port_gets_no_packet_at_the_address_and_none_at_loopback() {
    if !ready() {
        return;
    }
    let programs: [fn(&Lab); 3] =
        [|lab| take_port(lab, "iptables-nft"), |lab| take_port(lab, "iptables-legacy"), take_port_by_nft];
    for (number, write_rules) in programs.into_iter().enumerate() {
        let lab = Lab::new(&["cali1", "cali2"]);
        let _servers = servers(&lab);
        lab.exec("node", "sysctl", &["-qw", "net.ipv4.conf.all.route_localnet=1"]);
        set_up(&lab, spec());
        write_rules(&lab);
        let asked = || {
            let node = [AT, LOOPBACK[0], LOOPBACK[1]].map(|at| lab.ask("node", at));
            [vec![lab.ask("pod1", AT), lab.ask("pod2", AT)], node.into()].concat()
        };
        assert_eq!(asked(), [(); 5].map(|()| text("agent")), "rules of kind {number}");
        assert_eq!(lab.ask("pod1", "10.77.0.2:8181"), text("tenant"), "the pod keeps its port elsewhere");
        lab.nft(&["delete", "table", "inet", GUARD_TABLE]);
        assert_eq!(asked()[0], text("tenant"), "the rules of kind {number} would take the packets");
        assert_eq!(asked()[2..4], [(); 2].map(|()| text("tenant")), "rules of kind {number}");
    }
}

#[test]
fn a_connection_that_another_rule_took_elsewhere_is_cut() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1", "cali2"]);
    let _servers = servers(&lab);
    lab.exec("node", "sysctl", &["-qw", "net.ipv4.conf.all.route_localnet=1"]);
    let own = lab.connect("node", "10.77.0.2:8181").unwrap();
    take_port(&lab, "iptables-nft");
    let mut taken = lab.connect("node", LOOPBACK[0]).unwrap();
    assert_eq!(ask_on(&mut taken), text("tenant"));
    assert_eq!(set_up(&lab, spec()).cut, Ok(1));
    assert_eq!(ask_on(&mut taken), Answer::Nothing);
    assert_eq!(lab.ask("node", LOOPBACK[0]), text("agent"));
    drop(own);
}

#[test]
fn nothing_from_outside_the_node_and_nothing_but_requests_gets_there() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1", "other1"]);
    let _agent = lab.serve("node", "[::]:8181", |_| "agent".to_owned());
    let _other = lab.serve("node", "[::]:8080", |_| "other".to_owned());
    lab.ip("cloud", &["route", "add", "169.254.170.2/32", "via", "10.77.0.2"]);
    let named = |words: &[&str]| RedirectSpec { interfaces: InterfaceRule::parse(words).unwrap(), ..spec() };
    for (spec, from_uplink) in [
        (spec(), Answer::Nothing),
        (named(&["cali+"]), Answer::Nothing),
        (named(&["!cali1"]), Answer::Nothing),
        (named(&["eth0", "cali1"]), text("agent")),
    ] {
        set_up(&lab, spec.clone());
        assert_eq!(lab.ask("cloud", AT), from_uplink, "{spec:?}");
        assert_eq!(lab.ask("node", AT), text("agent"), "{spec:?}");
        for pod in ["pod1", "pod2"] {
            assert_eq!(lab.ask(pod, AT), text("agent"), "{pod}, {spec:?}");
            assert_eq!(lab.ask(pod, "169.254.170.2:8080"), Answer::Nothing, "{pod}, {spec:?}");
        }
        assert_eq!(lab.ask("pod1", "10.81.0.1:8080"), text("other"), "other addresses are left alone");
    }
    lab.nft(&["delete", "table", "inet", GUARD_TABLE]);
    assert_eq!(lab.ask("cloud", AT), text("agent"), "without rules it would be reached");
}

#[test]
fn the_redirect_and_the_address_leave_each_other_alone() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1", "other1"]);
    let _agent = lab.serve("node", "0.0.0.0:8181", |_| "agent".to_owned());
    let spec = RedirectSpec { interfaces: InterfaceRule::parse(&["cali+"]).unwrap(), ..spec() };
    let placed = lab.node(|| Redirect::open(spec.clone()).unwrap().ensure()).unwrap();
    set_up(&lab, spec.clone());
    let kept = lab.node(|| Redirect::open(spec.clone()).unwrap().ensure()).unwrap();
    assert_eq!((kept.outcome, kept.wanted), (RedirectOutcome::Kept, placed.wanted));
    assert_eq!(lab.ask("pod1", METADATA_V4), text("agent"));
    assert_eq!(lab.ask("pod2", METADATA_V4), Answer::Nothing, "its interface is not named");
    assert_eq!(["pod1", "pod2"].map(|pod| lab.ask(pod, AT)), [(); 2].map(|()| text("agent")));
    assert_eq!(lab.node(remove_credentials_address), Ok(Removed::Deleted));
    assert_eq!(lab.ask("pod1", METADATA_V4), text("agent"));
    assert_eq!(lab.node(kube2iam::for_tests::remove_redirect), Ok(Removed::Deleted));
    assert_eq!(lab.nft(&["list", "ruleset"]), "");
}

#[test]
fn requests_are_dropped_while_another_process_may_hold_the_port() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let _stranger = lab.serve("node", "0.0.0.0:8181", |_| "stranger".to_owned());
    let mut address = open(&lab, RedirectSpec { requests: RequestAction::Drop, ..spec() }, "bridge");
    let ensured = lab.node(|| address.ensure()).unwrap();
    assert!(ensured.is_in_place(), "{ensured}");
    assert_eq!(lab.ask("pod1", AT), Answer::Nothing);
}
