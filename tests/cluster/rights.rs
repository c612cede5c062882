//! An agent that may not list pods says so, isn't ready, and gets on by itself once it may.

use std::path::PathBuf;

use serde_json::json;

use super::api::must;
use super::stage::{Stage, kubeconfig_of};
use super::standins::Times;
use super::standins::client::get_as_operator;
use super::standins::kubernetes::{Kind, On, Refusal};

pub fn no_rights(stage: &Stage) {
    let rights = if stage.is_stand_in { Rights::stand_in(stage) } else { Rights::real(stage) };
    let mut agent = stage.agent_by(&rights.kubeconfig);
    agent.wait_for_log("the agent may not list or watch them: see its ClusterRole");
    assert_eq!(get_as_operator(agent.addr(), "/healthz").status, 200);
    assert_eq!(get_as_operator(agent.addr(), "/readyz").status, 503);
    let address = stage.address(1);
    stage.run("a", &address, "app");
    assert_eq!(stage.ask(&agent, &address, "app").status, 503);
    rights.give();
    stage.expect(&agent, &address, "app", Ok(()));
    agent.wait_ready();
}

/// A service account that may do nothing yet.
struct Rights<'a> {
    stage: &'a Stage,
    kubeconfig: PathBuf,
}

impl<'a> Rights<'a> {
    fn stand_in(stage: &'a Stage) -> Self {
        let forbidden = Refusal::Status { code: 403, retry_after_s: None };
        for kind in [Kind::Pod, Kind::Namespace] {
            stage.lab.kubernetes.refuse(On::List(kind), forbidden, Times::Always);
        }
        Self { stage, kubeconfig: stage.kubeconfig.clone() }
    }

    fn real(stage: &'a Stage) -> Self {
        let accounts = format!("/api/v1/namespaces/{}/serviceaccounts", stage.namespace);
        must(stage.api.post(&accounts, &json!({"metadata": {"name": "agent"}})));
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let token = must(stage.api.post(&format!("{accounts}/agent/token"), &request));
        let token = token["status"]["token"].as_str().unwrap();
        // Who the server is is the first scene's matter; here it is who asks.
        let insecure = if stage.api.server.starts_with("https:") { ", insecure-skip-tls-verify: true" } else { "" };
        let text = kubeconfig_of(&stage.api.server, token, insecure);
        Self { stage, kubeconfig: stage.write_kubeconfig("agent", &text) }
    }

    fn give(&self) {
        if self.stage.is_stand_in {
            return self.stage.lab.kubernetes.clear_refusals();
        }
        let (name, api) = (&self.stage.namespace, &self.stage.api);
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
            "rules": [{"apiGroups": [""], "resources": ["pods", "namespaces"], "verbs": ["get", "list", "watch"]}],
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": "agent", "namespace": name}],
        });
        must(api.post(&format!("{RBAC}clusterroles"), &role));
        must(api.post(&format!("{RBAC}clusterrolebindings"), &binding));
    }
}

impl Drop for Rights<'_> {
    fn drop(&mut self) {
        if !self.stage.is_stand_in {
            for kind in ["clusterrolebindings", "clusterroles"] {
                let _ = self.stage.api.delete(&format!("{RBAC}{kind}/{}", self.stage.namespace));
            }
        }
    }
}

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1/";
