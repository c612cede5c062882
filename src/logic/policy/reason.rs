//! Why a request was refused: a closed list. The same word appears in the log, in the metric's label and in the
//! response body; it never contains an ARN or an account.

use crate::logic::sts::{StsFailure, StsFailureKind, TokenRefusal};

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $status:literal $word:literal,)*) => {
        /// Why a request was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The reason code.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The HTTP status of the response.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }
        }
    };
}

reasons! {
    /// The path has no canonical form.
    BadPath = 400 "bad_path",
    /// The TTL of a token request is missing or not within 1..=21600 seconds.
    BadTokenTtl = 400 "bad_token_ttl",
    /// The request carries no ServiceAccount token (`Authorization`).
    TokenMissing = 400 "token_missing",
    /// The `Authorization` value is no ServiceAccount token, or uses an unsupported signature algorithm.
    TokenMalformed = 400 "token_malformed",
    /// The ServiceAccount token is signed with a key that isn't the cluster's, or its signature is wrong.
    TokenUntrusted = 401 "token_untrusted",
    /// The ServiceAccount token has expired, or isn't valid yet.
    TokenExpired = 401 "token_expired",
    /// The ServiceAccount token is for another audience, or from another issuer.
    TokenAudience = 401 "token_audience",
    /// The session token is forged, expired or belongs to another pod.
    TokenInvalid = 401 "token_invalid",
    /// A session token is required here and the request has none.
    TokenRequired = 401 "token_required",
    /// The ServiceAccount token names no pod.
    TokenUnbound = 403 "token_unbound",
    /// The ServiceAccount token belongs to a pod on another node.
    TokenOtherNode = 403 "token_other_node",
    /// The pod that the ServiceAccount token names isn't known here, has finished, or has been replaced.
    TokenPodMismatch = 403 "token_pod_mismatch",
    /// The ServiceAccount token came from another pod's address.
    TokenOtherPod = 403 "token_other_pod",
    /// The request's `Host` is one that container credentials aren't served under.
    HostNotAllowed = 403 "host_not_allowed",
    /// The request came through a proxy (`X-Forwarded-For`), as a request forged through one would.
    ForwardedFor = 403 "forwarded_for",
    /// Tokens are only issued at `/latest/api/token`.
    TokenPathVersioned = 403 "token_path_versioned",
    /// The node's own secrets and proofs of its identity, and the paths that `--metadata-deny` names.
    KeptBack = 403 "kept_back",
    /// The request names another role than the pod's own.
    OtherRole = 403 "other_role",
    /// The agent itself runs under the role.
    OwnRole = 403 "own_role",
    /// The role's account isn't in `--allowed-accounts`.
    AccountNotAllowed = 403 "account_not_allowed",
    /// AWS refused the session's tags; the session isn't requested without them.
    TagsRefused = 403 "tags_refused",
    /// AWS refused: trust policy, permission, or a role that doesn't exist.
    StsRefused = 403 "sts_refused",
    /// Credentials require a ServiceAccount token, which requests to the metadata address can't carry.
    ProofRequired = 403 "proof_required",
    /// AWS doesn't accept the pod's token: the role's account has no matching identity provider.
    StsTokenInvalid = 403 "sts_token_invalid",
    /// AWS's identity provider rejects a claim of the pod's token.
    StsClaimRejected = 403 "sts_claim_rejected",
    /// The role's trust policy doesn't allow the pod's token to assume it.
    StsTokenUntrusted = 403 "sts_token_untrusted",
    /// Nothing is served at this path.
    NotFound = 404 "not_found",
    /// No known pod has the request's source address.
    UnknownPod = 404 "unknown_pod",
    /// Several live pods claim the request's source address.
    AmbiguousAddress = 404 "ambiguous_address",
    /// The pod names no role and there is no default.
    NoRole = 404 "no_role",
    /// The pod's annotation is not a role.
    RoleMalformed = 404 "role_malformed",
    /// The pod's external ID isn't valid for STS.
    ExternalIdMalformed = 404 "external_id_malformed",
    /// The pod has an external ID, which calls with the pod's token can't carry.
    ExternalIdUnsupported = 404 "external_id_unsupported",
    /// The pod's session policy is not a JSON object, or too long.
    PolicyMalformed = 404 "policy_malformed",
    /// The pod's list of session policy ARNs is malformed, or too long.
    PolicyArnsMalformed = 404 "policy_arns_malformed",
    /// The pod's ServiceAccount isn't known yet, so neither is the role that it may name.
    UnknownServiceAccount = 404 "unknown_service_account",
    /// The pod's namespace isn't known yet, so neither are the roles it allows.
    UnknownNamespace = 404 "unknown_namespace",
    /// The pod's namespace doesn't allow the role.
    RoleNotAllowed = 404 "role_not_allowed",
    /// The path doesn't support the method.
    MethodNotAllowed = 405 "method_not_allowed",
    /// The node has no credentials to sign calls to STS with.
    NoNodeCredentials = 500 "no_node_credentials",
    /// No region is known for STS.
    NoRegion = 500 "no_region",
    /// An internal error of the agent.
    Internal = 500 "internal",
    /// The metadata service didn't respond.
    MetadataUnavailable = 502 "metadata_unavailable",
    /// The first lists of pods and namespaces aren't complete yet.
    NotReady = 503 "not_ready",
    /// An object isn't known, and the watch that would report it is failing.
    WatchBroken = 503 "watch_broken",
    /// The API server has been refusing for so long that addresses may have moved to other pods.
    WorldStale = 503 "world_stale",
    /// The keys that verify ServiceAccount tokens aren't known yet.
    KeysUnknown = 503 "keys_unknown",
    /// The namespace's list hasn't been evaluated for the role yet.
    PolicyPending = 503 "policy_pending",
    /// The address moved to another pod while the response was prepared.
    OwnerChanged = 503 "owner_changed",
    /// STS throttles.
    StsThrottled = 503 "sts_throttled",
    /// STS is unreachable or failing.
    StsUnavailable = 503 "sts_unavailable",
    /// STS didn't respond within the time that a request waits.
    StsTimeout = 503 "sts_timeout",
    /// AWS reports the pod's token as expired: the pod's next request brings a new one.
    StsTokenExpired = 503 "sts_token_expired",
    /// AWS can't reach the cluster's issuer for the keys that verify pods' tokens.
    StsIssuerUnreachable = 503 "sts_issuer_unreachable",
    /// A limit of the agent is reached.
    Busy = 503 "busy",
}

