//! The admission policies of container credentials: their expressions are evaluated over pods by Google's own CEL, and
//! the objects around them must fit each other. No API server: what only one can tell is not shown here.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{chart, kustomize, put, tools};

const NAME: &str = "kube2iam-container-credentials";
const URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const RELATIVE_URI: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";

/// What the policies make of a pod that they match.
#[derive(Deserialize)]
struct Admitted {
    pod: Value,
    faults: Vec<String>,
}

/// Whether the mutating policy is bound.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mutation {
    Bound,
    Gone,
}

/// The objects of the component; `None` if the test is to be skipped.
fn component() -> Option<Vec<Value>> {
    let all = kustomize::every_one()?;
    Some(all.iter().find(|one| one.name == "base with container-credentials").unwrap().objects.clone())
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == *kind && object["metadata"]["name"] == NAME).unwrap()
}

fn variable<'a>(policy: &'a Value, name: &str) -> &'a Value {
    let variables = policy["spec"]["variables"].as_array().unwrap();
    &variables.iter().find(|variable| variable["name"] == *name).unwrap()["expression"]
}

fn admit(objects: &[Value], mutation: Mutation, pods: &[Value]) -> Option<Vec<Option<Admitted>>> {
    admit_to(&json!({}), objects, mutation, pods)
}

/// To a namespace with these annotations.
fn admit_to(namespace: &Value, objects: &[Value], mutation: Mutation, pods: &[Value]) -> Option<Vec<Option<Admitted>>> {
    let python = tools::python()?;
    let kinds = ["ConfigMap", "MutatingAdmissionPolicy", "ValidatingAdmissionPolicy"];
    let objects = kinds.map(|kind| of_kind(objects, kind));
    let request = json!({
        "objects": objects,
        "namespace": namespace,
        "mutate": mutation == Mutation::Bound,
        "pods": pods,
    });
    let answer = tools::run_python(&python, "tests/manifests/admission.py", &request.to_string());
    Some(serde_json::from_str(&answer).unwrap())
}

/// One pod that the policies must match.
fn admitted(objects: &[Value], mutation: Mutation, pod: &Value) -> Option<Admitted> {
    Some(admit(objects, mutation, std::slice::from_ref(pod))?.remove(0).expect("the policies match the pod"))
}

fn pod(spec: Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web-1", "namespace": "shop", "annotations": {"iam.amazonaws.com/role": "app"}},
        "spec": spec,
    })
}

fn container(name: &str) -> Value {
    json!({"name": name, "image": "app"})
}

fn plain() -> Value {
    pod(json!({"containers": [container("app")]}))
}

/// What the mutation adds to a container.
fn injected(name: &str, host: &str, port: u16) -> Value {
    json!({
        "name": name,
        "image": "app",
        "env": [
            {"name": URI, "value": format!("http://{host}:{port}/v1/credentials")},
            {"name": TOKEN_FILE, "value": "/var/run/secrets/kube2iam/token"},
        ],
        "volumeMounts": [{"name": "kube2iam-token", "mountPath": "/var/run/secrets/kube2iam", "readOnly": true}],
    })
}

fn token_volume(audience: &str) -> Value {
    let token = json!({"audience": audience, "expirationSeconds": 3600, "path": "token"});
    json!({"name": "kube2iam-token", "projected": {"sources": [{"serviceAccountToken": token}]}})
}

#[test]
fn every_container_of_a_pod_with_a_role_gets_variables_mount_and_token() {
    let Some(objects) = component() else { return };
    let sidecar = json!({"name": "proxy", "image": "app", "restartPolicy": "Always"});
    let mut injected_sidecar = injected("proxy", "169.254.170.2", 8181);
    injected_sidecar["restartPolicy"] = json!("Always");
    let other = json!({"name": "data", "emptyDir": {}});
    for (given, wanted) in [
        (
            json!({"containers": [container("app")]}),
            json!({"containers": [injected("app", "169.254.170.2", 8181)], "volumes": [token_volume("kube2iam")]}),
        ),
        (
            json!({"hostNetwork": true, "containers": [container("a"), container("b")], "volumes": [other]}),
            json!({
                "hostNetwork": true,
                "containers": [injected("a", "127.0.0.1", 8181), injected("b", "127.0.0.1", 8181)],
                "volumes": [other, token_volume("kube2iam")],
            }),
        ),
        (
            json!({"initContainers": [container("first"), sidecar], "containers": [container("app")]}),
            json!({
                "initContainers": [injected("first", "169.254.170.2", 8181), injected_sidecar],
                "containers": [injected("app", "169.254.170.2", 8181)],
                "volumes": [token_volume("kube2iam")],
            }),
        ),
    ] {
        let Some(admitted) = admitted(&objects, Mutation::Bound, &pod(given)) else { return };
        assert_eq!(admitted.pod["spec"], wanted);
        assert_eq!(admitted.faults, Vec::<String>::new());
    }
}

