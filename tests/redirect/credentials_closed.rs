//! Pods' tokens leave the node neither for an address that is missing nor for another process that holds the port.

use std::net::IpAddr;

use kube2iam::for_tests::{GUARD_TABLE, HEALTH_V4, Obstacle, RedirectSpec, RequestAction};

use crate::credentials::{AT, LOOPBACK, open, spec};
use crate::credentials_life::{ON, assert_reached};
use crate::lab::{Answer, Lab, METADATA_V4, Server, ask_on, ready, text};
use crate::site::{Capability, PORT, Site};
use crate::standins::agent::{Agent, Until};
use crate::taken_port::KUBE2IAM;

/// A server outside the node to which the default route leads, and a count of the packets that come to it.
struct Outside<'a> {
    lab: &'a Lab,
    _server: Server,
}

impl<'a> Outside<'a> {
    fn new(lab: &'a Lab) -> Self {
        let server = lab.serve("cloud", "[::]:8181", |_| "outside".to_owned());
        lab.ip("cloud", &["addr", "add", "169.254.170.2/32", "dev", "lo"]);
        for words in [
            "add table inet seen",
            "add chain inet seen arriving { type filter hook prerouting priority -300; }",
            "add rule inet seen arriving ip daddr 169.254.170.2 counter",
        ] {
            lab.exec("cloud", "nft", &[words]);
        }
        Self { lab, _server: server }
    }

    fn saw_nothing(&self) -> bool {
        self.lab.exec("cloud", "nft", &["list table inet seen"]).contains("counter packets 0 bytes 0")
    }
}

#[test]
fn nothing_leaves_the_node_while_the_address_is_missing_and_nobody_repairs_it() {
    if !ready() {
        return;
    }
    for (kind, deed) in [
        ("bridge", "link del kube2iam0"),
        ("bridge", "addr del 169.254.170.2/32 dev kube2iam0"),
        ("no-such-kind", "addr del 169.254.170.2/32 dev lo"),
    ] {
        let lab = Lab::new(&["cali1"]);
        let outside = Outside::new(&lab);
        let mut address = open(&lab, spec(), kind);
        lab.node(|| address.ensure()).unwrap();
        lab.nft(&["add table inet firewall"]);
        lab.nft(&["add chain inet firewall pass { type filter hook forward priority -10; policy accept; }"]);
        lab.nft(&["add rule inet firewall pass accept"]);
        lab.ip("node", &deed.split(' ').collect::<Vec<_>>());
        for from in ["pod1", "node"] {
            assert_eq!(lab.ask(from, AT), Answer::Nothing, "{from} after {deed}");
        }
        assert!(outside.saw_nothing(), "{deed}");
        lab.nft(&["delete", "table", "inet", GUARD_TABLE]);
        for from in ["pod1", "node"] {
            assert_eq!(lab.ask(from, AT), text("outside"), "{from}: without the rules it would be reached");
        }
    }
}

/// The kernel decides about the way before the rules at output see the packet, and once more after a rule marked it.
#[test]
fn nothing_leaves_the_node_by_another_routing_table() {
    if !ready() {
        return;
    }
    for from in ["pod1", "node"] {
        let lab = Lab::new(&["cali1"]);
        let outside = Outside::new(&lab);
        let mut address = open(&lab, spec(), "bridge");
        lab.node(|| address.ensure()).unwrap();
        lab.ip("node", &["route", "add", "default", "via", "10.77.0.1", "table", "77"]);
        lab.ip("node", &["rule", "add", "pref", "100", "lookup", "local"]);
        lab.ip("node", &["rule", "add", "pref", "10", "fwmark", "0x77", "lookup", "77"]);
        lab.ip("node", &["rule", "del", "pref", "0"]);
        lab.nft(&["add table inet marks"]);
        for (hook, kind) in [("prerouting", "filter"), ("output", "route")] {
            lab.nft(&[&format!("add chain inet marks {hook} {{ type {kind} hook {hook} priority -150; }}")]);
            lab.nft(&[&format!("add rule inet marks {hook} ip daddr 169.254.170.2 meta mark set 0x77")]);
        }
        assert_eq!(lab.ask(from, AT), Answer::Nothing, "{from}");
        assert!(outside.saw_nothing(), "{from}");
        lab.nft(&["delete", "table", "inet", GUARD_TABLE]);
        lab.ask(from, AT);
        assert!(!outside.saw_nothing(), "{from}: without the rules its packets would leave");
    }
}

