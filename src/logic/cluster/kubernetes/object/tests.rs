use super::*;
use crate::logic::cluster::kubernetes::ObjectIdentity;

pub(in crate::logic::cluster::kubernetes) fn keys() -> AnnotationKeys {
    AnnotationKeys {
        role: "iam.amazonaws.com/role".to_owned(),
        external_id: "iam.amazonaws.com/external-id".to_owned(),
        allowed_roles: "iam.amazonaws.com/allowed-roles".to_owned(),
    }
}

fn read_pod(json: &str) -> Result<Pod, String> {
    match object(json, Resource::Pods, &keys()) {
        Ok((Object::Pod(pod), _)) => Ok(pod),
        Ok((other, _)) => Err(format!("{other:?}")),
        Err(unreadable) => Err(unreadable.why),
    }
}

/// A pod with additional `metadata`, `spec` and `status`.
fn pod_json(metadata: &str, spec: &str, status: &str) -> String {
    format!(
        r#"{{"metadata":{{"uid":"u","namespace":"n","name":"p","resourceVersion":"7"{metadata}}},"spec":{spec},"status":{status}}}"#
    )
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn addresses_are_parsed_from_both_fields() {
    for (status, expected) in [
        (r#"{"podIP":"10.0.0.1"}"#, &["10.0.0.1"][..]),
        (r#"{"podIP":"10.0.0.1","podIPs":[]}"#, &["10.0.0.1"]),
        (r#"{"podIP":"10.0.0.1","podIPs":null}"#, &["10.0.0.1"]),
        (r#"{"podIP":"10.0.0.1","podIPs":[{"ip":"10.0.0.1"},{"ip":"fd00::1"}]}"#, &["10.0.0.1", "fd00::1"]),
        (r#"{"podIP":"10.0.0.9","podIPs":[{"ip":"10.0.0.1"}]}"#, &["10.0.0.1"]),
        (r#"{"podIP":"10.0.0.1","podIPs":[{"ip":"::ffff:10.0.0.1"},{"ip":"10.0.0.1"}]}"#, &["10.0.0.1"]),
        (r#"{"podIPs":[{"ip":"010.0.0.1"},{"ip":"fe80::1%eth0"},{"ip":""},{},{"ip":"10.0.0.2"}]}"#, &["10.0.0.2"]),
        (r#"{"podIP":"not an address"}"#, &[]),
        (r#"{"podIP":""}"#, &[]),
        ("{}", &[]),
        ("null", &[]),
    ] {
        let pod = read_pod(&pod_json("", "null", status)).unwrap();
        assert_eq!(pod.addresses, addresses(expected), "{status}");
    }
}

#[test]
fn flags_follow_phase_spec_and_deletion() {
    for (metadata, spec, status, expected) in [
        ("", "{}", r#"{"phase":"Running"}"#, (false, false, false)),
        ("", "{}", r#"{"phase":"Succeeded"}"#, (true, false, false)),
        ("", "{}", r#"{"phase":"Failed"}"#, (true, false, false)),
        ("", "{}", r#"{"phase":"Evicted?"}"#, (false, false, false)),
        ("", r#"{"hostNetwork":true}"#, "{}", (false, true, false)),
        ("", r#"{"hostNetwork":null}"#, "{}", (false, false, false)),
        (r#","deletionTimestamp":"2026-11-23T02:58:21Z""#, "{}", "{}", (false, false, true)),
        (r#","deletionTimestamp":null"#, "{}", "{}", (false, false, false)),
    ] {
        let pod = read_pod(&pod_json(metadata, spec, status)).unwrap();
        assert_eq!((pod.finished, pod.host_network, pod.deleting), expected, "{metadata} {spec} {status}");
    }
}

#[test]
fn only_wanted_annotations_are_kept() {
    for (annotations, role, external_id, v2) in [
        ("{}", None, None, false),
        ("null", None, None, false),
        (r#"{"iam.amazonaws.com/role":""}"#, Some(""), None, false),
        (r#"{"iam.amazonaws.com/role":"a/b","x":"y"}"#, Some("a/b"), None, false),
        (r#"{"iam.amazonaws.com\/rol\u0065":"a\"b"}"#, Some("a\"b"), None, false),
        (r#"{"x":{"deep":[1,2]},"iam.amazonaws.com/external-id":"e"}"#, None, Some("e"), false),
        (r#"{"iam.amazonaws.com/imds-v2":"required"}"#, None, None, true),
        (r#"{"iam.amazonaws.com/imds-v2":" Required "}"#, None, None, true),
        (r#"{"iam.amazonaws.com/imds-v2":"optional"}"#, None, None, false),
    ] {
        let pod = read_pod(&pod_json(&format!(r#","annotations":{annotations}"#), "{}", "{}")).unwrap();
        assert_eq!((pod.role.as_deref(), pod.external_id.as_deref(), pod.v2_required), (role, external_id, v2));
    }
}

#[test]
fn two_annotation_keys_may_have_the_same_name() {
    let keys = AnnotationKeys { external_id: keys().role, ..keys() };
    let json = pod_json(r#","annotations":{"iam.amazonaws.com/role":"a"}"#, "{}", "{}");
    let (Object::Pod(pod), version) = object(&json, Resource::Pods, &keys).unwrap() else { panic!("not a pod") };
    assert_eq!((pod.role.as_deref(), pod.external_id.as_deref(), &*version), (Some("a"), Some("a"), "7"));
}

#[test]
fn session_annotations_are_kept_raw() {
    let session = |annotations: &str| {
        let pod = read_pod(&pod_json(&format!(r#","annotations":{annotations}"#), "{}", "{}")).unwrap();
        pod.session.map(|session| [session.name, session.policy, session.policy_arns])
    };
    let (policy, arns) = (r#""iam.amazonaws.com/policy":"{ }""#, r#""iam.amazonaws.com/policy-arns":"a,b""#);
    let name = r#""iam.amazonaws.com/session-name":"me""#;
    let text = |text: &str| Some(text.into());
    for (annotations, kept) in [
        ("{}".to_owned(), None),
        (r#"{"iam.amazonaws.com/role":"a"}"#.to_owned(), None),
        (format!("{{{policy}}}"), Some([None, text("{ }"), None])),
        (format!("{{{name},{arns},{policy}}}"), Some([text("me"), text("{ }"), text("a,b")])),
        (r#"{"iam.amazonaws.com/policy":""}"#.to_owned(), Some([None, text(""), None])),
    ] {
        assert_eq!(session(&annotations), kept, "{annotations}");
    }
}

#[test]
fn a_service_account_names_its_role_in_either_annotation() {
    let (own, eks) = (r#""iam.amazonaws.com/role":"own""#, r#""eks.amazonaws.com/role-arn":"eks""#);
    for (annotations, role) in [
        (String::new(), None),
        (own.to_owned(), Some("own")),
        (eks.to_owned(), Some("eks")),
        (format!("{eks},{own}"), Some("own")),
        (format!(r#""iam.amazonaws.com/role":"",{eks}"#), Some("eks")),
        (r#""iam.amazonaws.com/role":"""#.to_owned(), None),
    ] {
        let json = format!(
            r#"{{"metadata":{{"uid":"u","namespace":"n","name":"a","resourceVersion":"7","annotations":{{{annotations}}}}}}}"#
        );
        let (object, version) = object(&json, Resource::ServiceAccounts, &keys()).unwrap();
        let Object::ServiceAccount(account) = object else { panic!("not a service account") };
        assert_eq!((account.role.as_deref(), &*account.namespace, &*account.name, &*version), (role, "n", "a", "7"));
    }
}

#[test]
fn an_object_without_identity_is_refused() {
    for (json, cause) in [
        ("{}", "`metadata.uid` is missing"),
        (r#"{"metadata":{}}"#, "`metadata.uid` is missing"),
        (r#"{"metadata":{"uid":"u"}}"#, "`metadata.namespace` is missing"),
        (r#"{"metadata":{"uid":"u","namespace":"n"}}"#, "`metadata.name` is missing"),
        (r#"{"metadata":{"uid":"u","namespace":"n","name":"p"}}"#, "`metadata.resourceVersion` is missing"),
        (r#"{"metadata":{"uid":5}}"#, "invalid type"),
        (r#"{"metadata":{"uid":"u","annotations":{"iam.amazonaws.com/role":5}}}"#, "invalid type"),
        (r#"{"metadata":{"uid":"u","annotations":[]}}"#, "`metadata.annotations` is no object"),
        (r#"{"metadata":7}"#, "`metadata` is no object"),
        (r#"{"metadata":{"uid":"u"},"spec":"x"}"#, "`spec` is no object"),
        (r#"{"metadata":{"uid":"u""#, "too early"),
        (r#"{"metadata":{"uid":"u"}} {}"#, "too late"),
        (r#"{"metadata" {"#, "unexpected `{`"),
        ("[]", "it is no object"),
        ("", "too early"),
    ] {
        let error = read_pod(json).unwrap_err();
        assert!(error.contains(cause), "{json}: {error}");
    }
}

#[test]
fn a_namespace_keeps_its_raw_list() {
    let json = r#"{"metadata":{"uid":"u","name":"shop","resourceVersion":"9","annotations":
        {"iam.amazonaws.com/allowed-roles":"[not json","iam.amazonaws.com/imds-v2":"required","iam.amazonaws.com/default-role":"d"}}}"#;
    let expected = Namespace {
        uid: "u".to_owned(),
        name: "shop".to_owned(),
        allowed_roles: Some("[not json".to_owned()),
        default_role: Some("d".to_owned()),
        v2_required: true,
    };
    let read = object(json, Resource::Namespaces, &keys()).unwrap();
    assert_eq!(read, (Object::Namespace(expected), "9".to_owned()));
}

#[test]
fn annotations_too_long_to_be_valid_are_not_kept() {
    for (length, longest, role) in
        [(2_048, true, true), (2_049, false, true), (1_224, true, false), (1_225, false, false)]
    {
        let (key, value) =
            (if role { "iam.amazonaws.com/role" } else { "iam.amazonaws.com/external-id" }, "x".repeat(length));
        let pod = read_pod(&pod_json(&format!(r#","annotations":{{"{key}":"{value}"}}"#), "{}", "{}")).unwrap();
        let held = if role { pod.role } else { pod.external_id }.unwrap();
        assert_eq!(held, if longest { value } else { TOO_LONG.to_owned() }, "{key} {length}");
    }
    assert!(
        crate::logic::policy::arn::BaseArn::parse("arn:aws:iam::123456789012:role/").unwrap().role(TOO_LONG).is_err()
    );
}

#[test]
fn unreadable_objects_are_identified_as_far_as_possible() {
    let known = |namespace: Option<&str>, name: Option<&str>, uid: Option<&str>| ObjectIdentity {
        namespace: namespace.map(str::to_owned),
        name: name.map(str::to_owned),
        uid: uid.map(str::to_owned),
    };
    for (json, identity, is_known) in [
        (
            r#"{"spec":7,"metadata":{"uid":"u","namespace":"n","name":"p"}}"#,
            known(Some("n"), Some("p"), Some("u")),
            true,
        ),
        (r#"{"metadata":{"namespace":"n","name":"p","uid":5}}"#, known(Some("n"), Some("p"), None), true),
        (r#"{"metadata":{"name":"p"}}"#, known(None, Some("p"), None), false),
        (r#"{"metadata":{"uid":"u"}}"#, known(None, None, Some("u")), true),
        ("7", known(None, None, None), false),
    ] {
        let unreadable = object(json, Resource::Pods, &keys()).unwrap_err();
        assert_eq!(
            (unreadable.identity.is_known(Resource::Pods), &unreadable.identity),
            (is_known, &identity),
            "{json}"
        );
    }
    let namespace = object(r#"{"metadata":{"name":"p"}}"#, Resource::Namespaces, &keys()).unwrap_err();
    assert!(namespace.identity.is_known(Resource::Namespaces));
}

#[test]
fn a_session_annotation_is_kept_up_to_32_kib() {
    for (length, kept) in [(32_768, true), (32_769, false)] {
        let value = "x".repeat(length);
        let annotations = format!(r#","annotations":{{"iam.amazonaws.com/policy":"{value}"}}"#);
        let policy = read_pod(&pod_json(&annotations, "{}", "{}")).unwrap().session.unwrap().policy.unwrap();
        assert_eq!(*policy, *if kept { value } else { TOO_LONG.to_owned() }, "{length}");
    }
}

#[test]
fn a_pod_names_its_service_account() {
    let account = |spec: &str| read_pod(&pod_json("", spec, "{}")).unwrap().service_account;
    assert_eq!(account(r#"{"serviceAccountName":"builder"}"#), "builder");
    assert_eq!(account("{}"), "");
}
