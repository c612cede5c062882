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
mod tests {
    use super::*;

    #[test]
    fn every_taint_with_the_key_is_tested_then_removed_from_the_end() {
        let node = br#"{"kind":"Node","spec":{"podCIDR":"10.0.0.0/24","taints":[
            {"key":"wait","effect":"NoSchedule"},
            {"key":"other","value":"wait","effect":"NoSchedule"},
            {"key":"wait","value":"x","effect":"NoExecute","timeAdded":"2026-01-01T00:00:00Z"}]}}"#;
        let removal = removal(&taints(node).unwrap(), "wait").unwrap();
        let expected = json!([
            {"op": "test", "path": "/spec/taints/0", "value": {"key": "wait", "effect": "NoSchedule"}},
            {"op": "test", "path": "/spec/taints/2", "value":
                {"key": "wait", "value": "x", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}},
            {"op": "remove", "path": "/spec/taints/2"},
            {"op": "remove", "path": "/spec/taints/0"},
        ]);
        assert_eq!(serde_json::from_str::<Value>(&removal.to_json()).unwrap(), expected);
    }

    #[test]
    fn a_node_without_the_taint_is_left_alone() {
        for node in [
            r#"{"spec":{"taints":[{"key":"wait-not","effect":"NoSchedule"},{"effect":"wait"},7,null]}}"#,
            r#"{"spec":{"taints":[]}}"#,
            r#"{"spec":{"taints":null}}"#,
            r#"{"spec":{}}"#,
            "{}",
        ] {
            assert_eq!(removal(&taints(node.as_bytes()).unwrap(), "wait"), None, "{node}");
        }
        for garbage in ["", r#"{"spec":{"taints":{}}}"#, r#"{"spec":"#] {
            assert!(taints(garbage.as_bytes()).is_err(), "{garbage}");
        }
    }
}
