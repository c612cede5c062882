//! Nodes: read one by one and changed by JSON Patches (RFC 6902) that test and remove, as the API server does it.

use serde_json::{Value, json};

use super::super::exchange::Exchange;
use super::answer::{reply, status};
use super::{Kind, Kubernetes, On, Shared};

/// A request for one node.
pub struct Asked {
    name: String,
    on: On,
}

impl Asked {
    pub fn of(exchange: &Exchange) -> Option<Self> {
        let path = exchange.target().split('?').next().unwrap_or_default();
        let name = path.strip_prefix("/api/v1/nodes/").filter(|name| !name.is_empty())?;
        let on = if exchange.method() == "PATCH" { On::Patch(Kind::Node) } else { On::Get(Kind::Node) };
        Some(Self { name: name.to_owned(), on })
    }

    pub fn on(&self) -> On {
        self.on
    }
}

/// Taints that somebody else gives a node.
pub struct Meddling {
    node: String,
    taints: Vec<(String, String)>,
}

impl Kubernetes {
    /// Adds a node with these taints (key, effect), or replaces it.
    pub fn add_node(&self, name: &str, taints: &[(&str, &str)]) {
        self.change(|state| state.model.put(Kind::Node, node_json(name, taints)));
    }

    /// Keys of the taints that a node has.
    pub fn taints(&self, name: &str) -> Vec<String> {
        let state = self.shared.state.lock();
        let node = state.model.get(Kind::Node, name).expect("the node is there");
        let taints = node["spec"]["taints"].as_array().into_iter().flatten();
        taints.map(|taint| taint["key"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Gives a node other taints just before it is patched the next time.
    pub fn meddle(&self, name: &str, taints: &[(&str, &str)]) {
        let taints = taints.iter().map(|(key, effect)| ((*key).to_owned(), (*effect).to_owned())).collect();
        self.change(|state| state.meddling = Some(Meddling { node: name.to_owned(), taints }));
    }
}

pub fn answer(shared: &Shared, mut exchange: Exchange, asked: &Asked) {
    let content_type = exchange.header("Content-Type").unwrap_or_default();
    let patch = (asked.on == On::Patch(Kind::Node)).then(|| exchange.body());
    let mut state = shared.state.lock();
    if patch.is_some()
        && let Some(Meddling { node, taints }) = state.meddling.take()
    {
        let taints: Vec<_> = taints.iter().map(|(key, effect)| (key.as_str(), effect.as_str())).collect();
        state.model.put(Kind::Node, node_json(&node, &taints));
    }
    let outcome = match (state.model.get(Kind::Node, &asked.name).cloned(), patch) {
        (None, _) => status(404, "NotFound", &format!("nodes \"{}\" not found", asked.name)),
        (Some(node), None) => reply(200, node.to_string()),
        (Some(_), Some(_)) if content_type != "application/json-patch+json" => {
            status(415, "UnsupportedMediaType", "the stand-in takes JSON Patches only")
        }
        (Some(node), Some(patch)) => match patched(node, &patch) {
            Ok(node) => {
                state.model.put(Kind::Node, node.clone());
                reply(200, node.to_string())
            }
            Err(cause) => status(422, "Invalid", &format!("the server rejected our request: {cause}")),
        },
    };
    drop(state);
    shared.changed.notify_all();
    exchange.answer(outcome);
}

fn patched(mut node: Value, patch: &str) -> Result<Value, String> {
    let steps: Vec<Value> = serde_json::from_str(patch).map_err(|cause| cause.to_string())?;
    for step in &steps {
        let path = step["path"].as_str().unwrap_or_default();
        let (parent, place) = path.rsplit_once('/').ok_or("a path has no parent")?;
        let list = node.pointer_mut(parent).and_then(Value::as_array_mut).ok_or("there is no such list")?;
        let place: usize = place.parse().map_err(|_| "no place in a list")?;
        let found = list.get(place).ok_or("there is no such place")?;
        match step["op"].as_str() {
            Some("test") if *found == step["value"] => {}
            Some("test") => return Err(format!("testing value {path} failed")),
            Some("remove") => drop(list.remove(place)),
            other => return Err(format!("unknown operation {other:?}")),
        }
    }
    Ok(node)
}

fn node_json(name: &str, taints: &[(&str, &str)]) -> Value {
    let taints: Vec<_> = taints.iter().map(|(key, effect)| json!({"key": key, "effect": effect})).collect();
    json!({
        "kind": "Node", "apiVersion": "v1",
        "metadata": {"name": name, "uid": format!("uid-of-{name}"), "labels": {"kubernetes.io/hostname": name}},
        "spec": {"podCIDR": "10.0.0.0/24", "providerID": "aws:///eu-west-1a/i-1234567890abcdef0", "taints": taints},
        "status": {"conditions": [{"type": "Ready", "status": "True"}],
            "images": [{"names": ["example/app:1"], "sizeBytes": 1_048_576}]},
    })
}
