use super::*;

fn built(build: &WantedManifests<'_>) -> Vec<Value> {
    build_of(build).unwrap()
}

fn build_of(build: &WantedManifests<'_>) -> Result<Vec<Value>, ManifestsError> {
    super::build(build)
}

fn agent(objects: &[Value]) -> &Value {
    objects.iter().find_map(|object| object.pointer(AGENT)).unwrap()
}

#[test]
fn every_overlay_and_component_can_be_built() {
    let Err(ManifestsError::Unknown { known: overlays, .. }) =
        build_of(&WantedManifests { overlay: Some("no"), ..WantedManifests::default() })
    else {
        panic!("there is no such overlay")
    };
    let Err(ManifestsError::Unknown { known: components, kind }) =
        build_of(&WantedManifests { components: vec!["../base"], ..WantedManifests::default() })
    else {
        panic!("there is no such component")
    };
    assert_eq!(kind, "component");
    assert!(overlays.len() > 5 && components.len() > 5, "{overlays:?} {components:?}");
    for overlay in overlays {
        assert!(
            built(&WantedManifests { overlay: Some(overlay), ..WantedManifests::default() }).len() >= 4,
            "{overlay}"
        );
    }
    for component in components {
        assert!(
            built(&WantedManifests { components: vec![component], ..WantedManifests::default() }).len() >= 4,
            "{component}"
        );
    }
}

#[test]
fn the_image_reaches_every_container_and_flags_only_the_agent() {
    let build = WantedManifests {
        overlay: Some("non-root"),
        image: Some("r.example/k@sha256:ab"),
        flags: vec!["--base-role-arn=arn:aws:iam::1:role/", "--debug"],
        ..WantedManifests::default()
    };
    let objects = built(&build);
    let pod = objects.iter().find_map(|object| object.pointer("/spec/template/spec")).unwrap();
    let first = pod["initContainers"].as_array().unwrap();
    assert!(first.len() == 2 && first.iter().all(|one| one["image"] == "r.example/k@sha256:ab"), "{first:?}");
    assert!(first.iter().all(|one| !one["args"].to_string().contains("--debug")));
    let line = command_line(&objects, |name| format!("<{name}>"));
    assert_eq!(line[0], "--auto-discover-base-arn=false");
    assert!(line.contains(&"--node=<NODE_NAME>".to_owned()), "{line:?}");
    assert_eq!(line[line.len() - 2..], ["--base-role-arn=arn:aws:iam::1:role/", "--debug"]);
    assert_eq!(command_line(&built(&WantedManifests::default()), |_| String::new())[0], "--auto-discover-base-arn");
    assert_eq!(agent(&objects)["image"], "r.example/k@sha256:ab");
}

#[test]
fn an_inapplicable_patch_step_fails() {
    let steps = |text: &str| yaml::read(text).unwrap();
    let fresh = || json!({"a": [1, 2], "b": {"c": "d"}});
    for (step, wanted) in [
        ("[{op: add, path: /a/-, value: '3'}]", Some(json!({"a": [1, 2, "3"], "b": {"c": "d"}}))),
        ("[{op: remove, path: /a/0}]", Some(json!({"a": [2], "b": {"c": "d"}}))),
        ("[{op: replace, path: /a/1, value: e}]", Some(json!({"a": [1, "e"], "b": {"c": "d"}}))),
        ("[{op: replace, path: /a/2, value: e}]", None),
        ("[{op: replace, path: /b/c, value: e}]", Some(json!({"a": [1, 2], "b": {"c": "e"}}))),
        ("[{op: add, path: /b/x~1y, value: z}]", Some(json!({"a": [1, 2], "b": {"c": "d", "x/y": "z"}}))),
        ("[{op: remove, path: /a/2}]", None),
        ("[{op: add, path: /a/0, value: x}]", None),
        ("[{op: remove, path: /b/x}]", None),
        ("[{op: replace, path: /b/x, value: y}]", None),
        ("[{op: test, path: /a/0, value: other}]", None),
        ("[{op: copy, path: /a/0}]", None),
        ("[{op: add, path: /x/y, value: z}]", None),
    ] {
        let mut object = fresh();
        let done = patch::apply(&mut object, &steps(step));
        assert_eq!(done.is_ok().then_some(object), wanted, "{step}");
    }
}

#[test]
fn a_kustomization_sets_namespace_and_image() {
    let objects = built(&WantedManifests::default());
    for object in &objects {
        let is_cluster_wide = CLUSTER_WIDE.iter().any(|kind| object["kind"] == *kind);
        assert_eq!(object["metadata"]["namespace"].is_null(), is_cluster_wide, "{}", object["kind"]);
    }
    assert!(objects.iter().any(|object| object["kind"] == "ClusterRole"));
    let kustomization = documents("base/kustomization.yaml").unwrap().remove(0);
    let image = &kustomization["images"][0];
    let wanted = format!("{}:{}", image["newName"].as_str().unwrap(), image["newTag"].as_str().unwrap());
    assert_eq!(agent(&objects)["image"], wanted.as_str());
}

#[test]
fn lists_without_names_are_replaced_as_a_whole() {
    let mut object = json!({"args": ["--a", "--b"], "env": [{"name": "X", "value": "1"}, {"name": "Y"}]});
    patch::merge(&mut object, &json!({"args": ["--c"], "env": [{"name": "X", "value": "2"}, {"name": "Z"}]}));
    let env = json!([{"name": "Z"}, {"name": "X", "value": "2"}, {"name": "Y"}]);
    assert_eq!(object, json!({"args": ["--c"], "env": env}));
}
