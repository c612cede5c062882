//! An agent that starts while another process holds its port: the redirect comes first, and what it does with pods'
//! requests depends on that process.

use std::net::IpAddr;

use crate::lab::{Answer, METADATA_V4, METADATA_V6, Server, ready, text};
use crate::site::{Capability, PORT, Site, confined};
use crate::standins::agent::{Agent, Until};
use crate::standins::kubernetes::{Kind, On};

pub(crate) const KUBE2IAM: &str = r#"{"hostIP":"10.77.0.2","instanceId":"i-0abc"}"#;
const TAINT: &str = "kube2iam/agent-not-ready";

/// A process on the node that holds the port on the addresses to which pods are redirected.
fn holder(site: &Site, answer: fn(IpAddr) -> String) -> Vec<Server> {
    ["10.77.0.2:8181", "[fd77::2]:8181"].map(|address| site.serve("node", address, answer)).into()
}

/// An agent with a state directory, which starts beside the holder.
fn start(site: &Site, state: &str) -> Agent {
    let flags = [state, "--node=node-1", &format!("--remove-taint={TAINT}")];
    site.start(site.setup(Capability::NetAdmin).flags(&flags).until(Until::Started))
}

fn assert_takes_over(site: &Site, agent: &mut Agent) {
    agent.wait_for_log("listening");
    site.node(|| agent.wait_ready());
    agent.wait_for_log("took the taint off");
    for metadata in [METADATA_V4, METADATA_V6] {
        assert_eq!(site.role_of(1, metadata), "app-1", "{metadata}");
    }
    assert_eq!(agent.stop().status.code(), Some(0));
}

#[test]
fn while_another_program_holds_the_port_pods_reach_neither_it_nor_the_nodes_credentials() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    site.standins().kubernetes.add_node("node-1", &[(TAINT, "NoSchedule")]);
    let state =
        format!("--state-dir={}", std::env::temp_dir().join(format!("k2i-stranger-{}", std::process::id())).display());
    let stranger = holder(&site, |_| "stranger".to_owned());
    let mut agent = start(&site, &state);
    let line = agent.wait_for_log("port 8181 is held by");
    assert!(line.contains("pods' requests are dropped until the port is free"), "{line}");
    agent.wait_for_log("namespaces are listed");
    for metadata in [METADATA_V4, METADATA_V6] {
        assert_eq!(site.ask("pod1", metadata), Answer::Nothing, "{metadata}");
    }
    assert_eq!(site.standins().kubernetes.count(On::Get(Kind::Node)), 0, "the taint stays");
    drop(stranger);
    assert_takes_over(&site, &mut agent);
    let _ = std::fs::remove_dir_all(state.trim_start_matches("--state-dir="));
}

/// Where sockets for v6 are for v6 alone by default, as the doctor's must not be.
#[test]
fn the_doctor_sees_a_program_on_the_v4_port_whatever_bindv6only_says() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    site.node(|| std::fs::write("/proc/sys/net/ipv6/bindv6only", "1")).unwrap();
    let doctor = || {
        let flags = ["doctor", "--base-role-arn=arn:aws:iam::123456789012:role/"];
        let setup = site.standins().configure(confined(Capability::NetAdmin).flags(&flags)).port(PORT);
        site.node(|| setup.run()).stdout
    };
    let stranger = site.serve("node", "10.77.0.2:8181", |_| "stranger".to_owned());
    let told = doctor();
    assert!(told.contains("\nport                 FAIL  port 8181 is held by"), "{told}");
    drop(stranger);
    let told = doctor();
    assert!(told.contains("\nport                 ok    8181 is free\n"), "{told}");
}

#[test]
fn while_a_kube2iam_holds_the_port_it_gets_the_requests() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    site.standins().kubernetes.add_node("node-1", &[(TAINT, "NoSchedule")]);
    let state =
        format!("--state-dir={}", std::env::temp_dir().join(format!("k2i-swap-{}", std::process::id())).display());
    let kube2iam = holder(&site, |_| KUBE2IAM.to_owned());
    let mut agent = start(&site, &state);
    let line = agent.wait_for_log("port 8181 is held by");
    assert!(line.contains("answers as a kube2iam does, so pods' requests go to it until it ends"), "{line}");
    for metadata in [METADATA_V4, METADATA_V6] {
        assert_eq!(site.ask("pod1", metadata), text(KUBE2IAM), "{metadata}");
    }
    drop(kube2iam);
    assert_takes_over(&site, &mut agent);
    let _ = std::fs::remove_dir_all(state.trim_start_matches("--state-dir="));
}
