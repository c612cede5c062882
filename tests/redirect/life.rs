//! The redirect over the agent's life: started, disturbed, ended, killed; and the commands of the node's operator.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::lab::{Answer, METADATA_V4, METADATA_V6, ready, text};
use crate::site::{Capability, PORT, Site};
use crate::standins::PATIENCE;
use crate::standins::agent::{Agent, Setup, Until, test_binary};

const MISSING: &str = "table inet kube2iam: missing, pods reach the node's own metadata service\n";

fn assert_refused(site: &Site) {
    for metadata in [METADATA_V4, METADATA_V6] {
        assert_eq!(site.ask("pod1", metadata), Answer::Refused, "{metadata}");
    }
    let status = site.command(&["redirect", "status"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    assert!(status.stdout.starts_with("table inet kube2iam: whole, generation 1\n"), "{status:?}");
}

fn assert_served(site: &Site) {
    for metadata in [METADATA_V4, METADATA_V6] {
        assert_eq!(site.role_of(1, metadata), "app-1", "{metadata}");
    }
}

pub(crate) fn wait_for_end(agent: &mut Agent) {
    let deadline = Instant::now() + PATIENCE;
    while agent.exit_status().is_none() {
        assert!(Instant::now() < deadline, "the agent does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_agent_that_is_gone_leaves_pods_refused() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    for signal in [Signal::KILL, Signal::TERM] {
        let mut agent = site.agent(&[]);
        assert_served(&site);
        agent.signal(signal);
        wait_for_end(&mut agent);
        assert_refused(&site);
    }
    let _agent = site.agent(&[]);
    assert_served(&site);
}

#[test]
fn the_redirect_goes_with_the_agent_if_that_is_asked_for() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    let mut agent = site.agent(&["--redirect-on-exit=remove"]);
    assert_served(&site);
    assert_eq!(agent.stop().status.code(), Some(0));
    let line = agent.wait_for_log("is removed: pods reach the node's own credentials");
    assert!(line.contains("level=warning"), "{line}");
    let status = site.command(&["redirect", "status"]);
    assert_eq!((status.code, status.stdout.as_str()), (Some(1), MISSING));
    assert_eq!(site.ask("pod1", METADATA_V4), text("canary"));
}

#[test]
fn what_is_taken_away_comes_back_and_is_counted() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    let agent = site.agent(&[]);
    assert_eq!(metrics(&site), ["kube2iam_redirect_repairs_total 0", "kube2iam_redirect_whole 1"]);
    site.nft(&["delete table inet kube2iam"]);
    let line = agent.wait_for_log("was missing and is placed, generation 1\"");
    assert!(line.contains("level=warning"), "{line}");
    assert_served(&site);
    site.nft(&["insert rule inet kube2iam to_agent accept"]);
    let line = agent.wait_for_log("was altered and is repaired: the chain `to_agent` has 7 rules instead of 6");
    assert!(line.contains("level=warning"), "{line}");
    assert_served(&site);
    assert_eq!(metrics(&site), ["kube2iam_redirect_repairs_total 2", "kube2iam_redirect_whole 1"]);
}

fn metrics(site: &Site) -> Vec<String> {
    let text = site.page("/metrics").text();
    let shown = ["kube2iam_redirect_repairs_total ", "kube2iam_redirect_whole "];
    text.lines().filter(|line| shown.iter().any(|name| line.starts_with(name))).map(str::to_owned).collect()
}

#[test]
fn an_agent_is_not_ready_before_the_redirect_stands() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    for family in ["-4", "-6"] {
        site.ip("node", &[family, "route", "del", "default"]);
    }
    let mut agent = site.start(site.setup(Capability::NetAdmin).until(Until::Listening));
    agent.wait_for_log("failed to find the node's address: no default route has one, give --host-ip or --host-ip6");
    agent.wait_for_log("namespaces are listed");
    let answer = site.page("/readyz");
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("the redirect does not stand"), "{}", answer.text());
    assert_eq!(metrics(&site), ["kube2iam_redirect_repairs_total 0", "kube2iam_redirect_whole 0"]);
    site.ip("node", &["route", "add", "default", "via", "10.77.0.1"]);
    site.node(|| agent.wait_ready());
    assert_eq!(site.role_of(1, METADATA_V4), "app-1");
    assert_eq!(metrics(&site), ["kube2iam_redirect_repairs_total 0", "kube2iam_redirect_whole 1"]);
}

