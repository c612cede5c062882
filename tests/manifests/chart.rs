//! The chart, rendered and linted by Helm's own library: the same agent as the kustomizations', and kube2iam's names.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::rules::{arguments, broken, pod};
use crate::{kustomize, schema_faults, tools};

const CHART: &str = "manifests/chart/kube2iam";
/// Names of kube2iam's values, with its defaults.
const OLD_VALUES: &str = include_str!("kube2iam-defaults.yaml");
/// Names of kube2iam's values that mean nothing here; the values file says why.
const IGNORED: [&str; 2] = ["lifecycle", "podSecurityPolicy"];

#[derive(Deserialize)]
struct Answer {
    files: Map<String, Value>,
    lint: Vec<String>,
}

/// One rendering of the chart.
struct Rendered {
    objects: Vec<Value>,
    notes: String,
}

impl Rendered {
    fn of_kind(&self, kind: &str) -> Option<&Value> {
        self.objects.iter().find(|object| object["kind"] == *kind)
    }

    fn agent(&self) -> &Value {
        &pod(self.of_kind("DaemonSet").unwrap())["containers"][0]
    }
}

/// Renders `cases` of values, having checked lint and schemas; `None` if the test is to be skipped.
fn render(chart: &Path, cases: &[Value]) -> Option<Vec<Rendered>> {
    let python = tools::python()?;
    let request = json!({"chart": chart, "cases": cases});
    let answer = tools::run_python(&python, "tests/manifests/chart.py", &request.to_string());
    let answers: Vec<Answer> = serde_json::from_str(&answer).unwrap();
    let rendered: Vec<Rendered> = answers.into_iter().map(read).collect();
    let objects = rendered.iter().zip(cases).flat_map(|(one, _)| one.objects.iter().map(|object| ("chart", object)));
    assert_eq!(schema_faults(&python, objects), Vec::<String>::new());
    Some(rendered)
}

fn read(answer: Answer) -> Rendered {
    assert_eq!(answer.lint, Vec::<String>::new());
    let (notes, templates): (Vec<_>, Vec<_>) =
        answer.files.iter().partition(|(path, _)| path.ends_with("/templates/NOTES.txt"));
    let objects = templates.iter().flat_map(|(_, text)| kustomize::objects(text.as_str().unwrap())).collect();
    Rendered { objects, notes: notes[0].1.as_str().unwrap().to_owned() }
}

fn rendered(cases: &[Value]) -> Option<Vec<Rendered>> {
    render(&tools::project().join(CHART), cases)
}

/// The DaemonSet with every value on that gives the agent a flag; `None` if the test is to be skipped.
pub(crate) fn daemon_set_with_every_flag() -> Option<Value> {
    let values = json!({
        "host": {"interface": "eni+,vlan+"},
        "verbose": true,
        "extraArgs": {"events": true, "remove-taint": "key", "service-account-roles": "", "debug": false},
    });
    Some(rendered(&[values])?[0].of_kind("DaemonSet").unwrap().clone())
}

