//! Why a request was refused: a closed list. The same word stands in the log, in the metric's label
//! and in the body that the pod gets; it never holds an ARN or an account.

use crate::logic::sts::{StsFailure, StsFailureKind, TokenRefusal};

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $status:literal $word:literal,)*) => {
        /// Why a request was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The HTTP status that the pod gets.
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
    /// No ServiceAccount token came along (`Authorization`).
    TokenMissing = 400 "token_missing",
    /// What came as a ServiceAccount token is none, or is signed in a way that isn't taken.
    TokenMalformed = 400 "token_malformed",
    /// The ServiceAccount token is signed with a key that isn't the cluster's, or its signature is wrong.
    TokenUntrusted = 401 "token_untrusted",
    /// The time of the ServiceAccount token is over, or hasn't begun.
    TokenExpired = 401 "token_expired",
    /// The ServiceAccount token is for another audience, or of another issuer.
    TokenAudience = 401 "token_audience",
    /// The session token is forged, expired or another pod's.
    TokenInvalid = 401 "token_invalid",
    /// A session token is required here and none came.
    TokenRequired = 401 "token_required",
    /// The ServiceAccount token names no pod.
    TokenUnbound = 403 "token_unbound",
    /// The ServiceAccount token is of a pod on another node.
    TokenOtherNode = 403 "token_other_node",
    /// The pod that the ServiceAccount token names isn't known here, has finished, or is another by now.
    TokenPodMismatch = 403 "token_pod_mismatch",
    /// The ServiceAccount token came from another pod's address.
    TokenOtherPod = 403 "token_other_pod",
    /// The request names a host under which container credentials aren't served.
    HostNotAllowed = 403 "host_not_allowed",
    /// The request came through a proxy (`X-Forwarded-For`), as a forged one would.
    ForwardedFor = 403 "forwarded_for",
    /// Tokens are only given at `/latest/api/token`.
    TokenPathVersioned = 403 "token_path_versioned",
    /// The node's own secrets and proofs of identity, and what `--metadata-deny` names.
    KeptBack = 403 "kept_back",
    /// Another role than the pod's own was asked for.
    OtherRole = 403 "other_role",
    /// The role is the one under which the agent itself works.
    OwnRole = 403 "own_role",
    /// The role is in an account that `--allowed-accounts` leaves out.
    AccountNotAllowed = 403 "account_not_allowed",
    /// AWS refused the tags that the session was to carry; without them it isn't given.
    TagsRefused = 403 "tags_refused",
    /// AWS refused: trust policy, permission, or a role that doesn't exist.
    StsRefused = 403 "sts_refused",
    /// Credentials come by a ServiceAccount token, and at the metadata address none can be shown.
    ProofRequired = 403 "proof_required",
    /// AWS doesn't take the pod's token: no identity provider of the role's account goes with it.
    StsTokenInvalid = 403 "sts_token_invalid",
    /// AWS's identity provider rejects what the pod's token claims.
    StsClaimRejected = 403 "sts_claim_rejected",
    /// The role's trust policy doesn't let the pod's token assume it.
    StsTokenUntrusted = 403 "sts_token_untrusted",
    /// Nothing is served at this path.
    NotFound = 404 "not_found",
    /// No pod is known at the address that asked.
    UnknownPod = 404 "unknown_pod",
    /// Several live pods claim the address that asked.
    AmbiguousAddress = 404 "ambiguous_address",
    /// The pod names no role and there is no default.
    NoRole = 404 "no_role",
    /// The pod's annotation is not a role.
    RoleMalformed = 404 "role_malformed",
    /// The pod's external id is none that STS takes.
    ExternalIdMalformed = 404 "external_id_malformed",
    /// The pod has an external id, which calls that bear its token can't carry.
    ExternalIdUnsupported = 404 "external_id_unsupported",
    /// The policy that should narrow the pod's session is no JSON object, or too long.
    PolicyMalformed = 404 "policy_malformed",
    /// The list of policies that should narrow the pod's session is none, or too long.
    PolicyArnsMalformed = 404 "policy_arns_malformed",
    /// The pod's ServiceAccount isn't known yet, so neither is the role that it may name.
    UnknownServiceAccount = 404 "unknown_service_account",
    /// The pod's namespace isn't known yet, so neither is what it allows.
    UnknownNamespace = 404 "unknown_namespace",
    /// The pod's namespace doesn't allow the role.
    RoleNotAllowed = 404 "role_not_allowed",
    /// The method isn't served at this path.
    MethodNotAllowed = 405 "method_not_allowed",
    /// The node has no credentials of its own to call STS with.
    NoNodeCredentials = 500 "no_node_credentials",
    /// No region is known to call STS in.
    NoRegion = 500 "no_region",
    /// The agent failed in a way that it should not.
    Internal = 500 "internal",
    /// The metadata service didn't answer.
    MetadataUnavailable = 502 "metadata_unavailable",
    /// The first lists of pods and namespaces aren't in yet.
    NotReady = 503 "not_ready",
    /// Something isn't known, and the API server gives no news of it just now.
    WatchBroken = 503 "watch_broken",
    /// The API server refuses for so long that addresses may have gone to other pods.
    WorldStale = 503 "world_stale",
    /// The keys that ServiceAccount tokens are signed with aren't known yet.
    KeysUnknown = 503 "keys_unknown",
    /// What the namespace's list says of the role isn't found out yet.
    PolicyPending = 503 "policy_pending",
    /// The address changed hands while the answer was made.
    OwnerChanged = 503 "owner_changed",
    /// STS asks for patience.
    StsThrottled = 503 "sts_throttled",
    /// STS, or the way to it, is broken.
    StsUnavailable = 503 "sts_unavailable",
    /// STS didn't answer in the time that a request waits.
    StsTimeout = 503 "sts_timeout",
    /// AWS says that the time of the pod's token is over: the next request brings another.
    StsTokenExpired = 503 "sts_token_expired",
    /// AWS doesn't reach the cluster's issuer for the keys that pods' tokens are signed with.
    StsIssuerUnreachable = 503 "sts_issuer_unreachable",
    /// A limit of the agent is reached.
    Busy = 503 "busy",
}

impl Reason {
    /// Whether the same request may well succeed a second later.
    pub const fn is_passing(self) -> bool {
        self.status() == 503
    }

    /// What a failure of STS is to the pod.
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
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn words_are_distinct_and_speak_of_nothing_but_the_reason() {
        let words: HashSet<&str> = Reason::ALL.iter().map(|reason| reason.word()).collect();
        assert_eq!(words.len(), Reason::ALL.len());
        assert!(words.iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }
}
