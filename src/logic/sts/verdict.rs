//! The meaning of error codes, and whether a second attempt helps.

use super::{StsFailure, StsFailureKind};

/// What to do before the single second attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The clock may have been wrong: read it again, and AWS's `Date`.
    ReadTime,
    /// The node's credentials may have been replaced: fetch them again.
    ReloadCredentials,
    Nothing,
}

/// The remedy for a failure.
pub fn remedy(failure: &StsFailure) -> Remedy {
    match failure.code.as_str() {
        code if CLOCK.contains(&code) || SIGNATURE.contains(&code) => Remedy::ReadTime,
        code if KEYS.contains(&code) => Remedy::ReloadCredentials,
        _ => Remedy::Nothing,
    }
}

/// Why STS doesn't accept a pod's token (STS API reference, AssumeRoleWithWebIdentity, "Errors").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenRefusal {
    /// The account has no identity provider for the token, or the provider's check failed.
    Invalid,
    /// The token has expired: another one may be accepted.
    Expired,
    /// The provider rejects a claim of the token.
    Claim,
    /// AWS can't fetch the issuer's keys at the moment.
    IssuerUnreachable,
    /// The role's trust policy doesn't allow the token.
    Untrusted,
}

impl TokenRefusal {
    pub(super) const fn is_final(self) -> bool {
        matches!(self, Self::Invalid | Self::Claim | Self::Untrusted)
    }
}

/// Reclassifies a failure of a call that carried a token instead of a signature.
pub fn of_token_call(failure: StsFailure) -> StsFailure {
    let refusal = match failure.code.as_str() {
        "InvalidIdentityToken" | "InvalidIdentityTokenException" if failure.message.contains(SLOW_ISSUER) => {
            Some(TokenRefusal::IssuerUnreachable)
        }
        "InvalidIdentityToken" | "InvalidIdentityTokenException" => Some(TokenRefusal::Invalid),
        "ExpiredTokenException" | "ExpiredToken" => Some(TokenRefusal::Expired),
        "IDPRejectedClaim" | "IDPRejectedClaimException" => Some(TokenRefusal::Claim),
        "IDPCommunicationError" | "IDPCommunicationErrorException" => Some(TokenRefusal::IssuerUnreachable),
        "AccessDenied" | "AccessDeniedException" if failure.kind == StsFailureKind::Refused => {
            Some(TokenRefusal::Untrusted)
        }
        _ => None,
    };
    let kind = match (refusal, failure.kind) {
        (Some(refusal), _) => StsFailureKind::Token(refusal),
        // The call wasn't signed, so the failure isn't about the node's credentials.
        (None, StsFailureKind::NoNodeCredentials) => StsFailureKind::Refused,
        (None, kind) => kind,
    };
    StsFailure { kind, ..failure }
}

/// The kind of a failure with this status and code.
pub(super) fn kind_of(status: u16, code: &str) -> StsFailureKind {
    if THROTTLED.contains(&code) || status == 429 {
        StsFailureKind::Throttled
    } else if KEYS.contains(&code) || SIGNATURE.contains(&code) {
        StsFailureKind::NoNodeCredentials
    } else if PASSING.contains(&code) || CLOCK.contains(&code) || !is_final(status) {
        StsFailureKind::Unavailable
    } else {
        StsFailureKind::Refused
    }
}

/// Proxies in between send 407 and 408.
fn is_final(status: u16) -> bool {
    (400..500).contains(&status) && !matches!(status, 407 | 408)
}

/// Throttling codes of AWS services (the list that all SDKs share).
const THROTTLED: [&str; 14] = [
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "TooManyRequestsException",
];

/// Codes about the signing keys: expired, deleted, or not yet propagated.
const KEYS: [&str; 7] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "TokenRefreshRequired",
    "UnrecognizedClientException",
];

/// Codes about the signature's time. They stop once the clock is set.
const CLOCK: [&str; 3] = ["RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed"];

/// STS returns these for a wrong clock as well as for a wrong key; if a second attempt with the right time fails, it
/// was the key.
const SIGNATURE: [&str; 3] = ["InvalidSignature", "InvalidSignatureException", "SignatureDoesNotMatch"];

/// Part of the message of `InvalidIdentityToken` if AWS couldn't fetch the issuer's keys in time, which is temporary.
const SLOW_ISSUER: &str = "retrieve verification key";

/// Temporary failures, whatever the status.
const PASSING: [&str; 8] = [
    "IDPCommunicationError",
    "IDPCommunicationErrorException",
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
];

#[cfg(test)]
mod tests {
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
            let failure = StsFailure {
                kind: kind_of(status, code),
                code: code.to_owned(),
                message: String::new(),
                request_id: None,
            };
            assert_eq!((failure.kind, remedy(&failure)), (kind, remedy_for_it), "{status} {code}");
        }
    }
}
