//! Which pods name a role and lack what container credentials need, for `doctor`: the only look at what containers are
//! told, and no agent takes it.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{ApiServer, CallPatience, encoded, named, unavailable};
use crate::clients::http::cause;
use crate::logic::cluster::kubernetes::{KubernetesFailure, Resource};

impl ApiServer {
    /// As NAMESPACE/POD, of the node's pods if there is one.
    pub fn uninjected_pods(&self) -> Result<Vec<String>, KubernetesFailure> {
        let (mut found, mut continuation) = (Vec::new(), None::<String>);
        for _ in 0..MOST_PAGES {
            let page = self.page_of_specs(continuation.as_deref()).map_err(|failure| named("list", "pods", failure))?;
            let lacking = page.items.iter().filter(|pod| pod.lacks(&self.keys.role));
            found.extend(lacking.map(|pod| format!("{}/{}", pod.metadata.namespace, pod.metadata.name)));
            continuation = page.metadata.continuation.filter(|token| !token.is_empty());
            if continuation.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn page_of_specs(&self, continuation: Option<&str>) -> Result<PodsJson, KubernetesFailure> {
        let mut query = vec![("limit".to_owned(), PAGE_ITEMS.to_owned())];
        query.extend(self.selector(Resource::Pods).map(|selector| ("fieldSelector".to_owned(), selector)));
        query.extend(continuation.map(|token| ("continue".to_owned(), token.to_owned())));
        let query: Vec<_> = query.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
        let url = format!("{}/api/v1/pods?{}", self.server, query.join("&"));
        let response = self.get(&url, CallPatience::List)?;
        let body = response.into_body().into_with_config().limit(PAGE_BYTES).read_to_vec();
        let body = body.map_err(|error| unavailable(cause(&error)))?;
        serde_json::from_slice(&body).map_err(|error| unavailable(error.to_string()))
    }
}

#[derive(Deserialize)]
struct PodsJson {
    #[serde(default)]
    metadata: ListMetadataJson,
    #[serde(default)]
    items: Vec<PodJson>,
}

#[derive(Default, Deserialize)]
struct ListMetadataJson {
    #[serde(rename = "continue")]
    continuation: Option<String>,
}

#[derive(Deserialize)]
struct PodJson {
    metadata: MetadataJson,
    spec: SpecJson,
    #[serde(default)]
    status: StatusJson,
}

#[derive(Deserialize)]
struct MetadataJson {
    namespace: String,
    name: String,
    #[serde(default)]
    annotations: HashMap<String, String>,
    #[serde(default)]
    labels: HashMap<String, String>,
}

#[derive(Deserialize)]
struct SpecJson {
    #[serde(default)]
    containers: Vec<ContainerJson>,
    /// Sidecars are among them.
    #[serde(default, rename = "initContainers")]
    init_containers: Vec<ContainerJson>,
}

#[derive(Default, Deserialize)]
struct StatusJson {
    #[serde(default)]
    phase: String,
}

#[derive(Deserialize)]
struct ContainerJson {
    #[serde(default)]
    env: Vec<EnvJson>,
}

#[derive(Deserialize)]
struct EnvJson {
    name: String,
    #[serde(default)]
    value: String,
    /// Where else the value comes from
    #[serde(rename = "valueFrom")]
    origin: Option<IgnoredAny>,
}

impl PodJson {
    /// Any container without the variable asks elsewhere.
    fn lacks(&self, role_key: &str) -> bool {
        let is_finished = matches!(&*self.status.phase, "Succeeded" | "Failed");
        let SpecJson { containers, init_containers } = &self.spec;
        let mut all = containers.iter().chain(init_containers);
        self.has_role(role_key) && !is_finished && !all.all(ContainerJson::has_provider)
    }

    /// As the admission policies see it: by the annotation, or by the label where the role stands elsewhere.
    fn has_role(&self, role_key: &str) -> bool {
        let MetadataJson { annotations, labels, .. } = &self.metadata;
        annotations.get(role_key).is_some_and(|role| !role.is_empty())
            || labels.get(LABEL).is_some_and(|value| value == "enabled")
    }
}

impl ContainerJson {
    /// SDKs take an empty variable for none.
    fn has_provider(&self) -> bool {
        let has_value = |env: &EnvJson| !env.value.is_empty() || env.origin.is_some();
        self.env.iter().any(|env| URIS.contains(&&*env.name) && has_value(env))
    }
}

const LABEL: &str = "kube2iam/container-credentials";
const URIS: [&str; 2] = ["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];
const PAGE_ITEMS: &str = "250";
/// Pods are kilobytes each, and at most a megabyte and a half.
const PAGE_BYTES: u64 = 64 * 1_024 * 1_024;
/// Of a cluster without `--node` only so many pods are looked at.
const MOST_PAGES: usize = 20;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const KEY: &str = "iam.amazonaws.com/role";

    fn lacks(metadata: Value, spec: Value, phase: &str) -> bool {
        let mut pod = json!({ "metadata": metadata, "spec": spec, "status": { "phase": phase } });
        pod["metadata"]["namespace"] = "shop".into();
        pod["metadata"]["name"] = "web".into();
        serde_json::from_value::<PodJson>(pod).unwrap().lacks(KEY)
    }

    #[test]
    fn a_pod_with_a_role_lacks_what_any_of_its_containers_lacks() {
        let told = || json!([{ "env": [{ "name": URIS[0], "value": "http://169.254.170.2:8181/v1/credentials" }] }]);
        let other = json!([{ "env": [{ "name": URIS[1], "valueFrom": { "fieldRef": {} } }] }]);
        let empty = json!([{ "env": [{ "name": URIS[0], "value": "" }, { "name": URIS[1] }] }]);
        let unset = json!([{ "name": "app" }]);
        let role = || json!({ "annotations": { KEY: "app" } });
        for (spec, expected) in [
            (json!({ "containers": told() }), false),
            (json!({ "containers": other }), false),
            (json!({ "containers": empty }), true),
            (json!({ "containers": unset }), true),
            (json!({ "containers": told(), "initContainers": told() }), false),
            (json!({ "containers": told(), "initContainers": unset }), true),
        ] {
            assert_eq!(lacks(role(), spec.clone(), "Running"), expected, "{spec}");
        }
    }

    #[test]
    fn the_label_counts_as_the_annotation_does_and_a_finished_pod_not_at_all() {
        let spec = || json!({ "containers": [{ "name": "app" }] });
        for (metadata, expected) in [
            (json!({}), false),
            (json!({ "annotations": { KEY: "" } }), false),
            (json!({ "labels": { LABEL: "enabled" } }), true),
            (json!({ "labels": { LABEL: "disabled" } }), false),
            (json!({ "annotations": { KEY: "app" } }), true),
        ] {
            assert_eq!(lacks(metadata.clone(), spec(), "Pending"), expected, "{metadata}");
            assert!(!lacks(metadata, spec(), "Succeeded"));
        }
    }
}
