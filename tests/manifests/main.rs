//! The manifests: each kustomization and the chart is rendered with the real tool, fits Kubernetes' schemas, and asks
//! for no more than it needs.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking, its helpers too

mod admission;
mod chart;
mod conversation;
mod flags;
mod kustomize;
mod pages;
mod plugin;
mod printed;
mod rules;
#[path = "../tools/mod.rs"]
mod tools;
mod values;
mod values_schema;

use std::collections::BTreeSet;

use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::conversation::Conversation;
use crate::rules::{RULES, arguments, broken, pod};

/// Kubernetes versions whose schemas are asked: the oldest that the chart admits, some between, the newest there is.
const KUBERNETES: [&str; 4] = ["1.25", "1.29", "1.33", "1.37"];
/// Kinds of others, whose schemas are not Kubernetes' own.
const FOREIGN: [&str; 4] = ["SecurityContextConstraints", "ServiceMonitor", "PrometheusRule", "CiliumNetworkPolicy"];
/// Kinds that came later than the oldest of [`KUBERNETES`].
const SINCE: [(&str, &str); 4] = [
    ("MutatingAdmissionPolicy", "1.36"),
    ("MutatingAdmissionPolicyBinding", "1.36"),
    ("ValidatingAdmissionPolicy", "1.30"),
    ("ValidatingAdmissionPolicyBinding", "1.30"),
];

#[test]
fn every_kustomization_fits_kubernetes_schemas() {
    let (Some(all), Some(python)) = (kustomize::every_one(), tools::python()) else { return };
    let objects = all.iter().flat_map(|one| one.objects.iter().map(|object| (one.name.as_str(), object)));
    assert_eq!(schema_faults(&python, objects), Vec::<String>::new());
}

#[test]
fn a_field_that_kubernetes_does_not_know_is_noticed() {
    let Some(python) = tools::python() else { return };
    let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a", "labls": {}}});
    assert_eq!(schema_faults(&python, [("typo", &object)]).len(), KUBERNETES.len());
}

#[test]
fn every_kustomization_keeps_every_rule() {
    let Some(all) = kustomize::every_one() else { return };
    for one in all {
        assert_eq!(broken(one.of_kind("DaemonSet")), Vec::<&str>::new(), "in {}", one.name);
    }
}

#[test]
fn every_rule_can_be_broken() {
    let Some(all) = kustomize::every_one() else { return };
    let pod = "/spec/template/spec";
    let agent = "/spec/template/spec/containers/0";
    let breaks = [
        (format!("{agent}/securityContext/privileged"), json!(true)),
        (format!("{agent}/securityContext/allowPrivilegeEscalation"), Value::Null),
        (format!("{agent}/securityContext/readOnlyRootFilesystem"), json!(false)),
        (format!("{agent}/securityContext/capabilities/drop"), json!(["NET_RAW"])),
        (format!("{agent}/securityContext/capabilities/add"), json!(["NET_ADMIN", "SYS_ADMIN"])),
        (format!("{agent}/securityContext/runAsUser"), json!(65532)),
        (format!("{agent}/securityContext/seccompProfile/type"), json!("Unconfined")),
        (format!("{agent}/ports"), json!([{"containerPort": 8181}])),
        (format!("{agent}/lifecycle"), json!({"preStop": {"exec": {"command": ["/bin/sh"]}}})),
        (format!("{pod}/hostPID"), json!(true)),
        (format!("{agent}/args"), json!(["--host-ip=$(HOST_IP)"])),
        (format!("{agent}/args"), json!(["--node=$(NODE_NAME)"])),
        (format!("{pod}/priorityClassName"), Value::Null),
        (format!("{pod}/tolerations"), json!([])),
        ("/spec/updateStrategy/rollingUpdate/maxSurge".to_owned(), json!(0)),
        (format!("{agent}/securityContext/runAsGroup"), json!(0)),
        (format!("{agent}/volumeMounts"), json!([])),
        (format!("{agent}/startupProbe"), Value::Null),
        (format!("{agent}/livenessProbe/httpGet/path"), json!("/readyz")),
        (format!("{agent}/readinessProbe/httpGet/port"), json!(8182)),
        (format!("{agent}/resources/limits/cpu"), json!("1")),
        (format!("{pod}/volumes/0/hostPath/path"), json!("/")),
        (format!("{agent}/image"), json!("kube2iam")),
    ];
    let mut seen = BTreeSet::new();
    for (pointer, value) in breaks {
        let mut set = all[0].of_kind("DaemonSet").clone();
        put(&mut set, &pointer, value);
        let names = broken(&set);
        assert!(!names.is_empty(), "nobody minds {pointer}");
        seen.extend(names);
    }
    let mut idle_root = all.iter().find(|one| one.name == "bootstrap").unwrap().of_kind("DaemonSet").clone();
    put(&mut idle_root, &format!("{agent}/securityContext/runAsNonRoot"), Value::Null);
    seen.extend(broken(&idle_root));
    assert_eq!(seen, RULES.iter().map(|rule| rule.name).collect());
}