#[test]
fn an_agent_that_cannot_start_leaves_no_pod_to_the_node() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    assert_eq!(site.ask("pod1", METADATA_V4), text("canary"));
    let failing = || site.node(|| site.setup(Capability::NetAdmin).flags(&["--kubeconfig=/no/such/file"]).run());
    let ended = failing();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("was missing and is placed, generation 1; pods' requests are dropped"), "{ended:?}");
    for metadata in [METADATA_V4, METADATA_V6] {
        assert_eq!(site.ask("pod1", metadata), Answer::Nothing, "{metadata}");
    }
    let _agent = site.agent(&[]);
    assert_served(&site);
    assert_eq!(failing().code, Some(1));
    assert_served(&site);
}

#[test]
fn without_net_admin_nothing_starts_and_the_exit_code_says_so() {
    if !ready() {
        return;
    }
    let site = Site::new(&[]);
    let ended = site.node(|| site.setup(Capability::Nothing).run());
    let named = ended.stderr.lines().filter(|line| line.contains("NET_ADMIN"));
    assert_eq!(
        named.collect::<Vec<_>>(),
        [
            "kube2iam: failed to program `inet kube2iam`: the capability NET_ADMIN is missing; give it to the container (securityContext.capabilities.add), or run this as root"
        ]
    );
    assert_eq!(ended.code, Some(77), "{ended:?}");
    assert_eq!(site.nft(&["list", "ruleset"]), "");
}

#[test]
fn the_bootstrap_unit_and_the_agent_write_the_same() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    let missing = site.command(&["redirect", "status"]);
    assert_eq!((missing.code, missing.stdout.as_str()), (Some(1), MISSING));
    let unit = include_str!("../../manifests/overlays/bootstrap/kube2iam-redirect.service");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/kube2iam ")).unwrap();
    let added = site.command(&line.split(' ').collect::<Vec<_>>());
    assert_eq!((added.code, added.stderr.as_str()), (Some(0), ""));
    assert_eq!(added.stdout, "table inet kube2iam was missing and is placed, generation 1\n");
    assert_refused(&site);
    let agent = site.agent(&[]);
    agent.wait_for_log("table inet kube2iam was whole, generation 1; pods' requests go from");
    assert_served(&site);
    let status = site.command(&["redirect", "status"]).stdout;
    assert!(status.contains("  169.254.169.254:80 -> 10.77.0.2:8181: 2 connections\n"), "{status}");
    let removed = site.command(&["redirect", "remove"]);
    assert_eq!((removed.code, removed.stderr.as_str()), (Some(0), ""));
    agent.wait_for_log("was missing and is placed");
}

#[test]
fn an_upgrade_from_rules_of_kube2iam_names_and_adopts_them() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    let rule = "-p tcp -d 169.254.169.254 --dport 80 -i cali1 -j DNAT --to-destination 10.77.0.2:9999";
    for program in ["iptables-nft", "iptables-legacy"] {
        let words = ["-t", "nat", "-A", "PREROUTING"];
        site.exec("node", program, &words.into_iter().chain(rule.split(' ')).collect::<Vec<_>>());
    }
    let mut agent = site.agent(&[]);
    let line = agent.wait_for_log(&format!("old rule of kube2iam in iptables-nft: -t nat -A PREROUTING {rule}"));
    assert!(line.contains("level=warning") && line.contains("redirect add --adopt"), "{line}");
    let line = agent.wait_for_log("iptables-legacy has a table `nat` here");
    assert!(line.contains("level=info"), "{line}");
    assert_served(&site);
    let port = format!("--app-port={PORT}");
    let adopted = site.command(&["redirect", "add", "--adopt", &port]);
    assert_eq!((adopted.code, adopted.stdout.matches(": removed\n").count()), (Some(0), 1), "{adopted:?}");
    let rules = site.exec("node", "iptables-nft", &["-t", "nat", "-S"]);
    assert!(!rules.contains("169.254.169.254"), "{rules}");
    assert_served(&site);
    assert_eq!(metrics(&site)[0], "kube2iam_redirect_repairs_total 0");
    agent.stop();
    let again = site.agent(&[]);
    assert!(!again.log().iter().any(|line| line.contains("old rule")), "{:?}", again.log());
}

#[test]
fn wrong_usage_ends_with_64_and_help_with_0() {
    let run = |words: &[&str]| Setup::of(test_binary()).flags(words).run();
    for words in [&["redirect"][..], &["redirect", "ad"], &["redirect", "status", "now"], &["redirect", "add", "-p"]] {
        let ended = run(words);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(64), ""), "{words:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{words:?}: {}", ended.stderr);
    }
    for words in [&["redirect", "--help"][..], &["redirect", "add", "-h"]] {
        let ended = run(words);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{words:?}");
        assert!(ended.stdout.contains("--adopt") && ended.stdout.contains("77"), "{}", ended.stdout);
    }
    let help = run(&["--help"]).stdout;
    assert!(help.contains("\n  redirect add|remove|status\n        add, remove or show the redirect"), "{help}");
}
