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
mod tests;
