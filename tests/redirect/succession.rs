//! A node's start and an agent's upgrade, with the redirect in place.

use crate::lab::{METADATA_V4, METADATA_V6, ready};
use crate::site::{Capability, Site};
use crate::standins::agent::Until;
use crate::standins::kubernetes::{Kind, On};

const TAINT: &str = "kube2iam/agent-not-ready";

#[test]
fn the_start_up_taint_stays_until_the_redirect_stands() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    let kubernetes = &site.standins().kubernetes;
    kubernetes.add_node("node-1", &[(TAINT, "NoSchedule")]);
    for family in ["-4", "-6"] {
        site.ip("node", &[family, "route", "del", "default"]);
    }
    let flags = ["--node=node-1", &format!("--remove-taint={TAINT}")];
    let agent = site.start(site.setup(Capability::NetAdmin).flags(&flags).until(Until::Listening));
    agent.wait_for_log("pods are listed");
    agent.wait_for_log("namespaces are listed");
    assert!(site.page("/readyz").text().contains("the redirect does not stand"));
    assert_eq!((kubernetes.taints("node-1").len(), kubernetes.count(On::Get(Kind::Node))), (1, 0));
    site.ip("node", &["route", "add", "default", "via", "10.77.0.1"]);
    agent.wait_for_log("took the taint off");
    assert_eq!(kubernetes.taints("node-1").len(), 0);
    assert_eq!(site.role_of(1, METADATA_V4), "app-1");
}

#[test]
fn an_upgrade_with_no_right_but_net_admin_leaves_no_pod_alone() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    let state = std::env::temp_dir().join(format!("kube2iam-redirect-{}", std::process::id()));
    let setup = || {
        let state = format!("--state-dir={}", state.display());
        site.setup(Capability::NetAdmin).flags(&[&state]).until(Until::Started)
    };
    let mut old = site.start(setup());
    old.wait_for_log("listening");
    site.node(|| old.wait_ready());
    for _ in 0..3 {
        let new = site.start(setup());
        new.wait_for_log("the agent before shares its listener");
        new.wait_for_log("listening");
        assert_eq!(site.role_of(1, METADATA_V4), "app-1");
        assert_eq!(old.stop().status.code(), Some(0));
        for metadata in [METADATA_V4, METADATA_V6] {
            assert_eq!(site.role_of(1, metadata), "app-1", "{metadata}");
        }
        old = new;
    }
    old.stop();
    let _ = std::fs::remove_dir_all(state);
}
