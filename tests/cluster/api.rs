//! A client of the Kubernetes API that writes: what a kubelet, a controller and a user would do.

use std::path::Path;
use std::time::Duration;

use kube2iam::for_tests::{AgentOptions, ApiServerConnection, Auth, ProxyUse, TimeLimits, Verification, http_agent};
use serde_json::{Value, json};
use ureq::Agent;

pub struct Api {
    pub server: String,
    agent: Agent,
    bearer: Option<String>,
}

impl Api {
    pub fn of(kubeconfig: &Path) -> Self {
        let connection = ApiServerConnection::kubeconfig(kubeconfig, Verification::Required).unwrap();
        let limits = TimeLimits {
            connect: PATIENCE,
            send: PATIENCE,
            response_head: PATIENCE,
            response_body: Some(PATIENCE),
            idle_read: None,
        };
        let agent =
            http_agent(&AgentOptions { proxy: ProxyUse::None, tls: connection.tls, limits, idle_connections: 1 });
        let bearer = match connection.auth {
            Auth::Token(token) => Some(format!("Bearer {}", token.expose())),
            Auth::TokenFile(path) => Some(format!("Bearer {}", std::fs::read_to_string(path).unwrap().trim())),
            Auth::None => None,
        };
        Self { server: connection.server, agent: agent.unwrap(), bearer }
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        let request = self.agent.get(format!("{}{path}", self.server));
        let request = self.bearer.iter().fold(request, |request, bearer| request.header("authorization", bearer));
        read(request.call())
    }

    pub fn post(&self, path: &str, object: &Value) -> (u16, Value) {
        let request = self.agent.post(format!("{}{path}", self.server)).header("content-type", "application/json");
        let request = self.bearer.iter().fold(request, |request, bearer| request.header("authorization", bearer));
        read(request.send(object.to_string()))
    }

    pub fn patch(&self, path: &str, patch: &Value) -> (u16, Value) {
        let request = self.agent.patch(format!("{}{path}", self.server));
        let request = request.header("content-type", "application/merge-patch+json");
        let request = self.bearer.iter().fold(request, |request, bearer| request.header("authorization", bearer));
        read(request.send(patch.to_string()))
    }

    pub fn delete(&self, path: &str) -> (u16, Value) {
        let request = self.agent.delete(format!("{}{path}", self.server));
        let request = self.bearer.iter().fold(request, |request, bearer| request.header("authorization", bearer));
        read(request.call())
    }

    pub fn create_namespace(&self, name: &str) {
        must(self.post("/api/v1/namespaces", &json!({"metadata": {"name": name}})));
        // Where no controller does it: pods are refused without. With one, whoever comes first.
        let account = json!({"metadata": {"name": "default"}});
        let (status, said) = self.post(&format!("/api/v1/namespaces/{name}/serviceaccounts"), &account);
        assert!([201, 409].contains(&status), "{status} {said}");
    }

    pub fn annotate_namespace(&self, name: &str, key: &str, value: &str) {
        let patch = json!({"metadata": {"annotations": {key: value}}});
        must(self.patch(&format!("/api/v1/namespaces/{name}"), &patch));
    }

    pub fn annotate_account(&self, namespace: &str, name: &str, key: &str, value: &str) {
        let patch = json!({"metadata": {"annotations": {key: value}}});
        must(self.patch(&format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}"), &patch));
    }

    /// A pod that no scheduler takes.
    pub fn create_pod(&self, namespace: &str, name: &str, annotations: &[(&str, &str)]) {
        let annotations: serde_json::Map<_, _> =
            annotations.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": annotations},
            "spec": {
                "schedulerName": "kube2iam-tests", "automountServiceAccountToken": false,
                "terminationGracePeriodSeconds": 0, "serviceAccountName": "default",
                "containers": [{"name": "app", "image": "registry.invalid/app:1"}],
            },
        });
        must(self.post(&format!("/api/v1/namespaces/{namespace}/pods"), &pod));
    }

    /// What a kubelet tells of a pod.
    pub fn set_status(&self, namespace: &str, name: &str, phase: &str, address: &str) {
        let status = json!({"status": {"phase": phase, "podIP": address, "podIPs": [{"ip": address}]}});
        must(self.patch(&format!("/api/v1/namespaces/{namespace}/pods/{name}/status"), &status));
    }

    pub fn annotate_pod(&self, namespace: &str, name: &str, key: &str, value: &str) {
        let patch = json!({"metadata": {"annotations": {key: value}}});
        must(self.patch(&format!("/api/v1/namespaces/{namespace}/pods/{name}"), &patch));
    }

    pub fn delete_pod(&self, namespace: &str, name: &str) {
        must(self.delete(&format!("/api/v1/namespaces/{namespace}/pods/{name}")));
    }
}

fn read(outcome: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, Value) {
    let mut response = outcome.unwrap_or_else(|cause| panic!("the API server: {cause}"));
    let text = response.body_mut().read_to_string().unwrap_or_default();
    (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// What the API server says to a write that must succeed.
pub fn must((status, said): (u16, Value)) -> Value {
    assert!((200..300).contains(&status), "{status} {said}");
    said
}

const PATIENCE: Duration = Duration::from_secs(30);
