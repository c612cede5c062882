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
