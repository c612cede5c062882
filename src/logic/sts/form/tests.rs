use super::*;
use crate::logic::sts::tests::plain_call;

fn plain() -> AssumeRole {
    plain_call("team/app", "node-app")
}

#[test]
fn a_plain_call_has_only_the_required_fields() {
    assert_eq!(
        form_body(&plain()),
        "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fteam%2Fapp\
         &RoleSessionName=node-app&DurationSeconds=3600"
    );
    assert_eq!(caller_identity_body(), "Action=GetCallerIdentity&Version=2011-06-15");
}

#[test]
fn every_session_parameter_is_sent() {
    let request = AssumeRole {
        external_id: Some("a b&c=d".to_owned()),
        policy: crate::logic::sts::SessionPolicy::new("{\"Action\":\"s3:*~\"}"),
        policy_arns: vec!["arn:aws:iam::aws:policy/ReadOnlyAccess".to_owned(), "arn:x".to_owned()],
        tags: vec![("kubernetes-namespace".to_owned(), "default".to_owned()), ("t\u{e9}am".to_owned(), String::new())],
        transitive_tags: vec!["kubernetes-namespace".to_owned()],
        ..plain()
    };
    let body = form_body(&request);
    let (_, rest) = body.split_once("&DurationSeconds=3600&").unwrap();
    assert_eq!(
        rest.split('&').collect::<Vec<_>>(),
        [
            "ExternalId=a+b%26c%3Dd",
            "Policy=%7B%22Action%22%3A%22s3%3A%2A~%22%7D",
            "PolicyArns.member.1.arn=arn%3Aaws%3Aiam%3A%3Aaws%3Apolicy%2FReadOnlyAccess",
            "PolicyArns.member.2.arn=arn%3Ax",
            "Tags.member.1.Key=kubernetes-namespace",
            "Tags.member.1.Value=default",
            "Tags.member.2.Key=t%C3%A9am",
            "Tags.member.2.Value=",
            "TransitiveTagKeys.member.1=kubernetes-namespace",
        ]
    );
}

#[test]
fn a_web_identity_body_contains_the_token_and_redacts_its_debug_output() {
    let token = Secret::new("header.pay+load.sig".to_owned());
    let request = AssumeRole {
        policy: crate::logic::sts::SessionPolicy::new("{}"),
        policy_arns: vec!["arn:x".to_owned()],
        external_id: Some("left out".to_owned()),
        tags: vec![("left".to_owned(), "out".to_owned())],
        transitive_tags: vec!["left".to_owned()],
        ..plain()
    };
    let body = web_identity_body(&request, &token);
    assert_eq!(
        body.expose(),
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2F\
         team%2Fapp&RoleSessionName=node-app&DurationSeconds=3600&Policy=%7B%7D&PolicyArns.member.1.arn=arn%3Ax\
         &WebIdentityToken=header.pay%2Bload.sig"
    );
    assert_eq!(format!("{body:?}"), "[secret]");
}