#[test]
fn the_chart_by_itself_keeps_every_rule_and_is_the_agent_of_the_base() {
    let (Some(all), Some(kustomized)) = (rendered(&[json!({})]), kustomize::every_one()) else { return };
    let set = all[0].of_kind("DaemonSet").unwrap();
    assert_eq!(broken(set), Vec::<&str>::new());
    let base = kustomized[0].of_kind("DaemonSet");
    for key in ["hostNetwork", "dnsPolicy", "enableServiceLinks", "terminationGracePeriodSeconds", "nodeSelector"] {
        assert_eq!(pod(set)[key], pod(base)[key], "{key}");
    }
    let (agent, other) = (all[0].agent(), &pod(base)["containers"][0]);
    for key in ["image", "imagePullPolicy", "env", "resources", "securityContext"] {
        assert_eq!(agent[key], other[key], "{key}");
    }
    for (list, key) in [(pod(set), "volumes"), (agent, "volumeMounts")] {
        let same = if key == "volumes" { pod(base) } else { other };
        let (mut these, mut those) = (list[key].as_array().unwrap().clone(), same[key].as_array().unwrap().clone());
        for entries in [&mut these, &mut those] {
            entries.sort_by_key(|entry| entry["name"].to_string());
        }
        assert_eq!(these, those, "{key}");
    }
    assert_eq!(set["spec"]["minReadySeconds"], base["spec"]["minReadySeconds"]);
    let read = &all[0].of_kind("ClusterRole").unwrap()["rules"];
    assert_eq!(*read, kustomized[0].of_kind("ClusterRole")["rules"]);
}

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
        (json!({"host": {"ip": "10.0.0.1"}}), format!("{agent}/args/1"), json!("--host-ip=10.0.0.1")),
        (json!({"host": {"interface": "cali+"}}), format!("{agent}/args/7"), json!("--host-interface=cali+")),
        (json!({"host": {"iptables": false}}), format!("{agent}/args/6"), json!("--iptables=false")),
        (
            json!({"host": {"iptables": false}}),
            format!("{agent}/securityContext/capabilities"),
            json!({"drop": ["ALL"]}),
        ),
        (json!({"host": {"port": 8282}}), format!("{agent}/args/2"), json!("--app-port=8282")),
        (json!({"host": {"port": 8282}}), format!("{agent}/livenessProbe/httpGet/port"), json!(8282)),
        (json!({"host": {"port": 8282}}), format!("{agent}/args/3"), json!("--metrics-port=8282")),
        (json!({"image": {"repository": "r/k", "tag": "7"}}), format!("{agent}/image"), json!("r/k:7")),
        (json!({"image": {"pullPolicy": "Always"}}), format!("{agent}/imagePullPolicy"), json!("Always")),
        (json!({"image": {"pullSecrets": ["s"]}}), format!("{set}/imagePullSecrets/0/name"), json!("s")),
        (json!({"livenessProbe": probe}), format!("{agent}/livenessProbe/failureThreshold"), json!(9)),
        (json!({"readinessProbe": {"enabled": false}}), format!("{agent}/readinessProbe"), Value::Null),
        (json!({"nodeSelector": {"a": "b"}}), format!("{set}/nodeSelector/a"), json!("b")),
        (json!({"podAnnotations": {"a": "b"}}), "/spec/template/metadata/annotations/a".to_owned(), json!("b")),
        (json!({"podLabels": {"a": "b"}}), "/spec/template/metadata/labels/a".to_owned(), json!("b")),
        (json!({"priorityClassName": "p"}), format!("{set}/priorityClassName"), json!("p")),
        (json!({"prometheus": {"metricsPort": 9543}}), format!("{agent}/args/3"), json!("--metrics-port=9543")),
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
        (json!({"verbose": true}), format!("{agent}/args/7"), json!("--verbose")),
        (json!({"nameOverride": "n"}), "/metadata/name".to_owned(), json!("kube2iam-n")),
        (json!({"fullnameOverride": "n"}), "/metadata/name".to_owned(), json!("n")),
    ];
    let values: Vec<Value> = cases.iter().map(|(values, _, _)| values.clone()).collect();
    let Some(all) = rendered(&values) else { return };
    for (one, (values, pointer, wanted)) in all.iter().zip(&cases) {
        let found = one.of_kind("DaemonSet").unwrap().pointer(pointer).unwrap_or(&Value::Null);
        assert_eq!(found, wanted, "{pointer} with {values}");
    }
}

fn surge(unavailable: Value, surge: u8) -> Value {
    json!({"maxUnavailable": unavailable, "maxSurge": surge})
}

#[test]
fn extra_args_become_flags_and_numbers_stay_whole() {
    let given = json!({"a": "", "b": null, "c": true, "d": false, "e": 0, "f": "x y", "g": [210_987_654_321_f64, "h"]});
    let wanted = ["--a", "--b", "--c=true", "--d=false", "--e=0", "--f=x y", "--g=210987654321", "--g=h"];
    let Some(all) = rendered(&[json!({"extraArgs": given})]) else { return };
    assert_eq!(arguments(all[0].agent())[7..], wanted);
}

#[test]
fn rights_follow_the_flags_that_need_them() {
    let cases = [
        (json!({}), json!([])),
        (json!({"events": true}), json!([["events"]])),
        (json!({"events": false}), json!([])),
        (json!({"remove-taint": "key"}), json!([["nodes"]])),
        (json!({"service-account-roles": ""}), json!([["serviceaccounts"]])),
    ];
    let values: Vec<Value> = cases.iter().map(|(extra, _)| json!({"extraArgs": extra})).collect();
    let Some(all) = rendered(&values) else { return };
    for (one, (_, wanted)) in all.iter().zip(&cases) {
        let rules = one.of_kind("ClusterRole").unwrap()["rules"].as_array().unwrap();
        assert_eq!(rules[0]["resources"], json!(["pods", "namespaces"]));
        assert_eq!(json!(rules[1..].iter().map(|rule| &rule["resources"]).collect::<Vec<_>>()), *wanted);
    }
}

