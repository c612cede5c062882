//! What else the agent reads and writes: service accounts, Events, a node's taints.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::api::must;
use super::stage::{ALLOWED, Stage};

pub fn service_accounts_role(stage: &Stage) {
    let agent = stage.agent(&["--service-account-roles"]);
    let address = stage.address(1);
    stage.api.create_pod(&stage.namespace, "a", &[]);
    stage.api.set_status(&stage.namespace, "a", "Running", &address);
    stage.expect(&agent, &address, "app", Err(404));
    stage.api.annotate_account(&stage.namespace, "default", "eks.amazonaws.com/role-arn", APP);
    stage.expect(&agent, &address, "app", Ok(()));
}

pub fn event_on_a_refused_pod(stage: &Stage) {
    let agent = stage.agent(&["--namespace-restrictions", "--events"]);
    let address = stage.address(1);
    stage.api.annotate_namespace(&stage.namespace, ALLOWED, r#"["other"]"#);
    stage.run("a", &address, "app");
    stage.expect(&agent, &address, "app", Err(404));
    let event = found("an Event", || {
        // Its refusal may have been for another reason until the pod was known.
        stage.ask(&agent, &address, "app");
        events(stage).into_iter().find(|event| event["reason"] == "RoleNotAllowed")
    });
    assert_eq!(event["involvedObject"]["name"], "a");
    assert_eq!(event["type"], "Warning");
}

fn events(stage: &Stage) -> Vec<Value> {
    if stage.is_stand_in {
        return stage.lab.kubernetes.events();
    }
    let list = must(stage.api.get(&format!("/api/v1/namespaces/{}/events", stage.namespace)));
    list["items"].as_array().cloned().unwrap_or_default()
}

pub fn nodes_taint(stage: &Stage) {
    let node = Node::with_taint(stage);
    let agent = stage.agent(&[&format!("--node={}", stage.namespace), &format!("--remove-taint={TAINT}")]);
    found("the taint's end", || (!node.taints().contains(&TAINT.to_owned())).then_some(()));
    agent.wait_for_log("took the taint off");
}

/// A node that no kubelet stands behind, gone when dropped.
struct Node<'a>(&'a Stage);

impl<'a> Node<'a> {
    fn with_taint(stage: &'a Stage) -> Self {
        let name = &stage.namespace;
        if stage.is_stand_in {
            stage.lab.kubernetes.add_node(name, &[(TAINT, "NoSchedule")]);
        } else {
            let taints = json!([{"key": TAINT, "effect": "NoSchedule"}]);
            must(stage.api.post("/api/v1/nodes", &json!({"metadata": {"name": name}, "spec": {"taints": taints}})));
        }
        Self(stage)
    }

    fn taints(&self) -> Vec<String> {
        let node = must(self.0.api.get(&format!("/api/v1/nodes/{}", self.0.namespace)));
        let taints = node["spec"]["taints"].as_array().into_iter().flatten();
        taints.map(|taint| taint["key"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        if !self.0.is_stand_in {
            let _ = self.0.api.delete(&format!("/api/v1/nodes/{}", self.0.namespace));
        }
    }
}

/// Looks until it is there; fails the test after a minute.
fn found<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

const APP: &str = "arn:aws:iam::123456789012:role/app";
const TAINT: &str = "kube2iam/agent-not-ready";
