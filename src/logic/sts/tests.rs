use super::*;

/// A call with nothing but what each call has; `role` is a name below one account.
pub(crate) fn plain_call(role: &str, session_name: &str) -> AssumeRole {
    AssumeRole {
        role: RoleArn::parse(&format!("arn:aws:iam::123456789012:role/{role}")).unwrap(),
        session_name: session_name.to_owned(),
        external_id: None,
        duration_s: 3_600,
        policy: None,
        policy_arns: Vec::new(),
        tags: Vec::new(),
        transitive_tags: Vec::new(),
        subject: None,
    }
}

fn failure(code: &str, message: &str) -> StsFailure {
    let (kind, request_id) = (StsFailureKind::Refused, None);
    StsFailure { kind, code: code.into(), message: message.into(), request_id }
}

#[test]
fn a_failure_is_displayed_with_its_request_id() {
    let failure = failure("AccessDenied", "not you");
    assert_eq!(failure.to_string(), "AccessDenied: not you");
    let known = StsFailure { request_id: Some("r-1".into()), ..failure };
    assert_eq!(known.to_string(), "AccessDenied: not you (request id r-1)");
}

#[test]
fn only_a_code_that_aws_gave_is_called_its_own() {
    assert_eq!(failure("AccessDenied", "").aws_code(), Some("AccessDenied"));
    for own in OWN_CODES {
        assert_eq!(failure(own, "").aws_code(), None, "{own}");
    }
}

#[test]
fn only_failures_that_aws_evaluated_are_answers() {
    for (kind, answered, last) in [
        (StsFailureKind::Refused, true, true),
        (StsFailureKind::Token(TokenRefusal::Invalid), true, true),
        (StsFailureKind::Token(TokenRefusal::Expired), true, false),
        (StsFailureKind::Token(TokenRefusal::IssuerUnreachable), false, false),
        (StsFailureKind::Throttled, false, false),
        (StsFailureKind::Unavailable, false, false),
        (StsFailureKind::NoNodeCredentials, false, false),
        (StsFailureKind::NoRegion, false, false),
    ] {
        assert_eq!((kind.is_answer(), kind.is_final()), (answered, last), "{kind:?}");
    }
}