impl Reason {
    /// Whether the same request is likely to succeed a moment later.
    pub const fn is_passing(self) -> bool {
        self.status() == 503
    }

    /// The reason that a failure of STS has for the pod.
    pub fn of_sts(failure: &StsFailure) -> Self {
        match failure.kind {
            StsFailureKind::Refused if failure.is_about_tags() => Self::TagsRefused,
            StsFailureKind::Refused => Self::StsRefused,
            StsFailureKind::Throttled => Self::StsThrottled,
            StsFailureKind::Unavailable => Self::StsUnavailable,
            StsFailureKind::NoNodeCredentials => Self::NoNodeCredentials,
            StsFailureKind::NoRegion => Self::NoRegion,
            StsFailureKind::Token(TokenRefusal::Invalid) => Self::StsTokenInvalid,
            StsFailureKind::Token(TokenRefusal::Expired) => Self::StsTokenExpired,
            StsFailureKind::Token(TokenRefusal::Claim) => Self::StsClaimRejected,
            StsFailureKind::Token(TokenRefusal::IssuerUnreachable) => Self::StsIssuerUnreachable,
            StsFailureKind::Token(TokenRefusal::Untrusted) => Self::StsTokenUntrusted,
        }
    }
}

#[cfg(test)]
mod tests;
