//! What a value of the chart does, and what Helm refuses.

use std::fs;

use serde_json::{Value, json};

use crate::chart::{CHART, Rendered, refused, rendered};
use crate::rules::{arguments, broken, pod};
use crate::{kustomize, tools};

const DIGEST: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

#[test]
fn a_value_has_its_effect() {
    let set = "/spec/template/spec";
    let agent = "/spec/template/spec/containers/0";
    let probe = json!({"enabled": true, "failureThreshold": 9});
    let secret = json!({"secretKeyRef": {"name": "mine", "key": "aws_access_key_id"}});
    let cases: Vec<(Value, String, Value)> = vec![
        (json!({"affinity": {"nodeAffinity": {}}}), format!("{set}/affinity"), json!({"nodeAffinity": {}})),
        (json!({"aws": {"region": "eu-west-1"}}), format!("{agent}/env/2/value"), json!("eu-west-1")),
        (json!({"existingSecret": "mine"}), format!("{agent}/env/2/valueFrom"), secret),
        (json!({"extraEnv": {"NO_PROXY": "a,b"}}), format!("{agent}/env/2/value"), json!("a,b")),
        (json!({"extraEnv": {"N": 5}}), format!("{agent}/env/2/value"), json!("5")),
        (json!({"host": {"ip": "10.0.0.1"}}), format!("{agent}/args"), json!("--host-ip=10.0.0.1")),
        (json!({"host": {"interface": "cali+"}}), format!("{agent}/args"), json!("--host-interface=cali+")),
        (json!({"host": {"iptables": false}}), format!("{agent}/args"), json!("--iptables=false")),
        (
            json!({"host": {"iptables": false}}),
            format!("{agent}/securityContext/capabilities"),
            json!({"drop": ["ALL"]}),
        ),
        (json!({"host": {"port": 8282}}), format!("{agent}/args"), json!("--app-port=8282")),
        (json!({"host": {"port": 8282}}), format!("{agent}/livenessProbe/httpGet/port"), json!(8282)),
        (json!({"host": {"port": 8282}}), format!("{agent}/args"), json!("--metrics-port=8282")),
        (json!({"image": {"repository": "r/k", "tag": "7"}}), format!("{agent}/image"), json!("r/k:7")),
        (json!({"image": {"pullPolicy": "Always"}}), format!("{agent}/imagePullPolicy"), json!("Always")),
        (json!({"image": {"pullSecrets": ["s"]}}), format!("{set}/imagePullSecrets/0/name"), json!("s")),
        (json!({"livenessProbe": probe}), format!("{agent}/livenessProbe/failureThreshold"), json!(9)),
        (json!({"readinessProbe": {"enabled": false}}), format!("{agent}/readinessProbe"), Value::Null),
        (json!({"nodeSelector": {"a": "b"}}), format!("{set}/nodeSelector/a"), json!("b")),
        (json!({"podAnnotations": {"a": "b"}}), "/spec/template/metadata/annotations/a".to_owned(), json!("b")),
        (json!({"podLabels": {"a": "b"}}), "/spec/template/metadata/labels/a".to_owned(), json!("b")),
        (json!({"priorityClassName": "p"}), format!("{set}/priorityClassName"), json!("p")),
        (json!({"prometheus": {"metricsPort": 9543}}), format!("{agent}/args"), json!("--metrics-port=9543")),
        (json!({"rbac": {"create": false}}), format!("{set}/serviceAccountName"), json!("default")),
        (json!({"serviceAccount": {"name": "n"}}), format!("{set}/serviceAccountName"), json!("n")),
        (json!({"resources": {"limits": {"memory": "1Gi"}}}), format!("{agent}/resources/limits/memory"), json!("1Gi")),
        (json!({"stateDir": ""}), format!("{set}/volumes/1"), Value::Null),
        (json!({"stateDir": ""}), format!("{agent}/volumeMounts/1"), Value::Null),
        (json!({"tolerations": []}), format!("{set}/tolerations"), Value::Null),
        (json!({"updateStrategy": "OnDelete"}), "/spec/updateStrategy".to_owned(), json!({"type": "OnDelete"})),
        (json!({"maxUnavailable": 1}), "/spec/updateStrategy/rollingUpdate".to_owned(), surge(json!(1), 0)),
        (json!({"maxUnavailable": "10%"}), "/spec/updateStrategy/rollingUpdate".to_owned(), surge(json!("10%"), 0)),
        (json!({"maxSurge": 2}), "/spec/updateStrategy/rollingUpdate".to_owned(), surge(json!(0), 2)),
        (json!({"verbose": true}), format!("{agent}/args"), json!("--verbose")),
        (json!({"nameOverride": "n"}), "/metadata/name".to_owned(), json!("kube2iam-n")),
        (json!({"fullnameOverride": "n"}), "/metadata/name".to_owned(), json!("n")),
    ];
    effects_are(&cases);
}

