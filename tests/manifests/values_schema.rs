//! The chart's `values.schema.json`, whose flags are those of the binary.
//! `KUBE2IAM_WRITE_README=1 cargo test --test manifests schema` writes it anew.

use std::collections::BTreeSet;
use std::fs;

use kube2iam::for_tests::flag_table;
use serde_json::{Map, Value, json};

use crate::tools;

const PATH: &str = "manifests/chart/kube2iam/values.schema.json";

/// What may stand for a flag in `extraArgs`: a flag without a value takes none but its being on or off.
fn flag_schemas() -> Map<String, Value> {
    let table = flag_table();
    let flags = table.lines().skip(2).map(|row| {
        let usage = row.split('`').nth(1).unwrap().trim_start_matches("--");
        match usage.split_once('=') {
            None | Some((_, "false")) => {
                (usage.split('=').next().unwrap().to_owned(), json!({"$ref": "#/$defs/switch"}))
            }
            Some((name, _)) => (name.to_owned(), json!({"$ref": "#/$defs/value"})),
        }
    });
    flags.filter(|(name, _)| !["help", "version"].contains(&name.as_str())).collect()
}

fn schema() -> Value {
    let secrets = json!({"type": ["array", "null"], "items": {"anyOf": [
        {"type": "string"},
        {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
    ]}});
    let map = json!({"type": ["object", "null"]});
    let switch = json!({"type": "boolean"});
    let names = json!({"type": ["array", "string", "null"], "items": {"type": "string"}});
    let actions = json!({"type": "array", "minItems": 1, "items": {"enum": ["Deny", "Warn", "Audit"]}});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "switch": {"type": ["boolean", "string", "null"], "enum": [true, false, "true", "false", "", null]},
            "value": {
                "type": ["string", "number", "boolean", "array", "null"],
                "items": {"type": ["string", "number", "boolean"]},
            },
        },
        "properties": {
            "extraArgs": {"type": ["object", "null"], "additionalProperties": false, "properties": flag_schemas()},
            "extraEnv": map,
            "image": {"type": "object", "properties": {
                "repository": {"type": "string"},
                "tag": {"type": ["string", "number", "null"]},
                "digest": {"type": ["string", "null"], "pattern": "^(sha256:[0-9a-f]{64})?$"},
                "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
                "pullSecrets": secrets,
            }},
            "global": {"type": ["object", "null"], "properties": {"imagePullSecrets": secrets}},
            "host": {"type": "object", "properties": {"interface": names, "iptables": switch}},
            "containerCredentials": {"type": ["object", "null"], "properties": {
                "enabled": switch,
                "policies": switch,
                "issuerDiscovery": switch,
                "audience": {"type": "string"},
                "validationActions": actions,
            }},
            "verbose": switch,
            "updateStrategy": {"enum": ["RollingUpdate", "OnDelete"]},
        },
    })
}

#[test]
fn the_values_schema_knows_exactly_the_flags_of_the_binary() {
    let wanted = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    let path = tools::project().join(PATH);
    if std::env::var_os("KUBE2IAM_WRITE_README").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    let flags = |text: &str| -> BTreeSet<String> {
        let schema: Value = serde_json::from_str(text).unwrap();
        schema["properties"]["extraArgs"]["properties"].as_object().unwrap().keys().cloned().collect()
    };
    let held = fs::read_to_string(path).unwrap();
    let differ: Vec<String> = flags(&held).symmetric_difference(&flags(&wanted)).cloned().collect();
    assert!(held == wanted, "KUBE2IAM_WRITE_README=1 writes it anew; these flags differ: {differ:?}");
}