#[test]
fn nothing_leaves_the_node_while_anothers_link_has_the_name() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let outside = Outside::new(&lab);
    let _agent = lab.serve("node", "[::]:8181", |_| "agent".to_owned());
    lab.ip("node", &["link", "add", "kube2iam0", "type", "veth", "peer", "name", "other"]);
    let mut address = open(&lab, spec(), "bridge");
    let blocked = lab.node(|| address.ensure()).unwrap();
    assert_eq!(blocked.place, Err(Obstacle::LinkTaken { kind: "veth".to_owned() }));
    for from in ["pod1", "node"] {
        assert_eq!(lab.ask(from, AT), Answer::Nothing, "{from}");
    }
    assert!(outside.saw_nothing());
    assert_eq!(LOOPBACK.map(|at| lab.ask("node", at)), [(); 2].map(|()| text("agent")), "nothing is in the way there");
}

#[test]
fn requests_at_loopback_are_dropped_while_another_process_may_hold_the_port() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&[]);
    let _holder = lab.serve("node", "[::]:8181", |_| "holder".to_owned());
    let _other = lab.serve("node", "[::]:8080", |_| "other".to_owned());
    let mut address = open(&lab, RedirectSpec { requests: RequestAction::Drop, ..spec() }, "bridge");
    let mut older = lab.connect("node", LOOPBACK[0]).unwrap();
    assert_eq!(ask_on(&mut older), text("holder"));
    lab.node(|| address.ensure()).unwrap();
    for at in [AT, LOOPBACK[0], LOOPBACK[1]] {
        assert_eq!(lab.ask("node", at), Answer::Nothing, "{at}");
    }
    assert_eq!(ask_on(&mut older), Answer::Nothing, "a connection from before");
    assert_eq!(lab.ask("node", &format!("{HEALTH_V4}:8181")), text("holder"), "where agents ask for its health");
    assert_eq!(lab.ask("node", "127.0.0.1:8080"), text("other"), "other ports are left alone");
    let mut address = open(&lab, spec(), "bridge");
    lab.node(|| address.ensure()).unwrap();
    for at in [AT, LOOPBACK[0], LOOPBACK[1]] {
        assert_eq!(lab.ask("node", at), text("holder"), "{at}");
    }
}

/// Whatever it answers: any program can answer as a kube2iam does.
#[test]
fn a_stranger_at_the_port_gets_no_token() {
    if !ready() {
        return;
    }
    let answers: [fn(IpAddr) -> String; 2] = [|_| "stranger".to_owned(), |_| KUBE2IAM.to_owned()];
    for (answer, flags) in answers.into_iter().zip([&[ON, "--iptables=false"][..], &[ON]]) {
        let site = Site::new(&["cali1"]);
        let stranger = site.serve("node", "[::]:8181", answer);
        let agent: Agent = site.start(site.setup(Capability::NetAdmin).flags(flags).until(Until::Started));
        agent.wait_for_log("container credentials at 169.254.170.2:8181 on ");
        assert_eq!(site.ask("pod1", AT), Answer::Nothing, "{flags:?}");
        for at in [AT, LOOPBACK[0], LOOPBACK[1]] {
            assert_eq!(site.ask("node", at), Answer::Nothing, "{at} {flags:?}");
        }
        let status = site.command(&["redirect", "status"]).stdout;
        assert!(status.contains(", requests are dropped\n"), "{status}");
        assert!(status.contains("  requests at loopback: dropped, "), "{status}");
        if flags == [ON] {
            assert_eq!(site.ask("pod1", METADATA_V4), text(KUBE2IAM), "no token is shown there");
        }
        drop(stranger);
        agent.wait_for_log("listening");
        agent.wait_for_log("table inet kube2iam_credentials is updated");
        assert_reached(&site);
        for at in LOOPBACK {
            assert!(site.connect("node", at).is_ok(), "{at}");
        }
    }
}

#[test]
fn a_stranger_gets_no_token_while_the_agent_cannot_start() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    let added = site.command(&["redirect", "add", ON, &format!("--app-port={PORT}")]);
    assert_eq!(added.code, Some(0), "{added:?}");
    let start = || site.node(|| site.setup(Capability::NetAdmin).flags(&[ON, "--kubeconfig=/no/such/file"]).run());
    assert_eq!(start().code, Some(1));
    assert_eq!(site.ask("pod1", AT), Answer::Refused, "nothing has to be dropped where nothing answers");
    let _stranger = site.serve("node", "[::]:8181", |_| "stranger".to_owned());
    assert_eq!(site.ask("pod1", AT), text("stranger"), "it would be reached");
    let ended = start();
    assert!(ended.code == Some(1) && ended.stderr.contains("; requests to it are dropped"), "{ended:?}");
    assert_eq!(site.ask("pod1", AT), Answer::Nothing);
    assert_eq!(LOOPBACK.map(|at| site.ask("node", at)), [Answer::Nothing, Answer::Nothing]);
}
