//! What a session carries, and that nobody gets one that was meant for another.

use super::standins::Lab;
use super::standins::Times;
use super::standins::sts::{Call, StsFault};
use super::{BASE, arn, credentials, key_id, pod};

/// The calls for one role.
fn calls(lab: &Lab, role: &str) -> Vec<Call> {
    let arn = arn(role);
    lab.sts.calls().into_iter().filter(|call| call.field("RoleArn") == arn).collect()
}

/// Key and value of each tag, in order.
fn tags(call: &Call) -> Vec<(String, String)> {
    let field = |number: usize, part: &str| call.form.get(&format!("Tags.member.{number}.{part}")).cloned();
    (1..).map_while(|number| Some((field(number, "Key")?, field(number, "Value")?))).collect()
}

#[test]
fn pods_of_a_role_share_a_session_and_what_tells_them_apart_parts_them() {
    let lab = Lab::start();
    let external = "iam.amazonaws.com/external-id";
    for (name, address, pod_spec) in [
        ("a", "127.0.1.1", pod("a", "127.0.1.1", "app")),
        ("b", "127.0.1.2", pod("b", "127.0.1.2", "app")),
        ("c", "127.0.1.3", pod("c", "127.0.1.3", "app").annotation(external, "customer-1")),
        ("d", "127.0.1.4", pod("d", "127.0.1.4", "app").annotation(external, "customer-2")),
        ("e", "127.0.1.5", pod("e", "127.0.1.5", "app").annotation("iam.amazonaws.com/session-name", "me/at home")),
        ("f", "127.0.1.6", pod("f", "127.0.1.6", "app").annotation("iam.amazonaws.com/policy", "{ \"a\": \"b c\" }")),
        (
            "g",
            "127.0.1.7",
            pod("g", "127.0.1.7", "app")
                .annotation("iam.amazonaws.com/policy-arns", "arn:aws:iam::aws:policy/A, arn:aws:iam::aws:policy/B"),
        ),
    ] {
        assert!(!name.is_empty() && !address.is_empty());
        lab.kubernetes.add_pod(pod_spec);
    }
    let agent = lab.agent(&[BASE, "--session-name-annotation"]);
    let keys: Vec<String> = (1..=7).map(|last| key_id(&agent, &format!("127.0.1.{last}"), "app")).collect();
    assert_eq!(keys[0], keys[1]);
    let distinct: std::collections::HashSet<&String> = keys.iter().collect();
    assert_eq!(distinct.len(), 6, "{keys:?}");
    let calls = calls(&lab, "app");
    let said = |field: &str| calls.iter().map(|call| call.field(field).to_owned()).collect::<Vec<_>>();
    assert_eq!(said("ExternalId"), ["", "customer-1", "customer-2", "", "", ""]);
    assert_eq!(said("RoleSessionName")[2..4], ["kube2iam-app", "me-at-home"]);
    assert_eq!(said("Policy")[4], r#"{"a":"b c"}"#);
    assert_eq!(said("PolicyArns.member.2.arn")[5], "arn:aws:iam::aws:policy/B");
    assert!(said("DurationSeconds").iter().all(|seconds| seconds == "3600"));
}

/// A tenant doesn't write the name that CloudTrail and trust policies see, unless the operator lets it.
#[test]
fn a_pod_does_not_name_its_session_unless_it_may() {
    for (flags, name) in [(&[BASE][..], "kube2iam-app"), (&[BASE, "--session-name-annotation"], "admin")] {
        let lab = Lab::start();
        lab.kubernetes.add_pod(pod("a", "127.0.1.1", "app").annotation("iam.amazonaws.com/session-name", "admin"));
        let agent = lab.agent(flags);
        key_id(&agent, "127.0.1.1", "app");
        let names: Vec<String> =
            calls(&lab, "app").iter().map(|call| call.field("RoleSessionName").to_owned()).collect();
        assert_eq!(names, [name], "{flags:?}");
    }
}

#[test]
fn annotations_that_cannot_be_meant_so_are_refused_without_a_call() {
    let lab = Lab::start();
    let refused = [
        ("iam.amazonaws.com/external-id", "x", "external_id_malformed"),
        ("iam.amazonaws.com/external-id", "two words", "external_id_malformed"),
        ("iam.amazonaws.com/policy", "", "policy_malformed"),
        ("iam.amazonaws.com/policy", "s3:GetObject", "policy_malformed"),
        ("iam.amazonaws.com/policy-arns", "ReadOnlyAccess", "policy_arns_malformed"),
    ];
    for (index, (key, value, _)) in refused.iter().enumerate() {
        let address = format!("127.0.1.{}", index + 1);
        lab.kubernetes.add_pod(pod(&format!("p{index}"), &address, "app").annotation(key, value));
    }
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(2_041));
    lab.kubernetes.add_pod(pod("long", "127.0.1.9", "app").annotation("iam.amazonaws.com/policy", &long));
    let agent = lab.agent(&[BASE]);
    for (index, (_, _, reason)) in refused.iter().enumerate() {
        let answer = credentials(&agent, &format!("127.0.1.{}", index + 1), "app");
        assert_eq!((answer.status, answer.text()), (404, format!("{reason}\n")));
    }
    assert_eq!(credentials(&agent, "127.0.1.9", "app").text(), "policy_malformed\n");
    assert_eq!(lab.sts.assumed(&arn("app")), 0);
}

