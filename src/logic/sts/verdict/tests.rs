use super::*;
use StsFailureKind::{NoNodeCredentials, Refused, Throttled, Token, Unavailable};

#[test]
fn each_token_refusal_of_sts_has_its_kind() {
    for (status, code, kind, is_final) in [
        (400, "InvalidIdentityToken", Token(TokenRefusal::Invalid), true),
        (400, "ExpiredTokenException", Token(TokenRefusal::Expired), false),
        (403, "ExpiredToken", Token(TokenRefusal::Expired), false),
        (403, "IDPRejectedClaim", Token(TokenRefusal::Claim), true),
        (400, "IDPCommunicationError", Token(TokenRefusal::IssuerUnreachable), false),
        (403, "AccessDenied", Token(TokenRefusal::Untrusted), true),
        (503, "AccessDenied", Unavailable, false),
        (400, "ValidationError", Refused, true),
        (400, "PackedPolicyTooLarge", Refused, true),
        (403, "InvalidClientTokenId", Refused, true),
        (403, "SignatureDoesNotMatch", Refused, true),
        (400, "Throttling", Throttled, false),
        (500, "InternalFailure", Unavailable, false),
    ] {
        let failure = StsFailure {
            kind: kind_of(status, code),
            code: code.to_owned(),
            message: "why".to_owned(),
            request_id: Some("id".to_owned()),
        };
        let found = of_token_call(failure.clone());
        assert_eq!((found.kind, found.kind.is_final()), (kind, is_final), "{status} {code}");
        assert_eq!(StsFailure { kind: failure.kind, ..found }, failure);
    }
}

#[test]
fn an_issuer_that_aws_reads_too_slowly_does_not_make_the_token_invalid() {
    let failure = |message: &str| StsFailure {
        kind: Refused,
        code: "InvalidIdentityToken".to_owned(),
        message: message.to_owned(),
        request_id: None,
    };
    for (message, refusal) in [
        (
            "Couldn't retrieve verification key from your identity provider, please reference",
            TokenRefusal::IssuerUnreachable,
        ),
        ("No OpenIDConnect provider found in your account for https://issuer", TokenRefusal::Invalid),
    ] {
        assert_eq!(of_token_call(failure(message)).kind, Token(refusal), "{message}");
    }
}

#[test]
fn every_code_has_one_meaning() {
    for (status, code, kind, remedy_for_it) in [
        (403, "AccessDenied", Refused, Remedy::Nothing),
        (400, "ValidationError", Refused, Remedy::Nothing),
        (400, "MalformedPolicyDocument", Refused, Remedy::Nothing),
        (400, "PackedPolicyTooLarge", Refused, Remedy::Nothing),
        (403, "RegionDisabledException", Refused, Remedy::Nothing),
        (403, "SignatureDoesNotMatch", NoNodeCredentials, Remedy::ReadTime),
        (403, "InvalidSignatureException", NoNodeCredentials, Remedy::ReadTime),
        (400, "RequestExpired", Unavailable, Remedy::ReadTime),
        (403, "RequestTimeTooSkewed", Unavailable, Remedy::ReadTime),
        (403, "ExpiredToken", NoNodeCredentials, Remedy::ReloadCredentials),
        (403, "InvalidClientTokenId", NoNodeCredentials, Remedy::ReloadCredentials),
        (400, "UnrecognizedClientException", NoNodeCredentials, Remedy::ReloadCredentials),
        (400, "Throttling", Throttled, Remedy::Nothing),
        (503, "ThrottlingException", Throttled, Remedy::Nothing),
        (400, "RequestLimitExceeded", Throttled, Remedy::Nothing),
        (400, "PriorRequestNotComplete", Throttled, Remedy::Nothing),
        (429, "Whatever", Throttled, Remedy::Nothing),
        (400, "IDPCommunicationError", Unavailable, Remedy::Nothing),
        (500, "InternalFailure", Unavailable, Remedy::Nothing),
        (503, "ServiceUnavailable", Unavailable, Remedy::Nothing),
        (503, "AccessDenied", Unavailable, Remedy::Nothing),
        (407, "ProxyAuthenticationRequired", Unavailable, Remedy::Nothing),
        (400, "NeverHeardOf", Refused, Remedy::Nothing),
    ] {
        let failure =
            StsFailure { kind: kind_of(status, code), code: code.to_owned(), message: String::new(), request_id: None };
        assert_eq!((failure.kind, remedy(&failure)), (kind, remedy_for_it), "{status} {code}");
    }
}
