//! The reasons of `--sts=web-identity`.

use super::AdviceNames;
use super::table::{Advice, Row};
use crate::logic::policy::reason::Reason;

pub(super) const TABLE: &[Row] = &[
    (
        Reason::ProofRequired,
        Advice::with_names(
            "credentials are given only to a pod that shows its ServiceAccount token, which the metadata address takes none of",
        ),
    ),
    (
        Reason::StsTokenInvalid,
        Advice::with_names(
            "AWS doesn't take the pod's token: the role's account has no identity provider for the cluster's issuer, or \
             that provider doesn't list the token's audience",
        ),
    ),
    (
        Reason::StsClaimRejected,
        Advice::new(
            "AWS's identity provider rejects what the pod's token claims",
            "compare issuer and audience (`kube2iam`, or what --token-audience says) of the IAM OIDC provider with those \
             of the pods' tokens, and see that the keys at the issuer's address are the cluster's",
        ),
    ),
    (Reason::StsTokenUntrusted, Advice::with_names("the role's trust policy doesn't let the pod's token assume it")),
    (
        Reason::ExternalIdUnsupported,
        Advice::new(
            "the pod has an external id, which a call that bears its token can't carry (--sts=web-identity)",
            "take `iam.amazonaws.com/external-id` off the pod: the conditions on `sub` and `aud` in the role's trust \
             policy do what it did",
        ),
    ),
    (
        Reason::StsTokenExpired,
        Advice::new(
            "AWS says that the time of the pod's token is over",
            "nothing: the next request brings another token; if it stays, compare the node's clock with STS's by \
             `kube2iam doctor`",
        ),
    ),
    (
        Reason::StsIssuerUnreachable,
        Advice::new(
            "AWS doesn't reach the cluster's issuer for its keys",
            "wait; if it stays, see that the issuer's address and its keys can be read from the internet",
        ),
    ),
];

/// What to do about it where that takes names; empty for other reasons.
pub(super) fn mend(reason: Reason, names: &AdviceNames<'_>) -> String {
    let AdviceNames { namespace, account, role, .. } = names;
    match reason {
        Reason::ProofRequired => format!(
            "label namespace `{namespace}` with kube2iam/container-credentials=enabled, with the component \
             container-credentials installed, and restart the pod"
        ),
        Reason::StsTokenInvalid => format!(
            "create an IAM OIDC provider for the cluster's issuer in the account of `{role}`, with the token's audience \
             (`kube2iam`, or what --token-audience says) among its client IDs"
        ),
        Reason::StsTokenUntrusted => format!(
            "let the trust policy of `{role}` allow sts:AssumeRoleWithWebIdentity to the cluster's IAM OIDC provider, with \
             `sub` system:serviceaccount:{namespace}:{account} and `aud` kube2iam, or what --token-audience says"
        ),
        _ => String::new(),
    }
}