#[test]
fn what_is_made_beside_the_agent_follows_the_values() {
    let keys = json!({"aws": {"access_key": "AKIA", "secret_key": "s"}});
    let other = json!({"aws": {"access_key": "AKIA", "secret_key": "s"}, "existingSecret": "mine"});
    let cases = [
        (json!({}), vec!["ClusterRole", "ClusterRoleBinding", "DaemonSet", "ServiceAccount"]),
        (json!({"rbac": {"create": false}}), vec!["DaemonSet"]),
        (json!({"serviceAccount": {"create": false}}), vec!["ClusterRole", "ClusterRoleBinding", "DaemonSet"]),
        (keys, vec!["ClusterRole", "ClusterRoleBinding", "DaemonSet", "Secret", "ServiceAccount"]),
        (other, vec!["ClusterRole", "ClusterRoleBinding", "DaemonSet", "ServiceAccount"]),
        (
            json!({"prometheus": {"service": {"enabled": true}}, "rbac": {"create": false}}),
            vec!["DaemonSet", "Service"],
        ),
        (
            json!({"prometheus": {"metricsPort": 1, "serviceMonitor": {"enabled": true}}, "rbac": {"create": false}}),
            vec!["DaemonSet", "Service", "ServiceMonitor"],
        ),
    ];
    let values: Vec<Value> = cases.iter().map(|(values, _)| values.clone()).collect();
    let Some(all) = rendered(&values) else { return };
    for (one, (values, wanted)) in all.iter().zip(&cases) {
        let mut kinds: Vec<&str> = one.objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, *wanted, "with {values}");
    }
    let scraped = |kind, pointer| all[6].of_kind(kind).unwrap().pointer(pointer).unwrap();
    assert_eq!(scraped("Service", "/spec/ports/0/name"), scraped("ServiceMonitor", "/spec/endpoints/0/port"));
}

#[test]
fn every_name_of_kube2iams_values_is_known() {
    let here = fs::read_to_string(tools::project().join(CHART).join("values.yaml")).unwrap();
    let (here, old) = (kustomize::objects(&here).remove(0), kustomize::objects(OLD_VALUES).remove(0));
    let unknown = |path: &String| here.pointer(path).is_none();
    let lost: Vec<String> = names(&old, "").into_iter().filter(unknown).collect();
    let ignored = |path: &String| IGNORED.iter().any(|name| path.starts_with(&format!("/{name}")));
    assert!(lost.iter().all(ignored), "{lost:?}");
}

fn names(values: &Value, under: &str) -> Vec<String> {
    let Some(map) = values.as_object() else { return Vec::new() };
    let below = |(name, value): (&String, &Value)| {
        let path = format!("{under}/{name}");
        let deeper = names(value, &path);
        std::iter::once(path).chain(deeper)
    };
    map.iter().flat_map(below).collect()
}

/// `--reuse-values` takes the old release's values, defaults included, for all there are: whatever is new here is absent.
#[test]
fn a_release_of_kube2iams_chart_upgrades_with_its_own_values() {
    let chart = tools::empty_dir(&format!("reused-{}", std::process::id())).join("kube2iam");
    tools::run(Command::new("cp").arg("-r").arg(tools::project().join(CHART)).arg(&chart)).unwrap();
    fs::write(chart.join("values.yaml"), OLD_VALUES).unwrap();
    let Some(all) = render(&chart, &[json!({"image": {"repository": "r/kube2iam", "tag": "0.1.0"}})]) else { return };
    let set = all[0].of_kind("DaemonSet").unwrap();
    let chosen_by_the_old_values = [
        "an agent that adds no capability isn't root",
        "as important as the node",
        "on every node",
        "the next one before the last one goes",
        "memory asked for and bounded, processor time not bounded",
    ];
    let left: Vec<&str> = broken(set).into_iter().filter(|name| !chosen_by_the_old_values.contains(name)).collect();
    assert_eq!(left, Vec::<&str>::new());
    let selector = json!({"app.kubernetes.io/name": "kube2iam", "app.kubernetes.io/instance": "kube2iam"});
    assert_eq!(set["spec"]["selector"]["matchLabels"], selector, "a selector can't be changed by an upgrade");
    for said in ["`lifecycle` is ignored", "host.iptables is false", "host.interface is docker0"] {
        assert!(all[0].notes.contains(said), "the notes don't say: {said}");
    }
}

#[test]
fn one_version_is_named_everywhere() {
    let version = env!("CARGO_PKG_VERSION");
    let read = |path: &str| fs::read_to_string(tools::project().join(path)).unwrap();
    let chart = kustomize::objects(&read(&format!("{CHART}/Chart.yaml"))).remove(0);
    assert_eq!([&chart["version"], &chart["appVersion"]], [version, version]);
    for kustomization in ["base", "overlays/non-root"] {
        let read = kustomize::objects(&read(&format!("manifests/{kustomization}/kustomization.yaml"))).remove(0);
        assert_eq!(read["images"][0]["newTag"], version, "{kustomization}");
    }
    let image = format!("ARG VERSION={version}\n");
    assert!(read("Dockerfile.scratch").contains(&image));
    let newest = read("CHANGELOG.md").lines().find_map(|line| line.strip_prefix("## ").map(str::to_owned)).unwrap();
    assert_eq!(newest.split(' ').next(), Some(version));
}
