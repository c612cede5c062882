use serde_json::{Value, json};

use super::*;

const KEY: &str = "iam.amazonaws.com/role";

fn lacks(metadata: Value, spec: Value, phase: &str) -> bool {
    let mut pod = json!({ "metadata": metadata, "spec": spec, "status": { "phase": phase } });
    pod["metadata"]["namespace"] = "shop".into();
    pod["metadata"]["name"] = "web".into();
    serde_json::from_value::<InjectedPodJson>(pod).unwrap().lacks(KEY)
}

#[test]
fn pod_with_a_role_needs_the_variable_in_every_container() {
    let injected = || json!([{ "env": [{ "name": URIS[0], "value": "http://169.254.170.2:8181/v1/credentials" }] }]);
    let other = json!([{ "env": [{ "name": URIS[1], "valueFrom": { "fieldRef": {} } }] }]);
    let empty = json!([{ "env": [{ "name": URIS[0], "value": "" }, { "name": URIS[1] }] }]);
    let unset = json!([{ "name": "app" }]);
    let role = || json!({ "annotations": { KEY: "app" } });
    for (spec, expected) in [
        (json!({ "containers": injected() }), false),
        (json!({ "containers": other }), false),
        (json!({ "containers": empty }), true),
        (json!({ "containers": unset }), true),
        (json!({ "containers": injected(), "initContainers": injected() }), false),
        (json!({ "containers": injected(), "initContainers": unset }), true),
    ] {
        assert_eq!(lacks(role(), spec.clone(), "Running"), expected, "{spec}");
    }
}

#[test]
fn label_counts_like_the_annotation_and_finished_pods_are_skipped() {
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
