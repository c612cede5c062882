//! Templates and annotations.

use super::*;
use crate::logic::cluster::world::tests::{listed, pod};

fn check(template: &str, node: &str) -> String {
    let world = listed(vec![pod("uid-1", "10.0.0.1")], vec![]);
    let rules = SessionRules {
        duration_s: 3_600,
        name: NameTemplate::parse(template).unwrap(),
        name_annotation: NameAnnotation::Ignored,
        node: node.into(),
        tags: Tags::None,
        bearing: CallsBear::NodeSignature,
    };
    let role = RoleArn::parse("arn:aws:iam::123456789012:role/team/app").unwrap();
    rules.request(&role, world.pod("uid-1").unwrap()).unwrap().session_name
}

#[test]
fn names_are_filled_sanitised_and_truncated() {
    assert_eq!(check("{node}-{role}", "ip-10-0-0-1.ec2.internal"), "ip-10-0-0-1.ec2.internal-app");
    assert_eq!(check("{node}-{role}", ""), "kube2iam-app");
    assert_eq!(check("{namespace}/{pod}:{uid} {service_account}", ""), "shop-pod-uid-1-uid-1-app");
    assert_eq!(check("x", ""), "x-");
    assert_eq!(check("é{role}", &"n".repeat(80)), "-app");
    assert_eq!(check("{node}-{role}", &"n".repeat(80)).len(), 64);
}

#[test]
fn wrong_templates_are_reported() {
    for (template, fault) in [("{pods}", "`{pods}`; known are"), ("{pod", "a `{` without"), ("", "an empty name")] {
        assert!(NameTemplate::parse(template).unwrap_err().starts_with(fault), "{template}");
    }
}

#[test]
fn tags_have_the_names_of_pod_identity() {
    let world = listed(vec![pod("uid-1", "10.0.0.1")], vec![]);
    let rules = SessionRules {
        duration_s: 3_600,
        name: NameTemplate::parse(NameTemplate::DEFAULT).unwrap(),
        name_annotation: NameAnnotation::Ignored,
        node: String::new(),
        tags: Tags::Pod { cluster: Some("prod".into()), reach: TagReach::Chain },
        bearing: CallsBear::NodeSignature,
    };
    let role = RoleArn::parse("arn:aws:iam::123456789012:role/app").unwrap();
    let request = rules.request(&role, world.pod("uid-1").unwrap()).unwrap();
    assert_eq!(request.tags.len(), 5);
    assert!(request.tags.contains(&("eks-cluster-name".into(), "prod".into())));
    assert_eq!(request.transitive_tags.len(), 5);
}

#[test]
fn a_session_by_token_belongs_to_its_service_account_without_an_external_id() {
    let of = |bearing, external_id: Option<&str>| {
        let external_id = external_id.map(Into::into);
        let pod = crate::logic::cluster::kubernetes::Pod { external_id, ..pod("uid-1", "10.0.0.1") };
        let world = listed(vec![pod], vec![]);
        let rules = SessionRules {
            duration_s: 3_600,
            name: NameTemplate::parse(NameTemplate::DEFAULT).unwrap(),
            name_annotation: NameAnnotation::Ignored,
            node: "n1".into(),
            tags: Tags::None,
            bearing,
        };
        let role = RoleArn::parse("arn:aws:iam::123456789012:role/app").unwrap();
        rules.request(&role, world.pod("uid-1").unwrap()).map(|request| request.subject)
    };
    let subject = TokenSubject { namespace: "shop".into(), service_account: "app".into() };
    for (bearing, external_id, expected) in [
        (CallsBear::PodToken, None, Ok(Some(subject.clone()))),
        (CallsBear::PodToken, Some(""), Ok(Some(subject))),
        (CallsBear::PodToken, Some("customer-7"), Err(Reason::ExternalIdUnsupported)),
        (CallsBear::PodToken, Some("two words"), Err(Reason::ExternalIdMalformed)),
        (CallsBear::NodeSignature, Some("customer-7"), Ok(None)),
    ] {
        assert_eq!(of(bearing, external_id), expected, "{bearing:?} {external_id:?}");
    }
}

#[test]
fn annotations_name_and_restrict_the_session() {
    let session = crate::logic::cluster::kubernetes::SessionAnnotations {
        name: Some("alice@shop/Ü".into()),
        policy: Some("{ \"Version\": \"2012-10-17\" }".into()),
        policy_arns: Some("arn:aws:iam::aws:policy/ReadOnlyAccess".into()),
    };
    let asking = |session, name_annotation| {
        let pod = crate::logic::cluster::kubernetes::Pod {
            session: Some(Box::new(session)),
            external_id: Some("customer-7".into()),
            ..pod("uid-1", "10.0.0.1")
        };
        let rules = SessionRules {
            duration_s: 1_800,
            name: NameTemplate::parse(NameTemplate::DEFAULT).unwrap(),
            name_annotation,
            node: "n1".into(),
            tags: Tags::None,
            bearing: CallsBear::NodeSignature,
        };
        let role = RoleArn::parse("arn:aws:iam::123456789012:role/app").unwrap();
        let world = listed(vec![pod], vec![]);
        let pod = world.pod("uid-1").unwrap();
        (rules.request(&role, pod).unwrap(), rules.ignores_name_of(pod))
    };
    let (request, ignored) = asking(session.clone(), NameAnnotation::Read);
    assert!(!ignored);
    assert_eq!((request.session_name.as_str(), request.duration_s), ("alice@shop--", 1_800));
    assert_eq!(request.external_id.as_deref(), Some("customer-7"));
    assert_eq!(request.policy.map(|policy| policy.text()).as_deref(), Some(r#"{"Version":"2012-10-17"}"#));
    assert_eq!(request.policy_arns, ["arn:aws:iam::aws:policy/ReadOnlyAccess"]);
    let (request, ignored) = asking(session, NameAnnotation::Ignored);
    assert_eq!((request.session_name.as_str(), ignored), ("n1-app", true));
    let unnamed = crate::logic::cluster::kubernetes::SessionAnnotations { name: Some("".into()), ..Default::default() };
    for annotation in [NameAnnotation::Read, NameAnnotation::Ignored] {
        let (request, ignored) = asking(unnamed.clone(), annotation);
        assert_eq!((request.session_name.as_str(), ignored), ("n1-app", false));
    }
}
