//! Calls with a token instead of a signature.

use super::*;
use crate::logic::sts::TokenRefusal;

const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhcHAifQ.c2lnbmF0dXJl";

fn take(client: &StsClient) -> Result<Assumed, StsFailure> {
    client.assume_role_with_web_identity(&request(), &Secret::new(TOKEN.to_owned()))
}

#[test]
fn call_with_a_token_carries_no_signature_and_no_node_credentials() {
    let stand_in = StandIn::start(|_, _| Act::SayAndClose(recorded(RECORDED)));
    let assumed = take(&client(&stand_in.url())).unwrap();
    assert_eq!(assumed.life, Duration::from_secs(3_600));
    let seen = stand_in.seen().pop().unwrap();
    assert_eq!(
        seen.body,
        format!(
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fapp\
             &RoleSessionName=sess&DurationSeconds=3600&WebIdentityToken={TOKEN}"
        )
    );
    for header in ["authorization", "x-amz-date", "x-amz-security-token"] {
        assert_eq!(seen.header(header), None);
    }
    let all = format!("{:?}", seen.headers);
    assert!(!all.contains("KEY1") && !all.contains("CANARY"), "{all}");
}

#[test]
fn token_refusals_are_distinguished_and_not_retried() {
    for (status, code, kind, calls) in [
        (400, "InvalidIdentityToken", StsFailureKind::Token(TokenRefusal::Invalid), 1),
        (400, "ExpiredTokenException", StsFailureKind::Token(TokenRefusal::Expired), 1),
        (403, "IDPRejectedClaim", StsFailureKind::Token(TokenRefusal::Claim), 1),
        (403, "AccessDenied", StsFailureKind::Token(TokenRefusal::Untrusted), 1),
        (400, "IDPCommunicationError", StsFailureKind::Token(TokenRefusal::IssuerUnreachable), 2),
        (400, "PackedPolicyTooLarge", StsFailureKind::Refused, 1),
        (503, "ServiceUnavailable", StsFailureKind::Unavailable, 1),
    ] {
        let stand_in = StandIn::start(move |_, _| refusal(status, code, &[]));
        let failure = take(&client(&stand_in.url())).unwrap_err();
        assert_eq!((failure.kind, failure.code.as_str()), (kind, code));
        assert_eq!(stand_in.lines().len(), calls, "{code}");
    }
}

#[test]
fn issuer_reached_at_the_second_attempt_is_no_failure() {
    let stand_in = StandIn::start(|_, before| match before {
        0 => refusal(400, "IDPCommunicationError", &[]),
        _ => Act::SayAndClose(recorded(RECORDED)),
    });
    assert!(take(&client(&stand_in.url())).is_ok());
}

#[test]
fn token_echoed_by_a_server_is_removed_from_the_message() {
    let (header, rest) = TOKEN.split_once('.').unwrap();
    for repeated in [TOKEN, header, rest, &rest[..17]] {
        let body =
            format!("<ErrorResponse><Error><Code>Odd</Code><Message>got {repeated}</Message></Error></ErrorResponse>");
        let stand_in = StandIn::start(move |_, _| Act::Say(answer(400, &[], &body)));
        let failure = take(&client(&stand_in.url())).unwrap_err();
        assert_eq!(failure.message, "got [secret]");
    }
}

#[test]
fn no_text_of_a_failure_contains_a_part_of_a_token() {
    let body = format!("<ErrorResponse><Error><Code>{TOKEN}</Code><Message>no</Message></Error></ErrorResponse>");
    for (body, code) in [(body.as_str(), "secret"), ("", "Unreadable")] {
        let answered = answer(400, &[("x-amzn-requestid", TOKEN)], body);
        let stand_in = StandIn::start(move |_, _| Act::Say(answered.clone()));
        let failure = take(&client(&stand_in.url())).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.request_id.as_deref()), (code, Some("[secret]")), "{failure}");
    }
}
