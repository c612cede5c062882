//! Removal of a taint from a node.
//!
//! The change is a JSON Patch (RFC 6902) that first tests each taint at its index. If the list was changed meanwhile,
//! a test fails and nothing is applied; other fields of the node may change.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::logic::base::json;

/// A complete taint, because a test compares all of its fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Taint(Value);

/// The patch that removes taints.
#[derive(Clone, Debug, PartialEq)]
pub struct Removal(Value);

/// The result of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patched {
    Done,
    /// The taints have changed since they were read; nothing was applied
    Outdated,
}

/// The taints of a node, from its JSON.
pub fn taints(node: &[u8]) -> Result<Vec<Taint>, String> {
    let node: NodeJson = json::read(node).map_err(|error| error.to_string())?;
    Ok(node.spec.taints.unwrap_or_default().into_iter().map(Taint).collect())
}

/// The patch that removes the taints with `key`, whatever their effects; `None` if there are none.
pub fn removal(taints: &[Taint], key: &str) -> Option<Removal> {
    let unwanted: Vec<_> = taints.iter().enumerate().filter(|(_, taint)| taint.0["key"] == key).collect();
    let path = |place: usize| format!("/spec/taints/{place}");
    let tests = unwanted.iter().map(|(place, taint)| json!({"op": "test", "path": path(*place), "value": taint.0}));
    // From the end, so that the indexes of the others stay valid.
    let removals = unwanted.iter().rev().map(|(place, _)| json!({"op": "remove", "path": path(*place)}));
    (!unwanted.is_empty()).then(|| Removal(tests.chain(removals).collect()))
}

impl Removal {
    /// The body of the request.
    pub fn to_json(&self) -> String {
        json::text(&self.0)
    }
}

#[derive(Deserialize)]
struct NodeJson {
    #[serde(default)]
    spec: NodeSpecJson,
}

#[derive(Default, Deserialize)]
struct NodeSpecJson {
    taints: Option<Vec<Value>>,
}

#[cfg(test)]
mod tests;
