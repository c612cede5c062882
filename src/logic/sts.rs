//! AssumeRole and AssumeRoleWithWebIdentity over the STS query protocol: requests, and the meaning of every response.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::logic::policy::arn::RoleArn;
use crate::logic::sessions::credentials::Credentials;

mod answer;
pub mod endpoints;
pub mod environment;
mod form;
mod policy;
mod skew;
mod verdict;

pub use answer::{StsAnswer, read_caller_identity, read_credentials};
pub use form::{caller_identity_body, form_body, web_identity_body};
pub use policy::SessionPolicy;
pub use skew::{http_date, skew_ms};
pub use verdict::{Remedy, TokenRefusal, of_token_call, remedy};

/// One AssumeRole call. The whole value is also the key of its session in the cache, so a field that changes the call
/// can't be left out of the key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssumeRole {
    pub role: RoleArn,
    pub session_name: String,
    pub external_id: Option<String>,
    /// Seconds, 900..=43200
    pub duration_s: u32,
    /// Inline session policy, JSON
    pub policy: Option<SessionPolicy>,
    pub policy_arns: Vec<String>,
    /// Session tags, key and value
    pub tags: Vec<(String, String)>,
    pub transitive_tags: Vec<String>,
    /// The ServiceAccount whose token the call carries; `None`: it is signed with the node's credentials
    pub subject: Option<TokenSubject>,
}

/// The ServiceAccount that a token is for: the parts of its `sub` claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenSubject {
    pub namespace: Arc<str>,
    pub service_account: Arc<str>,
}

/// The result of AssumeRole.
#[derive(Clone, Debug)]
pub struct Assumed {
    pub credentials: Credentials,
    /// The remaining lifetime, measured by the clock of AWS: the node's may be wrong
    pub life: Duration,
}

/// Why a call to STS returned no credentials. The kind says what the caller may do next, the cause is for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StsFailure {
    pub kind: StsFailureKind,
    /// AWS's error code (`AccessDenied`), or one of [`OWN_CODES`] if the call never reached AWS (`Timeout`)
    pub code: String,
    /// AWS's message, or the local cause
    pub message: String,
    pub request_id: Option<String>,
}

impl StsFailure {
    /// Whether AWS refused the session's tags rather than the session: assuming a role with tags requires a separate
    /// permission of the caller and in the role's trust policy (IAM user guide, "Passing session tags in STS").
    pub fn is_about_tags(&self) -> bool {
        self.code == "AccessDenied" && self.message.contains("sts:TagSession")
    }

    /// The code, if it came from AWS.
    pub fn aws_code(&self) -> Option<&str> {
        Some(self.code.as_str()).filter(|code| !OWN_CODES.contains(code))
    }
}

impl fmt::Display for StsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        self.request_id.as_ref().map_or(Ok(()), |id| write!(f, " (request id {id})"))
    }
}

/// How to handle a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StsFailureKind {
    /// AWS will refuse again until the configuration changes.
    Refused,
    /// AWS throttles.
    Throttled,
    /// The service or the network is failing: 5xx, timeout, refused connection, unreadable response.
    Unavailable,
    /// The node has no credentials to sign with, or AWS no longer accepts them.
    NoNodeCredentials,
    /// No region is known, or the configured one is invalid.
    NoRegion,
    /// STS doesn't accept the pod's token for the role.
    Token(TokenRefusal),
}

impl StsFailureKind {
    /// Whether AWS evaluated the request and refused it, rather than failing itself.
    pub const fn is_answer(self) -> bool {
        match self {
            Self::Refused => true,
            Self::Token(refusal) => !matches!(refusal, TokenRefusal::IssuerUnreachable),
            Self::Throttled | Self::Unavailable | Self::NoNodeCredentials | Self::NoRegion => false,
        }
    }

    /// Whether AWS looked at the token that the call bore and doesn't take it: another token may be good.
    pub const fn is_about_token(self) -> bool {
        matches!(self, Self::Token(_)) && self.is_answer()
    }

    /// Whether AWS will refuse again until the configuration changes.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Refused => true,
            Self::Token(refusal) => refusal.is_final(),
            Self::Throttled | Self::Unavailable | Self::NoNodeCredentials | Self::NoRegion => false,
        }
    }
}

/// Codes of the agent's own, for calls that never reached AWS or whose response couldn't be parsed.
const OWN_CODES: [&str; 15] = [
    "Interrupted",
    "InvalidRegion",
    "Misconfigured",
    "NoContainerCredentials",
    "NoContainerEndpoint",
    "NoContainerToken",
    "NoInstanceRole",
    "NoMetadata",
    "NoRegion",
    "NoWebIdentityToken",
    "Timeout",
    "UnknownRegion",
    "Unreachable",
    "Unreadable",
    "Unsigned",
];

#[cfg(test)]
pub(crate) mod tests;
