//! `kube2iam manifests` prints what `kubectl kustomize` builds from the same.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::rules::{arguments, pod};
use crate::{kustomize, schema_faults, tools};

fn run(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kube2iam")).arg("manifests").args(words).env_clear().output().unwrap()
}

fn printed(words: &[&str]) -> Vec<Value> {
    let output = run(words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    kustomize::objects(&String::from_utf8(output.stdout).unwrap())
}

/// By kind and name: kustomize has an order of its own.
fn sorted(objects: &[Value]) -> Vec<Value> {
    let mut objects = objects.to_vec();
    objects.sort_by_key(|object| format!("{} {}", object["kind"], object["metadata"]["name"]));
    objects
}

#[test]
fn each_overlay_and_each_component_is_as_kubectl_builds_it() {
    let Some(all) = kustomize::every_one() else { return };
    for one in all {
        let words = match (one.name.as_str(), one.name.strip_prefix("base with ")) {
            ("base", _) => vec![],
            (_, Some(component)) => vec![format!("--component={component}")],
            (overlay, None) => vec![format!("--overlay={overlay}")],
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (ours, theirs) = (sorted(&printed(&words)), sorted(&one.objects));
        assert_eq!(ours.len(), theirs.len(), "{}", one.name);
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs, "{}", one.name);
        }
    }
}

#[test]
fn several_components_and_an_image_are_as_kubectl_builds_them() {
    let text = "resources: [manifests/overlays/amazon-vpc-cni]\n\
                components: [manifests/components/events, manifests/components/container-credentials]\n\
                images: [{name: kube2iam, newName: r.example/k, newTag: '7'}]\n";
    let Some(theirs) = kustomize::render_text(text) else { return };
    let words = [
        "--overlay=amazon-vpc-cni",
        "--component=events",
        "--component",
        "container-credentials",
        "--image=r.example/k:7",
    ];
    assert_eq!(sorted(&printed(&words)), sorted(&theirs));
}

#[test]
fn agent_flags_come_behind_its_own_and_a_base_arn_takes_the_place_of_the_discovered_one() {
    let given = ["--base-role-arn=arn:aws:iam::123456789012:role/", "--namespace-restrictions", "--default-role=a b"];
    let refused = run(&["--", given[2]]);
    assert_eq!(refused.status.code(), Some(64), "{refused:?}");
    let objects = printed(&["--", given[0], given[1]]);
    let set = objects.iter().find(|object| object["kind"] == "DaemonSet").unwrap();
    let agent = &pod(set)["containers"][0];
    let words = arguments(agent);
    assert_eq!(words[words.len() - 2..], given[..2]);
    let base = agent["env"].as_array().unwrap().iter().find(|one| one["name"] == "KUBE2IAM_BASE_ARN_FLAG").unwrap();
    assert_eq!(base["value"], json!("--auto-discover-base-arn=false"));
    let Some(python) = tools::python() else { return };
    assert_eq!(schema_faults(&python, objects.iter().map(|object| ("printed", object))), Vec::<String>::new());
}

#[test]
fn what_would_start_no_agent_is_refused_in_one_line() {
    for (words, said) in [
        (&["--overlay=no"][..], "allowed is one of amazon-vpc-cni, bootstrap"),
        (&["--overlay=../base"], "allowed is one of"),
        (&["--component=no"], "allowed is one of"),
        (&["--image=a b"], "REPOSITORY[:TAG][@DIGEST]"),
        (&["--image=-x"], "REPOSITORY[:TAG][@DIGEST]"),
        (&["--debug"], "--debug"),
        (&["--", "--bas-role-arn=x"], "--bas-role-arn"),
        (&["--", "--base-role-arn=x"], "invalid value `x` for `--base-role-arn`"),
        (&["--", "--app-port=9000"], "the manifests' probes"),
        (&["--", "--version"], "they only print"),
    ] {
        let output = run(words);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), errors.lines().count(), output.stdout.len()),
            (Some(64), 1, 0),
            "{words:?} {errors}"
        );
        assert!(errors.contains(said), "{words:?}: {errors}");
    }
}
