//! The reasons of `--sts=web-identity`.

use super::AdviceNames;
use super::table::{Advice, Row};
use crate::logic::policy::reason::Reason;

pub(super) const TABLE: &[Row] = &[
    (
        Reason::ProofRequired,
        Advice::with_names(
            "credentials require the pod's ServiceAccount token, which requests to the metadata address can't carry",
        ),
    ),
    (
        Reason::StsTokenInvalid,
        Advice::with_names(
            "AWS doesn't accept the pod's token: the role's account has no identity provider for the cluster's issuer, or \
             that provider doesn't list the token's audience",
        ),
    ),
    (
        Reason::StsClaimRejected,
        Advice::new(
            "AWS's identity provider rejects a claim of the pod's token",
            "compare issuer and audience (`kube2iam`, or the value of --token-audience) of the IAM OIDC provider with those \
             of the pods' tokens, and see that the keys at the issuer's address are the cluster's",
        ),
    ),
    (
        Reason::StsTokenUntrusted,
        Advice::with_names("the role's trust policy doesn't allow the pod's token to assume it"),
    ),
    (
        Reason::ExternalIdUnsupported,
        Advice::new(
            "the pod has an external ID, which calls with its token can't carry (--sts=web-identity)",
            "remove `iam.amazonaws.com/external-id` from the pod: the conditions on `sub` and `aud` in the role's trust \
             policy do what it did",
        ),
    ),
    (
        Reason::StsTokenExpired,
        Advice::new(
            "AWS reports the pod's token as expired",
            "nothing: the next request brings another token; if it stays, compare the node's clock with STS's by \
             `kube2iam doctor`",
        ),
    ),
    (
        Reason::StsIssuerUnreachable,
        Advice::new(
            "AWS can't reach the cluster's issuer to fetch its keys",
            "wait; if it stays, see that the issuer's address and its keys can be read from the internet",
        ),
    ),
];

/// The fix where it contains names; empty for other reasons.
pub(super) fn mend(reason: Reason, names: &AdviceNames<'_>) -> String {
    let AdviceNames { namespace, account, role, .. } = names;
    match reason {
        Reason::ProofRequired => format!(
            "label namespace `{namespace}` with kube2iam/container-credentials=enabled, with the component \
             container-credentials installed, and restart the pod"
        ),
        Reason::StsTokenInvalid => format!(
            "create an IAM OIDC provider for the cluster's issuer in the account of `{role}`, with the token's audience \
             (`kube2iam`, or the value of --token-audience) among its client IDs"
        ),
        Reason::StsTokenUntrusted => format!(
            "let the trust policy of `{role}` allow sts:AssumeRoleWithWebIdentity to the cluster's IAM OIDC provider, with \
             `sub` system:serviceaccount:{namespace}:{account} and `aud` kube2iam, or the value of --token-audience"
        ),
        _ => String::new(),
    }
}