#[test]
fn a_provider_of_the_pods_own_is_left_as_it_is() {
    let Some(objects) = component() else { return };
    let source = json!({"secretKeyRef": {"name": "provider", "key": "uri"}});
    for variable in [
        json!({"name": URI, "value": "http://169.254.170.23/v1/credentials"}),
        json!({"name": URI, "valueFrom": source}),
        json!({"name": RELATIVE_URI, "value": "/v2/credentials"}),
    ] {
        let own = json!({"name": "own", "image": "app", "env": [variable]});
        let alone = pod(json!({"containers": [own]}));
        let both = pod(json!({"initContainers": [own], "containers": [own, container("app")]}));
        let Some(after) = admit(&objects, Mutation::Bound, &[alone.clone(), both]) else { return };
        let [alone_after, both_after] = [&after[0], &after[1]].map(|after| after.as_ref().unwrap());
        assert_eq!((&alone_after.pod, &alone_after.faults), (&alone, &Vec::new()));
        let spec = &both_after.pod["spec"];
        assert_eq!(spec["containers"], json!([own, injected("app", "169.254.170.2", 8181)]));
        assert_eq!([&spec["initContainers"], &spec["volumes"]], [&json!([own]), &json!([token_volume("kube2iam")])]);
        assert_eq!(both_after.faults, Vec::<String>::new());
    }
}

/// A mutation by others makes the API server call the policy again.
#[test]
fn a_second_mutation_changes_nothing_and_keeps_what_the_container_had() {
    let Some(objects) = component() else { return };
    let mut given = plain();
    put(&mut given, "/spec/containers/0/env", json!([{"name": "A", "value": "b"}]));
    put(&mut given, "/spec/containers/0/volumeMounts", json!([{"name": "data", "mountPath": "/data"}]));
    let Some(once) = admitted(&objects, Mutation::Bound, &given) else { return };
    let agent = &once.pod["spec"]["containers"][0];
    assert_eq!([&agent["env"][0]["name"], &agent["volumeMounts"][0]["name"]], ["A", "data"]);
    assert_eq!([agent["env"].as_array().unwrap().len(), agent["volumeMounts"].as_array().unwrap().len()], [3, 2]);
    let twice = admitted(&objects, Mutation::Bound, &once.pod).unwrap();
    assert_eq!((twice.pod, twice.faults), (once.pod, Vec::new()));
}

#[test]
fn pods_without_a_role_and_mirror_pods_are_not_touched_and_a_label_stands_for_a_role() {
    let Some(objects) = component() else { return };
    let annotated = |annotations: Value| {
        let mut pod = plain();
        put(&mut pod, "/metadata/annotations", annotations);
        pod
    };
    let labelled = |value: &str| {
        let mut pod = plain();
        pod["metadata"] = json!({"name": "web-1", "labels": {"kube2iam/container-credentials": value}});
        pod
    };
    let mut bare = plain();
    bare["metadata"] = json!({"name": "web-1"});
    let mirror = json!({"iam.amazonaws.com/role": "app", "kubernetes.io/config.mirror": "hash"});
    let empty = annotated(json!({"iam.amazonaws.com/role": ""}));
    let (none, default) = (json!({}), json!({"iam.amazonaws.com/default-role": "app"}));
    for (namespace, pod, is_touched) in [
        (&none, plain(), true),
        (&none, labelled("enabled"), true),
        (&none, labelled("disabled"), false),
        (&none, bare.clone(), false),
        (&none, annotated(json!({})), false),
        (&none, empty.clone(), false),
        (&none, annotated(mirror.clone()), false),
        (&default, bare.clone(), true),
        (&default, annotated(json!({"other": "x"})), true),
        // An empty annotation means no role, as it does to the agent.
        (&default, empty, false),
        (&default, annotated(mirror), false),
        (&json!({"iam.amazonaws.com/default-role": ""}), bare.clone(), false),
        (&json!({"iam.amazonaws.com/allowed-roles": "[\"app\"]"}), bare, false),
    ] {
        for mutation in [Mutation::Bound, Mutation::Gone] {
            let pods = std::slice::from_ref(&pod);
            let Some(mut admitted) = admit_to(namespace, &objects, mutation, pods) else { return };
            let after = admitted.remove(0).unwrap_or_else(|| Admitted { pod: pod.clone(), faults: Vec::new() });
            let is_bound = mutation == Mutation::Bound;
            assert_eq!(after.pod != pod, is_touched && is_bound, "{namespace} {pod}");
            assert_eq!(after.faults.len(), usize::from(is_touched && !is_bound), "{namespace} {pod}");
        }
    }
}