#[test]
fn no_overlay_names_interfaces_and_leaves_out_those_it_does_not_know() {
    let Some(all) = kustomize::every_one() else { return };
    for one in all {
        assert_eq!(interface(one), None, "in {}", one.name);
    }
}

#[test]
fn only_the_overlays_without_capabilities_leave_the_redirect_to_others() {
    let Some(all) = kustomize::every_one() else { return };
    for one in all {
        let agent = &pod(one.of_kind("DaemonSet"))["containers"][0];
        let may = !agent["securityContext"]["capabilities"]["add"].is_null();
        assert_eq!(arguments(agent).contains(&"--iptables"), may, "in {}", one.name);
        let others = matches!(&*one.name, "non-root" | "bootstrap" | "base with no-capabilities");
        assert_eq!(may, !others, "in {}", one.name);
    }
    let non_root = all.iter().find(|one| one.name == "non-root").unwrap();
    let first = pod(non_root.of_kind("DaemonSet"))["initContainers"].as_array().unwrap();
    assert!(first.iter().any(|container| arguments(container)[..2] == ["redirect", "add"]), "{first:?}");
}

#[test]
fn rights_are_to_read_pods_and_namespaces_and_what_a_component_adds() {
    let Some(all) = kustomize::every_one() else { return };
    let own = json!({"apiGroups": [""], "resources": ["pods", "namespaces"], "verbs": ["get", "list", "watch"]});
    for one in all {
        let more = match &*one.name {
            "base with events" => Some(("events", ["create", "patch"].as_slice())),
            "base with remove-taint" => Some(("nodes", ["get", "patch"].as_slice())),
            "base with service-account-roles" => Some(("serviceaccounts", ["get", "list", "watch"].as_slice())),
            _ => None,
        };
        let more = more.map(|(thing, verbs)| json!({"apiGroups": [""], "resources": [thing], "verbs": verbs}));
        let keys = (one.name == "base with issuer-discovery").then(token_keys);
        let wanted: Vec<Value> = [Some(own.clone()), more, keys].into_iter().flatten().collect();
        assert_eq!(one.of_kind("ClusterRole")["rules"], json!(wanted), "in {}", one.name);
        let granting = ["ClusterRole", "Role"].map(|kind| one.objects.iter().filter(|it| it["kind"] == *kind).count());
        assert_eq!(granting, [1, 0], "in {}", one.name);
    }
}

/// What the default binding `system:service-account-issuer-discovery` gives every ServiceAccount.
fn token_keys() -> Value {
    json!({"nonResourceURLs": ["/openid/v1/jwks", "/.well-known/openid-configuration"], "verbs": ["get"]})
}

/// The program that knows the schemas: it takes a second to start, and each test asks it.
static SCHEMAS: OnceLock<Conversation> = OnceLock::new();

/// Asks the schemas of every version in [`KUBERNETES`] about objects, each with the name of where it is from.
fn schema_faults<'a>(python: &std::path::Path, objects: impl IntoIterator<Item = (&'a str, &'a Value)>) -> Vec<String> {
    let own = objects.into_iter().filter(|(_, object)| !FOREIGN.contains(&object["kind"].as_str().unwrap()));
    let since =
        |kind: &Value| SINCE.iter().find(|(later, _)| kind == *later).map_or(KUBERNETES[0], |(_, since)| *since);
    let entries: Vec<Value> =
        own.map(|(from, object)| json!({"from": from, "since": since(&object["kind"]), "object": object})).collect();
    let request = json!({"versions": KUBERNETES, "objects": entries});
    let schemas = SCHEMAS.get_or_init(|| Conversation::begin(python, "tests/manifests/schema.py"));
    serde_json::from_str(&schemas.ask(&request.to_string())).unwrap()
}

fn interface(one: &kustomize::Rendered) -> Option<&str> {
    let agent = &pod(one.of_kind("DaemonSet"))["containers"][0];
    arguments(agent).into_iter().find(|argument| argument.starts_with("--host-interface"))
}

/// Puts `value` at a JSON pointer; the last step may be a new member of an object.
fn put(object: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match object.pointer_mut(parent).unwrap() {
        Value::Array(entries) => entries[key.parse::<usize>().unwrap()] = value,
        parent => parent[key] = value,
    }
}
