//! Reads the node and removes one taint by a JSON Patch. Needs `get` and `patch` on `nodes`.

use ureq::Body;
use ureq::http::{HeaderValue, Response};

use super::{ApiServer, CallKind, authorized, encoded, named, refusal, unavailable};
use crate::clients::http::cause;
use crate::logic::cluster::kubernetes::KubernetesFailure;
use crate::logic::cluster::taint::{Patched, Removal, Taint, taints};
use crate::ports::Nodes;

impl Nodes for ApiServer {
    fn taints(&self, node: &str) -> Result<Vec<Taint>, KubernetesFailure> {
        self.get(&self.node_url(node), CallKind::List)
            .and_then(read)
            .and_then(|node| taints(&node).map_err(unavailable))
            .map_err(|failure| named("get", format_args!("nodes/{node}"), failure))
    }

    fn patch(&self, node: &str, removal: &Removal) -> Result<Patched, KubernetesFailure> {
        self.send_patch(node, &self.node_url(node), &removal.to_json())
    }
}

impl ApiServer {
    /// Tries an empty patch as a dry run.
    pub fn try_patch(&self, node: &str) -> Result<(), KubernetesFailure> {
        self.send_patch(node, &format!("{}?dryRun=All", self.node_url(node)), "[]").map(drop)
    }

    fn send_patch(&self, node: &str, url: &str, body: &str) -> Result<Patched, KubernetesFailure> {
        let call = |bearer: Option<&HeaderValue>| {
            let request =
                self.connections.agent().patch(url).header("accept", "application/json").content_type(JSON_PATCH);
            authorized(request, bearer).send(body)
        };
        let outcome = self.call(&call).and_then(|response| match response.status().as_u16() {
            200 => Ok(Patched::Done),
            // A test operation of the patch failed, or another client changed the node first.
            409 | 422 => Ok(Patched::Outdated),
            _ => Err(refusal(response)),
        });
        outcome.map_err(|failure| named("patch", format_args!("nodes/{node}"), failure))
    }

    fn node_url(&self, node: &str) -> String {
        format!("{}/api/v1/nodes/{}", self.server, encoded(node))
    }
}

fn read(response: Response<Body>) -> Result<Vec<u8>, KubernetesFailure> {
    let body = response.into_body().into_with_config().limit(NODE_BYTES).read_to_vec();
    body.map_err(|error| unavailable(cause(&error)))
}

/// RFC 6902.
const JSON_PATCH: &str = "application/json-patch+json";
/// Bytes. A node lists its images (50 by default) and conditions: tens of KiB. etcd's limit for an object is 1.5 MiB.
const NODE_BYTES: u64 = 4 * 1024 * 1024;