#[test]
fn a_value_that_kube2iams_chart_lacks_has_its_effect() {
    let set = "/spec/template/spec";
    let agent = "/spec/template/spec/containers/0";
    effects_are(&[
        (
            json!({"image": {"repository": "r/k", "tag": "7", "digest": DIGEST}}),
            format!("{agent}/image"),
            json!(format!("r/k@{DIGEST}")),
        ),
        (json!({"host": {"interface": ["eni+", "!b"]}}), format!("{agent}/args"), json!("--host-interface=eni+,!b")),
        (json!({"host": {"iptables": false}}), format!("{agent}/securityContext/runAsNonRoot"), json!(true)),
        (json!({"host": {"iptables": false}}), format!("{set}/initContainers/0/args/0"), json!("state-dir")),
        (json!({"host": {"iptables": false}, "stateDir": ""}), format!("{set}/initContainers"), Value::Null),
        (json!({"containerCredentials": {"enabled": true}}), format!("{agent}/args"), json!("--container-credentials")),
        (
            json!({"containerCredentials": {"enabled": true}, "host": {"iptables": false}}),
            format!("{agent}/securityContext/capabilities/add"),
            json!(["NET_ADMIN"]),
        ),
        (
            json!({"containerCredentials": {"enabled": true, "audience": "team"}}),
            format!("{agent}/args"),
            json!("--token-audience=team"),
        ),
        (json!({"podSecurityContext": {"fsGroup": 1}}), format!("{set}/securityContext/fsGroup"), json!(1)),
        (json!({"extraArgs": {"base-role-arn": ""}}), format!("{agent}/args"), json!("--auto-discover-base-arn")),
    ]);
}

/// Values, where in the DaemonSet they show (of the arguments: as one of them), and as what.
fn effects_are(cases: &[(Value, String, Value)]) {
    let values: Vec<Value> = cases.iter().map(|(values, _, _)| values.clone()).collect();
    let Some(all) = rendered(&values) else { return };
    for (one, (values, pointer, wanted)) in all.iter().zip(cases) {
        let found = one.of_kind("DaemonSet").unwrap().pointer(pointer).unwrap_or(&Value::Null);
        let fits = if pointer.ends_with("/args") {
            arguments(one.agent()).iter().any(|word| wanted == word)
        } else {
            found == wanted
        };
        assert!(fits, "{pointer} with {values}: {found} instead of {wanted}");
    }
}

fn surge(unavailable: Value, surge: u8) -> Value {
    json!({"maxUnavailable": unavailable, "maxSurge": surge})
}

#[test]
fn extra_args_become_flags_and_numbers_stay_whole() {
    let given = json!({
        "auto-discover-base-arn": "",
        "debug": null,
        "events": true,
        "insecure": false,
        "iam-role-session-ttl": 0,
        "session-name": "x y",
        "metadata-allow": [210_987_654_321_f64, "user-data"],
    });
    let wanted = [
        "--auto-discover-base-arn",
        "--debug",
        "--events=true",
        "--iam-role-session-ttl=0",
        "--insecure=false",
        "--metadata-allow=210987654321",
        "--metadata-allow=user-data",
        "--session-name=x y",
    ];
    let Some(all) = rendered(&[json!({"extraArgs": given})]) else { return };
    assert_eq!(arguments(all[0].agent())[7..], wanted);
}

#[test]
fn what_helm_can_tell_is_wrong_is_refused_with_the_cause() {
    for (values, said) in [
        (json!({}), "image.repository is empty: name the registry and repository"),
        (json!({"extraArgs": {"base-role-arm": "x"}}), "base-role-arm"),
        (json!({"extraArgs": {"debug": {"a": 1}}}), "debug"),
        (json!({"extraArgs": {"events": [true]}}), "events"),
        (json!({"host": {"interface": {"a": "b"}}}), "interface"),
        (json!({"image": {"digest": "abc"}}), "digest"),
    ] {
        let Some(refusal) = refused(&values) else { return };
        assert!(refusal.contains(said), "{values}: {refusal}");
    }
}

