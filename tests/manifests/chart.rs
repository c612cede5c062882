//! The chart, rendered and linted by Helm's own library: the same agent as the kustomizations', and kube2iam's names.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::rules::{broken, pod};
use crate::{kustomize, schema_faults, tools};

pub(crate) const CHART: &str = "manifests/chart/kube2iam";
/// Names of kube2iam's values, with its defaults.
const OLD_VALUES: &str = include_str!("kube2iam-defaults.yaml");
/// Names of kube2iam's values that mean nothing here; the values file says why.
const IGNORED: [&str; 2] = ["lifecycle", "podSecurityPolicy"];

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Rendered { files: Map<String, Value>, lint: Vec<String> },
    Refused { refused: String },
}

/// One rendering of the chart.
pub(crate) struct Rendered {
    pub(crate) objects: Vec<Value>,
    pub(crate) notes: String,
}

impl Rendered {
    pub(crate) fn of_kind(&self, kind: &str) -> Option<&Value> {
        self.objects.iter().find(|object| object["kind"] == *kind)
    }

    pub(crate) fn agent(&self) -> &Value {
        &pod(self.of_kind("DaemonSet").unwrap())["containers"][0]
    }
}

/// Renders `cases` of values, having checked lint and schemas; `None` if the test is to be skipped.
fn render(chart: &Path, cases: &[Value]) -> Option<Vec<Rendered>> {
    let python = tools::python()?;
    let rendered: Vec<Rendered> = ask_helm(chart, cases)?.into_iter().map(read).collect();
    let objects = rendered.iter().flat_map(|one| one.objects.iter().map(|object| ("chart", object)));
    assert_eq!(schema_faults(&python, objects), Vec::<String>::new());
    Some(rendered)
}

fn ask_helm(chart: &Path, cases: &[Value]) -> Option<Vec<Answer>> {
    let request = json!({"chart": chart, "cases": cases});
    let answer = tools::run_python(&tools::python()?, "tests/manifests/chart.py", &request.to_string());
    Some(serde_json::from_str(&answer).unwrap())
}

fn read(answer: Answer) -> Rendered {
    let Answer::Rendered { files, lint } = answer else { panic!("refused: {}", refusal(answer)) };
    assert_eq!(lint, Vec::<String>::new());
    let (notes, templates): (Vec<_>, Vec<_>) =
        files.iter().partition(|(path, _)| path.ends_with("/templates/NOTES.txt"));
    let objects = templates.iter().flat_map(|(_, text)| kustomize::objects(text.as_str().unwrap())).collect();
    Rendered { objects, notes: notes[0].1.as_str().unwrap().to_owned() }
}

fn refusal(answer: Answer) -> String {
    let Answer::Refused { refused } = answer else { panic!("it was rendered") };
    refused
}

/// With an image, unless the values name one.
pub(crate) fn rendered(cases: &[Value]) -> Option<Vec<Rendered>> {
    render(&tools::project().join(CHART), &cases.iter().map(with_image).collect::<Vec<_>>())
}

fn with_image(values: &Value) -> Value {
    let mut values = values.clone();
    if values["image"]["repository"].is_null() {
        values["image"]["repository"] = json!("kube2iam");
    }
    values
}

/// Why Helm doesn't render these values; `None` if the test is to be skipped.
pub(crate) fn refused(values: &Value) -> Option<String> {
    let answer = ask_helm(&tools::project().join(CHART), std::slice::from_ref(values))?.remove(0);
    Some(refusal(answer))
}

/// The objects of each case of values.
pub(crate) fn objects(cases: &[Value]) -> Option<Vec<Vec<Value>>> {
    Some(rendered(cases)?.into_iter().map(|one| one.objects).collect())
}

/// The DaemonSet with every value on that gives the agent a flag; `None` if the test is to be skipped.
pub(crate) fn daemon_set_with_every_flag() -> Option<Value> {
    let values = json!({
        "host": {"interface": "eni+,vlan+"},
        "verbose": true,
        "extraArgs": {"events": true, "remove-taint": "key", "service-account-roles": "", "debug": false},
        "containerCredentials": {"enabled": true, "audience": "team"},
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
    for key in ["image", "imagePullPolicy", "resources", "securityContext"] {
        assert_eq!(agent[key], other[key], "{key}");
    }
    // The chart writes the base ARN's argument out.
    let env = other["env"].as_array().unwrap().iter().filter(|one| one["name"] != "KUBE2IAM_BASE_ARN_FLAG");
    assert_eq!(agent["env"], env.cloned().collect::<Value>());
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
    tools::run(Command::new("cp").arg("-rL").arg(tools::project().join(CHART)).arg(&chart)).unwrap();
    fs::write(chart.join("values.yaml"), OLD_VALUES).unwrap();
    let image = json!({"repository": "r/kube2iam", "tag": "0.1.0"});
    // kube2iam's chart until April 2026, and since.
    let newer = json!({"image": image, "nameOverride": "kube2iam-chart", "global": {"imagePullSecrets": ["s"]}});
    let Some(all) = render(&chart, &[json!({"image": image}), newer]) else { return };
    let set = all[0].of_kind("DaemonSet").unwrap();
    let chosen_by_the_old_values = [
        "as important as the node",
        "on every node",
        "the next one before the last one goes",
        "memory asked for and bounded, processor time not bounded",
    ];
    let left: Vec<&str> = broken(set).into_iter().filter(|name| !chosen_by_the_old_values.contains(name)).collect();
    assert_eq!(left, Vec::<&str>::new());
    let selector = json!({"app.kubernetes.io/name": "kube2iam", "app.kubernetes.io/instance": "kube2iam"});
    assert_eq!(set["spec"]["selector"]["matchLabels"], selector, "a selector can't be changed by an upgrade");
    let renamed = "set nameOverride=kube2iam-chart";
    for said in ["`lifecycle` is ignored", "host.iptables is false", "host.interface is docker0", renamed] {
        assert!(all[0].notes.contains(said), "the notes don't say: {said}");
    }
    let newer = all[1].of_kind("DaemonSet").unwrap();
    assert_eq!(newer["metadata"]["name"], "kube2iam-kube2iam-chart");
    let selector = json!({"app.kubernetes.io/name": "kube2iam-chart", "app.kubernetes.io/instance": "kube2iam"});
    assert_eq!(newer["spec"]["selector"]["matchLabels"], selector);
    assert_eq!(pod(newer)["imagePullSecrets"], json!([{"name": "s"}]));
    assert!(!all[1].notes.contains(renamed));
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
