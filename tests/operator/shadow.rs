//! Shadow mode: beside a kube2iam that is a stand-in with the page that a real one shows.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::standins::Lab;
use super::standins::client::{get, get_as_operator};
use super::standins::exchange::Reply;
use super::standins::kubernetes::PodSpec;
use super::standins::wire::Wire;
use super::{BASE, WEB, flag, socket, wait_for, web};

/// A kube2iam with `--debug`, or without if it has no store.
struct Other {
    wire: Wire,
    store: Arc<Mutex<Option<Value>>>,
}

impl Other {
    fn start(store: Option<Value>) -> Self {
        let store = Arc::new(Mutex::new(store));
        let shown = store.clone();
        let wire = Wire::start("kube2iam", move |exchange| {
            assert_eq!((exchange.method().as_str(), exchange.target()), ("GET", "/debug/store"));
            let reply = match &*shown.lock() {
                Some(store) => Reply::new(200, "text/plain; charset=utf-8", store.to_string()),
                None => Reply::new(404, "text/html", "<html>404 - Not Found</html>"),
            };
            exchange.answer(reply);
        });
        Self { wire, store }
    }

    fn url(&self) -> String {
        format!("http://{}", self.wire.address())
    }
}

fn store(web_role: &str) -> Value {
    json!({
        "rolesByIP": { WEB: web_role, "127.0.0.8": "", "127.0.1.1": "host-role" },
        "namespaceByIP": { WEB: "shop", "127.0.0.8": "shop", "127.0.1.1": "kube-system" },
        "rolesByNamespace": { "shop": null, "kube-system": null },
    })
}

fn lab() -> Lab {
    let lab = Lab::start();
    lab.kubernetes.add_pod(web());
    lab.kubernetes.add_pod(PodSpec::new("shop", "plain").ip("127.0.0.8"));
    lab.kubernetes.add_pod(PodSpec::new("kube-system", "host").ip("127.0.1.1").role("host-role").host_network());
    lab
}

#[test]
fn differences_are_reported_and_nobody_is_served() {
    let (lab, other, socket) = (lab(), Other::start(Some(store("other"))), socket());
    let shadow = format!("--shadow={}", other.url());
    let agent = lab.setup().flags(&[BASE, &flag(&socket), &shadow, "--node=node-1"]).start();
    let line = agent.wait_for_log("this agent would give `arn:aws:iam::123456789012:role/app`");
    for part in [
        "level=warning",
        "difference=other_role",
        "pod=shop/web-1",
        "kube2iam gives `arn:aws:iam::123456789012:role/other`",
    ] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    assert!(agent.wait_for_log("this agent would refuse (unknown_pod)").contains("difference=only_theirs"));
    agent.wait_for_log("1 addresses alike, 2 different");
    let metrics = get_as_operator(agent.addr(), "/metrics").text();
    for line in [
        r#"kube2iam_shadow_addresses{outcome="alike"} 1"#,
        r#"kube2iam_shadow_addresses{outcome="other_role"} 1"#,
        r#"kube2iam_shadow_addresses{outcome="only_theirs"} 1"#,
        r#"kube2iam_shadow_addresses{outcome="only_ours"} 0"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    for path in ["/latest/meta-data/iam/security-credentials/", "/latest/meta-data/instance-id", "/latest/api/token"] {
        assert_eq!(get(agent.addr(), WEB, path).status, 404, "{path}");
        assert_eq!(get_as_operator(agent.addr(), path).status, 404, "{path}");
    }
    assert_eq!(lab.sts.assumed("arn:aws:iam::123456789012:role/app"), 0, "nothing is fetched ahead");
    let status = super::ask(&socket, &["status"]).stdout;
    assert!(status.contains(&format!("shadow             of {}: nobody is served", other.url())), "{status}");
    *other.store.lock() = Some(store("app"));
    let agree = "127.0.0.7: both agree by now";
    wait_for(agree, || agent.log().iter().any(|line| line.contains(agree)).then_some(()));
}

#[test]
fn a_kube2iam_without_its_store_is_told_what_it_lacks() {
    let (lab, other) = (lab(), Other::start(None));
    let agent = lab.setup().flags(&[BASE, &format!("--shadow={}", other.url())]).start();
    let line = agent.wait_for_log("failed to read `http://127.0.0.1:");
    assert!(line.contains("/debug/store`: 404 Not Found; start that kube2iam with --debug"), "{line}");
    let metrics = get_as_operator(agent.addr(), "/metrics").text();
    assert!(metrics.contains("kube2iam_shadow_failures_total 1"), "{metrics}");
}

/// Our own page has kube2iam's form, so that one agent can stand in for the other here.
#[test]
fn an_agent_in_the_shadow_of_its_like_finds_no_difference() {
    let lab = lab();
    lab.kubernetes.delete_pod("kube-system", "host");
    let first = lab.setup().flags(&[BASE, "--debug"]).start();
    let shadow = format!("--shadow=http://{}", first.addr());
    let second = lab.setup().flags(&[BASE, &shadow]).start();
    second.wait_for_log("2 addresses alike, 0 different");
}
