//! The reasons of `--sts=web-identity`.

use super::AdviceNames;
use crate::logic::policy::reason::Reason;

/// As [`super::meaning`]; empty for other reasons.
pub(super) const fn meaning(reason: Reason) -> &'static str {
    match reason {
        Reason::ProofRequired => {
            "credentials require the pod's ServiceAccount token, which requests to the metadata address can't carry"
        }
        Reason::StsTokenInvalid => {
            "AWS doesn't accept the pod's token: the role's account has no identity provider for the cluster's issuer, or \
             that provider doesn't list the token's audience"
        }
        Reason::StsClaimRejected => "AWS's identity provider rejects a claim of the pod's token",
        Reason::StsTokenUntrusted => "the role's trust policy doesn't allow the pod's token to assume it",
        Reason::StsTokenExpired => "AWS reports the pod's token as expired",
        Reason::StsIssuerUnreachable => "AWS can't reach the cluster's issuer to fetch its keys",
        Reason::ExternalIdUnsupported => {
            "the pod has an external ID, which calls with its token can't carry (--sts=web-identity)"
        }
        _ => "",
    }
}

/// The fix; empty for other reasons.
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
        Reason::StsClaimRejected => {
            "compare issuer and audience (`kube2iam`, or the value of --token-audience) of the IAM OIDC provider with those \
             of the pods' tokens, and see that the keys at the issuer's address are the cluster's"
                .to_owned()
        }
        Reason::StsTokenUntrusted => format!(
            "let the trust policy of `{role}` allow sts:AssumeRoleWithWebIdentity to the cluster's IAM OIDC provider, with \
             `sub` system:serviceaccount:{namespace}:{account} and `aud` kube2iam, or the value of --token-audience"
        ),
        Reason::StsTokenExpired => {
            "nothing: the next request brings another token; if it stays, compare the node's clock with STS's by \
             `kube2iam doctor`"
                .to_owned()
        }
        Reason::StsIssuerUnreachable => {
            "wait; if it stays, see that the issuer's address and its keys can be read from the internet".to_owned()
        }
        Reason::ExternalIdUnsupported => {
            "remove `iam.amazonaws.com/external-id` from the pod: the conditions on `sub` and `aud` in the role's trust \
             policy do what it did"
                .to_owned()
        }
        _ => String::new(),
    }
}
