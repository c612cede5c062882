//! The address of container credentials over the agent's life, and by the commands of the node's operator.

use rustix::process::Signal;

use crate::credentials::AT;
use crate::lab::{Answer, METADATA_V4, ready, text};
use crate::life::wait_for_end;
use crate::rules::normalised;
use crate::site::{Capability, PORT, ROLE_LIST, Site};
use crate::standins::agent::Until;
use crate::standins::client::Ask;

pub(crate) const ON: &str = "--container-credentials";

/// Whatever it answers there, the agent is reached.
pub(crate) fn assert_reached(site: &Site) {
    for from in ["pod1", "node"] {
        let connected = site.connect(from, AT);
        assert!(connected.is_ok(), "{from}: {connected:?}");
    }
}

fn metrics(site: &Site) -> Vec<String> {
    let text = site.page("/metrics").text();
    text.lines().filter(|line| line.starts_with("kube2iam_credentials_address_")).map(str::to_owned).collect()
}

fn in_place(repairs: usize) -> [String; 2] {
    [
        "kube2iam_credentials_address_in_place 1".to_owned(),
        format!("kube2iam_credentials_address_repairs_total {repairs}"),
    ]
}

fn status(site: &Site) -> (Option<i32>, String) {
    let status = site.command(&["redirect", "status"]);
    (status.code, status.stdout)
}

#[test]
fn the_address_outlives_the_agent_and_refuses() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    for signal in [Signal::KILL, Signal::TERM] {
        let mut agent = site.agent(&[ON]);
        assert_reached(&site);
        assert_eq!(metrics(&site), in_place(0));
        agent.signal(signal);
        wait_for_end(&mut agent);
        for from in ["pod1", "node"] {
            assert_eq!(site.ask(from, AT), Answer::Refused, "{from} after {signal:?}");
        }
        let (code, text) = status(&site);
        assert!(text.contains("\ncontainer credentials at 169.254.170.2:8181: in place on "), "{text}");
        assert_eq!(code, Some(0), "{text}");
    }
}

#[test]
fn at_the_address_pods_get_container_credentials_and_nothing_else() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    let _agent = site.agent(&[ON]);
    let asked = |path: &str| site.send(1, AT, &Ask::get(path).host("169.254.170.2"));
    let answer = asked("/v1/credentials");
    assert!(answer.status == 400 && answer.text().contains("token_missing"), "{}", answer.text());
    for path in ["/healthz", "/metrics", ROLE_LIST] {
        assert_eq!(asked(path).status, 404, "{path}");
    }
    assert_eq!(site.role_of(1, METADATA_V4), "app-1", "the metadata routes are as ever");
    assert_eq!(site.send(1, METADATA_V4, &Ask::get("/v1/credentials")).status, 404);
}

#[test]
fn the_address_goes_with_the_agent_if_that_is_asked_for() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    let mut agent = site.agent(&[ON, "--redirect-on-exit=remove"]);
    assert_reached(&site);
    assert_eq!(agent.stop().status.code(), Some(0));
    agent.wait_for_log(
        "169.254.170.2 and table inet kube2iam_credentials are removed, as --redirect-on-exit=remove asks",
    );
    assert_eq!(site.ask("pod1", AT), Answer::Nothing);
    assert_eq!((site.nft(&["list", "ruleset"]).as_str(), site.ip("node", &["addr"]).contains("170.2")), ("", false));
}

#[test]
fn an_address_that_is_taken_away_comes_back_and_is_counted() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    let agent = site.agent(&[ON]);
    let started = agent.wait_for_log("container credentials at 169.254.170.2:8181 on ");
    assert!(started.contains("level=info"), "{started}");
    let (_, text) = status(&site);
    let (_, link) = text.split_once("in place on ").unwrap();
    let link = link.split(',').next().unwrap();
    site.ip("node", &["addr", "del", "169.254.170.2/32", "dev", link]);
    let repaired =
        format!("; the address was missing and is added to {link}; table inet kube2iam_credentials was whole");
    let line = agent.wait_for_log(&repaired);
    assert!(line.contains("level=warning"), "{line}");
    assert_reached(&site);
    site.nft(&["delete table inet kube2iam_credentials"]);
    agent.wait_for_log(&format!(
        " on {link}; table inet kube2iam_credentials was missing and is placed, generation 1\""
    ));
    assert_eq!(metrics(&site), in_place(2));
}

#[test]
fn without_the_redirect_the_address_is_the_agents_task_all_the_same() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    let mut agent = site.agent(&[ON, "--iptables=false"]);
    assert_reached(&site);
    assert!(!site.nft(&["list", "ruleset"]).contains("table inet kube2iam {"));
    let (_, text) = status(&site);
    assert!(text.contains("table inet kube2iam: missing") && text.contains(": in place on "), "{text}");
    assert_eq!(agent.stop().status.code(), Some(0));
    let without = site.agent(&["--iptables=false"]);
    assert_eq!(metrics(&site), ["kube2iam_credentials_address_repairs_total 0"], "{:?}", without.log());
}

