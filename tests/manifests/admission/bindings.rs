//! Parameters, bindings, the snippet for older clusters, and the chart's copy.

use super::*;

#[test]
fn annotation_port_and_audience_come_from_the_parameters() {
    let Some(mut objects) = component() else { return };
    let parameters = objects.iter_mut().find(|object| object["kind"] == "ConfigMap").unwrap();
    parameters["data"] = json!({"roleKey": "team/role", "port": "8282", "audience": "team"});
    let mut given = plain();
    put(&mut given, "/metadata/annotations", json!({"team/role": "app"}));
    let Some(admitted) = admit(&objects, Mutation::Bound, &[given, plain()]) else { return };
    let [first, second] = [&admitted[0], &admitted[1]].map(|admitted| admitted.as_ref().unwrap());
    assert_eq!(second.pod, plain(), "the default annotation no longer counts");
    let wanted = json!({"containers": [injected("app", "169.254.170.2", 8282)], "volumes": [token_volume("team")]});
    assert_eq!((&first.pod["spec"], &first.faults), (&wanted, &Vec::new()));
}

#[test]
fn the_snippet_of_the_page_for_older_clusters_is_what_the_policies_ask_for() {
    let Some(objects) = component() else { return };
    let page = crate::pages::read("container-credentials.md");
    let templates = page.yaml_blocks().into_iter().filter(|block| block["kind"] == "Deployment");
    let mut count = 0;
    for deployment in templates {
        let template = &deployment["spec"]["template"];
        let given = json!({"metadata": template["metadata"], "spec": template["spec"]});
        let Some(checked) = admitted(&objects, Mutation::Gone, &given) else { return };
        assert_eq!(checked.faults, Vec::<String>::new());
        let mutated = admitted(&objects, Mutation::Bound, &given).unwrap();
        assert_eq!(mutated.pod, given, "the policy adds nothing to it");
        count += 1;
    }
    assert_eq!(count, 1);
}

#[test]
fn the_bindings_name_their_policies_and_take_opted_in_namespaces_only() {
    let Some(objects) = component() else { return };
    let parameters = of_kind(&objects, "ConfigMap");
    let selector = json!({"matchLabels": {"kube2iam/container-credentials": "enabled"}});
    for kind in ["MutatingAdmissionPolicy", "ValidatingAdmissionPolicy"] {
        let (policy, binding) = (of_kind(&objects, kind), of_kind(&objects, &format!("{kind}Binding")));
        assert_eq!(binding["spec"]["policyName"], policy["metadata"]["name"]);
        assert_eq!(binding["spec"]["matchResources"], json!({"namespaceSelector": selector}));
        let paired = json!({
            "name": parameters["metadata"]["name"],
            "namespace": parameters["metadata"]["namespace"],
            "parameterNotFoundAction": "Deny",
        });
        assert_eq!(binding["spec"]["paramRef"], paired);
        assert_eq!(policy["spec"]["paramKind"], json!({"apiVersion": "v1", "kind": "ConfigMap"}));
        assert_eq!(policy["spec"]["failurePolicy"], "Fail");
        let pods = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]});
        assert_eq!(policy["spec"]["matchConstraints"]["resourceRules"], json!([pods]));
    }
    let both = ["MutatingAdmissionPolicy", "ValidatingAdmissionPolicy"].map(|kind| of_kind(&objects, kind));
    assert_eq!(both[0]["spec"]["matchConditions"], both[1]["spec"]["matchConditions"]);
    for name in ["hasRole", "providers"] {
        let [first, second] = both.map(|policy| variable(policy, name));
        assert_eq!(first, second, "one of the policies takes another pod for one with a role");
    }
    assert_eq!(of_kind(&objects, "ValidatingAdmissionPolicyBinding")["spec"]["validationActions"], json!(["Deny"]));
}

#[test]
fn the_chart_makes_the_same_policies_and_its_parameters_follow_its_values() {
    let values = json!({"containerCredentials": {"enabled": true}});
    let other = json!({
        "containerCredentials": {"enabled": true, "audience": "team", "validationActions": ["Warn", "Audit"]},
        "host": {"port": 8282},
        "extraArgs": {"iam-role-key": "team/role"},
    });
    let (Some(objects), Some(charted)) = (component(), chart::objects(&[values, other])) else { return };
    for kind in ["MutatingAdmissionPolicy", "ValidatingAdmissionPolicy", "ConfigMap"] {
        for kind in [kind.to_owned(), format!("{kind}Binding")].iter().filter(|kind| *kind != "ConfigMapBinding") {
            let (ours, theirs) = (of_kind(&objects, kind), of_kind(&charted[0], kind));
            assert_eq!([&ours["spec"], &ours["data"]], [&theirs["spec"], &theirs["data"]], "{kind}");
        }
    }
    let data = &of_kind(&charted[1], "ConfigMap")["data"];
    assert_eq!(*data, json!({"roleKey": "team/role", "port": "8282", "audience": "team"}));
    let binding = of_kind(&charted[1], "ValidatingAdmissionPolicyBinding");
    assert_eq!(binding["spec"]["validationActions"], json!(["Warn", "Audit"]));
}
