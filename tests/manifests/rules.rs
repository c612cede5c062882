//! What every DaemonSet here promises, as data: a name and a question. Each rule is shown to be able to fail.

use serde_json::{Value, json};

/// A promise and the question whether a DaemonSet keeps it.
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) kept: fn(&Value) -> bool,
}

const fn rule(name: &'static str, kept: fn(&Value) -> bool) -> Rule {
    Rule { name, kept }
}

pub(crate) const RULES: &[Rule] = &[
    rule("never privileged", |set| all(set, "/securityContext/privileged", &json!(false))),
    rule("no way to gain privileges", |set| all(set, "/securityContext/allowPrivilegeEscalation", &json!(false))),
    rule("a root file system that can't be written", |set| {
        all(set, "/securityContext/readOnlyRootFilesystem", &json!(true))
    }),
    rule("every capability dropped", |set| all(set, "/securityContext/capabilities/drop", &json!(["ALL"]))),
    rule("no capability added but NET_ADMIN", |set| {
        added(set).all(|added| added.is_null() || *added == json!(["NET_ADMIN"]))
    }),
    rule("a capability is added to root only, others don't get it", |set| {
        let users = containers(set).map(|container| &container["securityContext"]["runAsUser"]);
        added(set).zip(users).all(|(added, user)| added.is_null() || *user == json!(0))
    }),
    rule("an agent that adds no capability isn't root", |set| {
        let agent = &pod(set)["containers"][0]["securityContext"];
        !agent["capabilities"]["add"].is_null() || agent["runAsNonRoot"] == json!(true)
    }),
    rule("the agents' group, whatever the user: the next agent may be of another", |set| {
        all(set, "/securityContext/runAsGroup", &json!(65532))
    }),
    rule("a state directory, in a directory that an agent which isn't root can use", |set| {
        let prepared = containers(set).any(|container| container["args"] == json!(["state-dir", "/state"]));
        let mounts = |container: &Value| {
            let volumes = container["volumeMounts"].as_array();
            volumes.is_some_and(|mounts| mounts.contains(&json!({"name": "state", "mountPath": "/state"})))
        };
        let agent = &pod(set)["containers"][0];
        let is_root = agent["securityContext"]["runAsUser"] == json!(0);
        argument(set, "--state-dir=/state") && mounts(agent) && (is_root || prepared)
    }),
    rule("the runtime's seccomp profile", |set| {
        all(set, "/securityContext/seccompProfile/type", &json!("RuntimeDefault"))
    }),
    rule("no declared ports, which under hostNetwork stop a surge", |set| all(set, "/ports", &Value::Null)),
    rule("no hooks, the image has nothing to run them", |set| all(set, "/lifecycle", &Value::Null)),
    rule("the node's network, but not its processes", |set| {
        let pod = pod(set);
        pod["hostNetwork"] == json!(true) && pod["hostPID"].is_null() && pod["hostIPC"].is_null()
    }),
    rule("the pods of its own node only", |set| {
        argument(set, "--node=$(NODE_NAME)") && downward(set, "NODE_NAME", "spec.nodeName")
    }),
    rule("the node's address from the node", |set| {
        argument(set, "--host-ip=$(HOST_IP)") && downward(set, "HOST_IP", "status.hostIP")
    }),
    rule("as important as the node", |set| pod(set)["priorityClassName"] == json!("system-node-critical")),
    rule("on every node", |set| pod(set)["tolerations"] == json!([{"operator": "Exists"}])),
    rule("the next one before the last one goes", |set| {
        let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
        set["spec"]["updateStrategy"] == strategy
    }),
    rule("no failure while it starts", |set| {
        let delay = &pod(set)["containers"][0]["startupProbe"]["initialDelaySeconds"];
        probe(set, "startupProbe", "/healthz") && delay.as_u64() > Some(0)
    }),
    rule("alive by /healthz", |set| probe(set, "livenessProbe", "/healthz")),
    rule("ready by /readyz", |set| probe(set, "readinessProbe", "/readyz")),
    rule("memory asked for and bounded, processor time not bounded", |set| {
        containers(set).all(|container| {
            let resources = &container["resources"];
            let limits = &resources["limits"];
            resources["requests"]["memory"].is_string() && limits["memory"].is_string() && limits["cpu"].is_null()
        })
    }),
    rule("no directory of the node but its own", |set| {
        let volumes = pod(set)["volumes"].as_array().unwrap();
        volumes.iter().map(|volume| &volume["hostPath"]["path"]).all(|path| path.is_null() || path == "/run/kube2iam")
    }),
    rule("one image, with a tag", |set| {
        let first = &pod(set)["containers"][0]["image"];
        containers(set).all(|container| container["image"] == *first) && first.as_str().unwrap().contains(':')
    }),
];

/// The names of the rules that `set` breaks.
pub(crate) fn broken(set: &Value) -> Vec<&'static str> {
    RULES.iter().filter(|rule| !(rule.kept)(set)).map(|rule| rule.name).collect()
}

pub(crate) fn pod(set: &Value) -> &Value {
    &set["spec"]["template"]["spec"]
}

/// Init containers first.
pub(crate) fn containers(set: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"].into_iter().filter_map(|key| pod(set)[key].as_array()).flatten()
}

/// The arguments of one container.
pub(crate) fn arguments(container: &Value) -> Vec<&str> {
    container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()).collect()
}

fn all(set: &Value, pointer: &str, wanted: &Value) -> bool {
    containers(set).all(|container| container.pointer(pointer).unwrap_or(&Value::Null) == wanted)
}

fn added(set: &Value) -> impl Iterator<Item = &Value> {
    containers(set).map(|container| &container["securityContext"]["capabilities"]["add"])
}

fn argument(set: &Value, wanted: &str) -> bool {
    arguments(&pod(set)["containers"][0]).contains(&wanted)
}

fn downward(set: &Value, variable: &str, field: &str) -> bool {
    let wanted = json!({"name": variable, "valueFrom": {"fieldRef": {"fieldPath": field}}});
    pod(set)["containers"][0]["env"].as_array().unwrap().contains(&wanted)
}

fn probe(set: &Value, probe: &str, path: &str) -> bool {
    pod(set)["containers"][0][probe]["httpGet"] == json!({"path": path, "port": 8181})
}