#[test]
fn a_pod_that_would_not_get_its_credentials_this_way_is_refused_with_the_cause() {
    let Some(objects) = component() else { return };
    let Some(whole) = admitted(&objects, Mutation::Bound, &plain()) else { return };
    let broken = |pointer: &str, value: Value| {
        let mut pod = whole.pod.clone();
        put(&mut pod, pointer, value);
        pod
    };
    let uri = |uri: &str| broken("/spec/containers/0/env/0/value", json!(uri));
    let variables = |more: Value| {
        let mut pod = whole.pod.clone();
        pod["spec"]["containers"][0]["env"].as_array_mut().unwrap().push(more);
        pod
    };
    let only = |variable: Value| broken("/spec/containers/0/env", json!([variable]));
    let (lacks, elsewhere) = ("a container lacks AWS_CONTAINER", "is none of http");
    let (token, empty, relative) =
        ("in a volume that the container mounts", "of a container is empty", "SDKs prefer its");
    let token_source = |key: &str| format!("/spec/volumes/0/projected/sources/0/serviceAccountToken/{key}");
    let mount = |key: &str| format!("/spec/containers/0/volumeMounts/0/{key}");
    let other_source = json!({"serviceAccountToken": {"audience": "other", "path": "token"}});
    let two_tokens = json!([other_source, {"serviceAccountToken": {"audience": "kube2iam", "path": "agents"}}]);
    let cases = [
        (whole.pod.clone(), None),
        (plain(), Some(lacks)),
        (broken("/spec/initContainers", json!([container("first")])), Some(lacks)),
        (uri("http://169.254.170.2:8282/v1/credentials"), Some(elsewhere)),
        (uri("http://169.254.170.2:8181/"), Some(elsewhere)),
        (uri("http://169.254.170.23/v1/credentials"), None),
        (uri(""), Some(empty)),
        (only(json!({"name": URI})), Some(empty)),
        (only(json!({"name": RELATIVE_URI, "value": ""})), Some(empty)),
        (variables(json!({"name": URI, "value": ""})), Some(empty)),
        (variables(json!({"name": RELATIVE_URI, "value": "/v2/credentials"})), Some(relative)),
        (broken("/spec/containers/0/env/1/name", json!("OTHER")), Some(token)),
        (broken("/spec/containers/0/env/1/value", json!("/elsewhere/token")), Some(token)),
        (broken("/spec/containers/0/env/1/value", json!("/var/run/secrets/kube2iamX/token")), Some(token)),
        (broken("/spec/containers/0/env/1/value", json!("/var/run/secrets/kube2iam/other")), Some(token)),
        (broken("/spec/containers/0/volumeMounts", json!([])), Some(token)),
        (broken(&mount("name"), json!("data")), Some(token)),
        (broken(&mount("subPath"), json!("token")), Some(token)),
        (broken(&mount("subPathExpr"), json!("$(POD)")), Some(token)),
        (broken(&mount("mountPath"), json!("/var/run/secrets/kube2iam/")), None),
        (broken("/spec/volumes", json!([])), Some(token)),
        (broken(&token_source("audience"), json!("other")), Some(token)),
        (broken(&token_source("path"), json!("kube2iam/token")), Some(token)),
        (broken("/spec/volumes/0/projected/sources", two_tokens), Some(token)),
        (broken("/spec/volumes/0", json!({"name": "kube2iam-token", "emptyDir": {}})), Some(token)),
    ];
    let pods: Vec<Value> = cases.iter().map(|(pod, _)| pod.clone()).collect();
    let admitted = admit(&objects, Mutation::Gone, &pods).unwrap();
    for (admitted, (pod, fault)) in admitted.into_iter().zip(cases) {
        let faults = admitted.expect("the policies match the pod").faults;
        assert_eq!(faults.len(), usize::from(fault.is_some()), "{faults:?} for {pod}");
        assert!(fault.is_none_or(|fault| faults[0].contains(fault)), "{faults:?} for {pod}");
        assert!(faults.iter().all(|fault| !fault.contains('\n')), "the API server takes no message of several lines");
    }
}

mod bindings;
