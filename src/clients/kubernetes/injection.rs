//! Lists pods that name a role but lack the variables of container credentials, for `doctor`: the only code that reads
//! containers' environment variables. The agent never does.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{ApiServer, CallKind, encoded, named, unavailable};
use crate::clients::http::cause;
use crate::logic::cluster::kubernetes::{KubernetesFailure, Resource};

impl ApiServer {
    /// As NAMESPACE/POD; only of the node's pods with `--node`.
    pub fn uninjected_pods(&self) -> Result<Vec<String>, KubernetesFailure> {
        let (mut found, mut continuation) = (Vec::new(), None::<String>);
        for _ in 0..MAX_PAGES {
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
        let response = self.get(&url, CallKind::List)?;
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
    items: Vec<InjectedPodJson>,
}

#[derive(Default, Deserialize)]
struct ListMetadataJson {
    #[serde(rename = "continue")]
    continuation: Option<String>,
}

#[derive(Deserialize)]
struct InjectedPodJson {
    metadata: InjectedMetadataJson,
    spec: InjectedSpecJson,
    #[serde(default)]
    status: StatusJson,
}

#[derive(Deserialize)]
struct InjectedMetadataJson {
    namespace: String,
    name: String,
    #[serde(default)]
    annotations: HashMap<String, String>,
    #[serde(default)]
    labels: HashMap<String, String>,
}

#[derive(Deserialize)]
struct InjectedSpecJson {
    #[serde(default)]
    containers: Vec<ContainerJson>,
    /// Includes sidecars.
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
    /// Another source of the value
    #[serde(rename = "valueFrom")]
    origin: Option<IgnoredAny>,
}

impl InjectedPodJson {
    /// A container without the variable gets its credentials elsewhere.
    fn lacks(&self, role_key: &str) -> bool {
        let is_finished = matches!(&*self.status.phase, "Succeeded" | "Failed");
        let InjectedSpecJson { containers, init_containers } = &self.spec;
        let mut all = containers.iter().chain(init_containers);
        self.has_role(role_key) && !is_finished && !all.all(ContainerJson::has_provider)
    }

    /// Matches the admission policies: by the annotation, or by the label where the role is set elsewhere.
    fn has_role(&self, role_key: &str) -> bool {
        let InjectedMetadataJson { annotations, labels, .. } = &self.metadata;
        annotations.get(role_key).is_some_and(|role| !role.is_empty())
            || labels.get(LABEL).is_some_and(|value| value == "enabled")
    }
}

impl ContainerJson {
    /// SDKs treat an empty variable as unset.
    fn has_provider(&self) -> bool {
        let has_value = |env: &EnvJson| !env.value.is_empty() || env.origin.is_some();
        self.env.iter().any(|env| URIS.contains(&&*env.name) && has_value(env))
    }
}

const LABEL: &str = "kube2iam/container-credentials";
const URIS: [&str; 2] = ["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];
const PAGE_ITEMS: &str = "250";
/// Bytes; a pod has a few KiB, at most 1.5 MiB.
const PAGE_BYTES: u64 = 64 * 1_024 * 1_024;
/// Bounds the pods checked in a cluster without `--node`.
const MAX_PAGES: usize = 20;

#[cfg(test)]
mod tests;