#[test]
fn a_base_given_takes_the_place_of_the_discovered_one() {
    let cases = [json!({}), json!({"extraArgs": {"base-role-arn": "arn:aws:iam::123456789012:role/"}})];
    let off = json!({"extraArgs": {"auto-discover-base-arn": false}});
    let Some(all) = rendered(&[cases.as_slice(), &[off]].concat()) else { return };
    let discovers = |one: &Rendered| {
        let words = arguments(one.agent()).into_iter().filter(|word| word.contains("discover"));
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let found: Vec<Vec<String>> = all.iter().map(discovers).collect();
    assert_eq!(found, [vec!["--auto-discover-base-arn"], vec![], vec!["--auto-discover-base-arn=false"]]);
}

#[test]
fn pull_secrets_are_names_or_objects_and_the_global_ones_count() {
    let values = json!({
        "global": {"imagePullSecrets": ["everywhere", {"name": "all"}]},
        "image": {"pullSecrets": [{"name": "own"}, "plain", "everywhere"]},
    });
    let Some(all) = rendered(&[values, json!({})]) else { return };
    let secrets = |one: &Rendered| pod(one.of_kind("DaemonSet").unwrap())["imagePullSecrets"].clone();
    let wanted = ["everywhere", "all", "own", "plain"].map(|name| json!({"name": name}));
    assert_eq!([secrets(&all[0]), secrets(&all[1])], [json!(wanted), Value::Null]);
}

/// Without capabilities the agent is nobody in particular, as in the component `no-capabilities`.
#[test]
fn without_the_redirect_the_agent_keeps_every_rule() {
    let Some(all) = rendered(&[json!({"host": {"iptables": false}})]) else { return };
    assert_eq!(broken(all[0].of_kind("DaemonSet").unwrap()), Vec::<&str>::new());
}

#[test]
fn every_object_has_the_recommended_labels() {
    let everything = json!({
        "containerCredentials": {"enabled": true},
        "prometheus": {"serviceMonitor": {"enabled": true}, "rule": {"enabled": true}, "dashboard": {"enabled": true}},
    });
    let Some(all) = rendered(&[everything]) else { return };
    for object in &all[0].objects {
        let labels = &object["metadata"]["labels"];
        for label in ["name", "instance", "version", "component", "part-of", "managed-by"] {
            assert!(labels[format!("app.kubernetes.io/{label}")].is_string(), "{label} of {}", object["kind"]);
        }
    }
    let pods = &all[0].of_kind("DaemonSet").unwrap()["spec"]["template"]["metadata"]["labels"];
    assert_eq!(pods["app.kubernetes.io/part-of"], "kube2iam");
}

#[test]
fn alerts_and_dashboard_are_those_of_the_monitoring_directory_and_series_name_their_node() {
    let values = json!({"prometheus": {
        "serviceMonitor": {"enabled": true},
        "rule": {"enabled": true, "namespace": "monitoring", "labels": {"release": "p"}, "runbookBase": "https://docs.example/"},
        "dashboard": {"enabled": true, "namespace": "grafana"},
    }});
    let Some(all) = rendered(&[values]) else { return };
    let read = |name: &str| fs::read_to_string(tools::project().join("manifests/monitoring").join(name)).unwrap();
    let with_base = read("alerts.yaml").replace("runbook_url: ", "runbook_url: https://docs.example/");
    let rule = all[0].of_kind("PrometheusRule").unwrap();
    assert_eq!(rule["spec"], kustomize::objects(&with_base)[0]);
    assert_eq!([&rule["metadata"]["namespace"], &rule["metadata"]["labels"]["release"]], ["monitoring", "p"]);
    let dashboard = all[0].of_kind("ConfigMap").unwrap();
    let held: Value = serde_json::from_str(dashboard["data"]["kube2iam.json"].as_str().unwrap()).unwrap();
    assert_eq!(held, serde_json::from_str::<Value>(&read("dashboard.json")).unwrap());
    assert_eq!(
        [&dashboard["metadata"]["namespace"], &dashboard["metadata"]["labels"]["grafana_dashboard"]],
        ["grafana", "1"]
    );
    let relabelled = &all[0].of_kind("ServiceMonitor").unwrap()["spec"]["endpoints"][0]["relabelings"];
    let node = json!([{"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"}]);
    assert_eq!(*relabelled, node);
}

#[test]
fn the_right_to_read_token_keys_is_there_if_asked_for() {
    let Some(all) = rendered(&[json!({"containerCredentials": {"enabled": true, "issuerDiscovery": true}})]) else {
        return;
    };
    let rules = all[0].of_kind("ClusterRole").unwrap()["rules"].as_array().unwrap();
    assert_eq!(rules[1..], [crate::token_keys()]);
}

#[test]
fn the_values_for_an_uninstall_make_the_agents_take_the_redirect_away() {
    let text = fs::read_to_string(tools::project().join(CHART).join("uninstall-values.yaml")).unwrap();
    let Some(all) = rendered(&[kustomize::objects(&text).remove(0)]) else { return };
    assert!(arguments(all[0].agent()).contains(&"--redirect-on-exit=remove"));
    assert_eq!(all[0].of_kind("DaemonSet").unwrap()["spec"]["updateStrategy"]["type"], "RollingUpdate");
}

#[test]
fn the_notes_name_the_next_steps() {
    let Some(all) = rendered(&[json!({}), json!({"containerCredentials": {"enabled": true}})]) else { return };
    for said in
        ["rollout status daemonset/kube2iam", "iam.amazonaws.com/role: my-role", "explain", "doctor", "uninstall"]
    {
        assert!(all[0].notes.contains(said), "the notes don't say: {said}");
    }
    let label = "kubectl label namespace NAMESPACE kube2iam/container-credentials=enabled";
    assert_eq!([&all[0], &all[1]].map(|one| one.notes.contains(label)), [false, true]);
}
