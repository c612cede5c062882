//! Pods, namespaces and service accounts as the API server shows them, with the noise that real ones carry
//! (`managedFields`, tolerations, quality of service): a reader must step over it.

use serde_json::{Value, json};

/// What the stand-in lists and watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Pod,
    Namespace,
    ServiceAccount,
    Node,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::Namespace => "Namespace",
            Self::ServiceAccount => "ServiceAccount",
            Self::Node => "Node",
        }
    }

    /// The plural in paths.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Pod => "pods",
            Self::Namespace => "namespaces",
            Self::ServiceAccount => "serviceaccounts",
            Self::Node => "nodes",
        }
    }

    pub fn from_plural(plural: &str) -> Option<Self> {
        [Self::Pod, Self::Namespace, Self::ServiceAccount, Self::Node].into_iter().find(|kind| kind.plural() == plural)
    }
}

/// A pod to be. Running on `node-1` with the service account `default` unless told otherwise.
#[derive(Clone, Debug)]
pub struct PodSpec {
    pub namespace: String,
    pub name: String,
    uid: Option<String>,
    addresses: Vec<String>,
    annotations: Vec<(String, String)>,
    node: String,
    service_account: String,
    phase: String,
    network: Network,
    life: Life,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    Own,
    Host,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Wanted,
    Ending,
}

impl PodSpec {
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: None,
            addresses: Vec::new(),
            annotations: Vec::new(),
            node: "node-1".to_owned(),
            service_account: "default".to_owned(),
            phase: "Running".to_owned(),
            network: Network::Own,
            life: Life::Wanted,
        }
    }

    /// Its address; called again, one more (`status.podIPs`, of which the first is `status.podIP`).
    pub fn ip(mut self, address: &str) -> Self {
        self.addresses.push(address.to_owned());
        self
    }

    pub fn without_ip(mut self) -> Self {
        self.addresses.clear();
        self
    }

    /// The annotation `iam.amazonaws.com/role`.
    pub fn role(self, role: &str) -> Self {
        self.annotation("iam.amazonaws.com/role", role)
    }

    /// Sets an annotation, or changes it.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.retain(|(known, _)| known != key);
        self.annotations.push((key.to_owned(), value.to_owned()));
        self
    }

    pub fn without_annotation(mut self, key: &str) -> Self {
        self.annotations.retain(|(known, _)| known != key);
        self
    }

    pub fn uid(mut self, uid: &str) -> Self {
        self.uid = Some(uid.to_owned());
        self
    }

    pub fn node(mut self, node: &str) -> Self {
        node.clone_into(&mut self.node);
        self
    }

    pub fn service_account(mut self, name: &str) -> Self {
        name.clone_into(&mut self.service_account);
        self
    }

    /// `Pending`, `Running`, `Succeeded`, `Failed`.
    pub fn phase(mut self, phase: &str) -> Self {
        phase.clone_into(&mut self.phase);
        self
    }

    pub fn host_network(mut self) -> Self {
        self.network = Network::Host;
        self
    }

    /// With a `deletionTimestamp`: told to end, still there.
    pub fn deleting(mut self) -> Self {
        self.life = Life::Ending;
        self
    }

    pub fn is_named(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }

    /// What its token is bound to: uid, ServiceAccount and node.
    pub fn bound(&self) -> (&str, &str, &str) {
        (self.uid.as_deref().unwrap_or_default(), &self.service_account, &self.node)
    }

    /// Fixes the uid, so that it stays over updates.
    pub fn settle(&mut self, fresh: impl FnOnce() -> String) -> String {
        self.uid.get_or_insert_with(fresh).clone()
    }

    pub fn to_json(&self) -> Value {
        let mut metadata = json!({
            "name": self.name, "namespace": self.namespace, "uid": self.uid, "generation": 1,
            "creationTimestamp": BORN, "labels": {"app": self.name}, "managedFields": managed_fields(),
        });
        if !self.annotations.is_empty() {
            metadata["annotations"] = to_map(&self.annotations);
        }
        if self.life == Life::Ending {
            metadata["deletionTimestamp"] = json!(ENDING);
            metadata["deletionGracePeriodSeconds"] = json!(30);
        }
        let mut pod = json!({"metadata": metadata, "spec": self.spec(), "status": {
            "phase": self.phase, "hostIP": "192.0.2.10", "startTime": BORN, "qosClass": "Burstable",
        }});
        if let Some(first) = self.addresses.first() {
            pod["status"]["podIP"] = json!(first);
            pod["status"]["podIPs"] = self.addresses.iter().map(|address| json!({"ip": address})).collect();
        }
        pod
    }

    fn spec(&self) -> Value {
        let mut spec = json!({
            "containers": [{
                "name": "app", "image": "example/app:1", "env": [{"name": "LANGUAGE", "value": "日本語"}],
                "resources": {"requests": {"cpu": "10m"}}, "imagePullPolicy": "IfNotPresent",
            }],
            "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "terminationGracePeriodSeconds": 30,
            "serviceAccountName": self.service_account, "serviceAccount": self.service_account,
            "nodeName": self.node, "securityContext": {}, "schedulerName": "default-scheduler", "priority": 0,
            "tolerations": [{
                "key": "node.kubernetes.io/not-ready", "operator": "Exists",
                "effect": "NoExecute", "tolerationSeconds": 300,
            }],
        });
        if self.network == Network::Host {
            spec["hostNetwork"] = json!(true);
        }
        spec
    }
}

pub fn namespace_json(name: &str, uid: &str, annotations: &[(&str, &str)]) -> Value {
    let mut metadata = json!({
        "name": name, "uid": uid, "creationTimestamp": BORN,
        "labels": {"kubernetes.io/metadata.name": name}, "managedFields": managed_fields(),
    });
    if !annotations.is_empty() {
        metadata["annotations"] = to_map(annotations);
    }
    json!({"metadata": metadata, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}})
}

pub fn service_account_json(namespace: &str, name: &str, uid: &str, annotations: &[(&str, &str)]) -> Value {
    let mut metadata = json!({"name": name, "namespace": namespace, "uid": uid, "creationTimestamp": BORN});
    if !annotations.is_empty() {
        metadata["annotations"] = to_map(annotations);
    }
    json!({"metadata": metadata})
}

/// A `Status` object, as every refusal carries one.
pub fn status_json(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
}

fn to_map<T: AsRef<str>>(pairs: &[(T, T)]) -> Value {
    pairs
        .iter()
        .map(|(key, value)| (key.as_ref().to_owned(), json!(value.as_ref())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn managed_fields() -> Value {
    json!([{
        "manager": "kubelet", "operation": "Update", "apiVersion": "v1", "time": BORN, "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:annotations": {".": {}, "f:iam.amazonaws.com/role": {}}},
            "f:status": {"f:podIP": {}, "f:podIPs": {".": {}, "k:{\"ip\":\"198.51.100.1\"}": {".": {}, "f:ip": {}}}}},
        "subresource": "status",
    }])
}

const BORN: &str = "2026-01-01T00:00:00Z";
const ENDING: &str = "2026-01-01T01:00:00Z";
