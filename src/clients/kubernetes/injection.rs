//! Which pods name a role and lack what container credentials need, for `doctor`: the only look at what containers are
//! told, and no agent takes it.

use std::collections::HashMap;

use serde::Deserialize;

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
}

#[derive(Deserialize)]
struct SpecJson {
    #[serde(default)]
    containers: Vec<ContainerJson>,
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
}

impl PodJson {
    /// Any container without the variable asks elsewhere.
    fn lacks(&self, role_key: &str) -> bool {
        let is_told = |container: &ContainerJson| container.env.iter().any(|env| URIS.contains(&&*env.name));
        let is_finished = matches!(&*self.status.phase, "Succeeded" | "Failed");
        self.metadata.annotations.contains_key(role_key) && !is_finished && !self.spec.containers.iter().all(is_told)
    }
}

const URIS: [&str; 2] = ["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];
const PAGE_ITEMS: &str = "250";
/// Pods are kilobytes each, and at most a megabyte and a half.
const PAGE_BYTES: u64 = 64 * 1_024 * 1_024;
/// Of a cluster without `--node` only so many pods are looked at.
const MOST_PAGES: usize = 20;