#[test]
fn without_net_admin_there_is_one_warning_and_loopback_goes_on() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    let socket = std::env::temp_dir().join(format!("kube2iam-unkept-{}/control.sock", std::process::id()));
    let flags = [ON, "--iptables=false", &format!("--control-socket={}", socket.display())];
    let agent = site.start(site.setup(Capability::Nothing).flags(&flags));
    let line = agent.wait_for_log("169.254.170.2 is not set up by this agent: ");
    assert!(line.contains("level=warning") && line.contains("the capability NET_ADMIN is missing"), "{line}");
    assert!(line.contains("pods on the host's network are served at loopback, other pods are not"), "{line}");
    assert_eq!(site.page("/readyz").status, 200);
    assert_eq!(site.ask("pod1", AT), Answer::Nothing);
    let warnings = agent.log().iter().filter(|line| line.contains("170.2") && line.contains("warning")).count();
    assert_eq!(warnings, 1, "{:?}", agent.log());
    let told = site.command(&["status", &format!("--socket={}", socket.display())]);
    assert!(told.stdout.contains("\naddress            169.254.170.2 is not set up by this agent: "), "{told:?}");
    assert!(!told.stdout.contains("PROBLEM"), "it isn't this agent's to keep: {told:?}");
    drop(agent);
    let _ = std::fs::remove_dir_all(socket.parent().unwrap());
}

#[test]
fn the_operator_sets_the_address_up_and_takes_it_away() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    let port = format!("--app-port={PORT}");
    let add = || site.command(&["redirect", "add", ON, &port]);
    let first = add();
    assert_eq!((first.code, first.stderr.as_str()), (Some(0), ""));
    assert!(first.stdout.contains("\ncontainer credentials at 169.254.170.2:8181 on "), "{first:?}");
    let ruleset = || normalised(&site.nft(&["list", "ruleset"]));
    let placed = ruleset();
    let second = add();
    assert_eq!((second.code, second.stderr.as_str()), (Some(0), ""));
    assert!(second.stdout.contains("; table inet kube2iam_credentials was whole, generation 1\n"), "{second:?}");
    assert_eq!(ruleset(), placed);
    assert_eq!(site.ask("pod1", AT), Answer::Refused);
    // An agent without the right to keep it finds it.
    let agent = site.start(site.setup(Capability::Nothing).flags(&[ON, "--iptables=false"]));
    agent.wait_for_log("it is there, but this agent can't keep it");
    assert_reached(&site);
    drop(agent);
    let without = site.command(&["redirect", "add", &port]);
    assert_eq!((without.code, ruleset()), (Some(0), placed), "as it is without the flag");
    let removed = site.command(&["redirect", "remove"]);
    assert!(
        removed.stdout.ends_with("\n169.254.170.2 and table inet kube2iam_credentials are removed\n"),
        "{removed:?}"
    );
    assert_eq!(ruleset(), "");
    assert_eq!(site.ask("pod1", AT), Answer::Nothing);
}

#[test]
fn an_address_of_others_keeps_the_agent_from_being_ready() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    site.ip("node", &["addr", "add", "169.254.170.2/32", "dev", "cali1"]);
    let mut agent = site.start(site.setup(Capability::NetAdmin).flags(&[ON]).until(Until::Listening));
    let line = agent.wait_for_log("169.254.170.2 is on `cali1`, where this agent did not put it");
    assert!(line.contains("level=warning"), "{line}");
    agent.wait_for_log("namespaces are listed");
    assert!(site.page("/readyz").text().contains("169.254.170.2 is not in place"));
    assert_eq!(metrics(&site)[0], "kube2iam_credentials_address_in_place 0");
    let (code, text) = status(&site);
    assert!(code == Some(1) && text.contains("  169.254.170.2 is on `cali1`"), "{text}");
    let refused = site.command(&["redirect", "add", ON, &format!("--app-port={PORT}")]);
    assert!(refused.code == Some(1) && refused.stderr.contains("is on `cali1`"), "{refused:?}");
    site.ip("node", &["addr", "del", "169.254.170.2/32", "dev", "cali1"]);
    site.node(|| agent.wait_ready());
    assert_reached(&site);
}

#[test]
fn an_agent_that_cannot_start_lets_no_token_out_of_the_node() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    let _outside = site.serve("cloud", "[::]:8181", |_| "outside".to_owned());
    site.ip("cloud", &["addr", "add", "169.254.170.2/32", "dev", "lo"]);
    assert_eq!(site.ask("pod1", AT), text("outside"), "without the address");
    let ended = site.node(|| site.setup(Capability::NetAdmin).flags(&[ON, "--kubeconfig=/no/such/file"]).run());
    assert!(ended.code == Some(1) && ended.stderr.contains("; requests to it are dropped"), "{ended:?}");
    assert_eq!(site.ask("pod1", AT), Answer::Nothing);
    let _agent = site.agent(&[ON]);
    assert_reached(&site);
}

#[test]
fn doctor_says_whether_the_address_is_in_place_and_answers() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    let line = |agent: &str| {
        let words = ["doctor", ON, "--api-server=http://127.0.0.1:1", "--api-token=t", "--control-socket="];
        let output = site.command(&words).stdout;
        let found = output.lines().find(|line| line.starts_with("container address ")).map(str::to_owned);
        found.unwrap_or_else(|| panic!("{agent}: {output}"))
    };
    let missing = line("no agent");
    assert!(missing.contains(" FAIL ") && missing.contains("169.254.170.2 is not set up"), "{missing}");
    let mut agent = site.agent(&[ON]);
    let whole = line("an agent");
    assert!(whole.contains(" ok ") && whole.contains("a connection to it is accepted"), "{whole}");
    agent.stop();
    let refused = line("no agent any more");
    assert!(refused.contains(" warn ") && refused.contains("in place, but an agent doesn't accept"), "{refused}");
}