#[test]
fn tags_name_the_pod_and_part_the_sessions() {
    let lab = Lab::start();
    let uid = lab.kubernetes.add_pod(pod("a", "127.0.1.1", "app").service_account("shopkeeper"));
    lab.kubernetes.add_pod(pod("b", "127.0.1.2", "app"));
    let agent = lab.agent(&[
        BASE,
        "--session-tags",
        "--transitive-tags",
        "--cluster-name=blue",
        "--session-name={namespace}-{pod}",
        "--iam-role-session-ttl=15m",
    ]);
    assert_ne!(key_id(&agent, "127.0.1.1", "app"), key_id(&agent, "127.0.1.2", "app"));
    let calls = calls(&lab, "app");
    let expected = [
        ("kubernetes-namespace", "default"),
        ("kubernetes-service-account", "shopkeeper"),
        ("kubernetes-pod-name", "a"),
        ("kubernetes-pod-uid", uid.as_str()),
        ("eks-cluster-name", "blue"),
    ];
    assert_eq!(tags(&calls[0]), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    assert_eq!(calls[0].field("TransitiveTagKeys.member.5"), "eks-cluster-name");
    assert_eq!(calls[0].field("RoleSessionName"), "default-a");
    assert_eq!(calls[0].field("DurationSeconds"), "1800");
}

/// A session without its tags would pass where policies on tags should stop it.
#[test]
fn tags_that_sts_refuses_are_one_warning_and_never_left_out() {
    let lab = Lab::start();
    lab.kubernetes.add_pod(pod("a", "127.0.1.1", "app"));
    let message = "User: arn:aws:sts::123456789012:assumed-role/node-role/i-1 is not authorized to perform: \
                   sts:TagSession on resource: arn:aws:iam::123456789012:role/app";
    let refusal = StsFault::Refuse { status: 403, code: "AccessDenied", message };
    lab.sts.fault(Some(&arn("app")), refusal, Times::Always);
    let agent = lab.agent(&[BASE, "--session-tags", "--iam-role-error-ttl=0"]);
    for _ in 0..3 {
        let answer = credentials(&agent, "127.0.1.1", "app");
        assert_eq!((answer.status, answer.text().as_str()), (403, "tags_refused\n"));
    }
    let calls = calls(&lab, "app");
    assert_eq!(calls.len(), 3);
    assert!(calls.iter().all(|call| tags(call).len() == 4), "{calls:?}");
    agent.wait_for_log("reason=tags_refused");
    let warned = agent.log().iter().filter(|line| line.contains("need sts:TagSession")).count();
    assert_eq!(warned, 1, "{}", agent.log().join("\n"));
}

#[test]
fn accounts_that_are_not_allowed_are_never_assumed_into() {
    let lab = Lab::start();
    let foreign = "arn:aws:iam::210987654321:role/b";
    lab.kubernetes.add_pod(pod("a", "127.0.1.1", "app"));
    lab.kubernetes.add_pod(pod("b", "127.0.1.2", foreign));
    let agent = lab.agent(&[BASE, "--allowed-accounts=123456789012"]);
    key_id(&agent, "127.0.1.1", "app");
    let answer = credentials(&agent, "127.0.1.2", foreign);
    assert_eq!((answer.status, answer.text().as_str()), (403, "account_not_allowed\n"));
    assert_eq!(lab.sts.assumed(foreign), 0);
}

#[test]
fn with_a_role_on_the_way_its_session_assumes_the_pods_roles() {
    let lab = Lab::start();
    lab.kubernetes.add_pod(pod("a", "127.0.1.1", "app"));
    let hop = arn("hop");
    let agent = lab.agent(&[BASE, &format!("--assume-role-arn={hop}")]);
    agent.wait_for_log("assumed by environment variables");
    key_id(&agent, "127.0.1.1", "app");
    let granted = calls(&lab, "hop")[0].granted.clone().unwrap();
    let call = &calls(&lab, "app")[0];
    assert_eq!(call.security_token.as_deref(), Some(granted.session_token.as_str()));
    assert!(call.authorization.as_ref().unwrap().contains(&granted.access_key_id));
    assert_eq!(lab.sts.assumed(&hop), 1);
    lab.assert_log_is_clean(&agent);
}
