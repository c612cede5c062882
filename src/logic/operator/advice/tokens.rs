//! The reasons of container credentials.

use super::table::{Advice, Row};
use crate::logic::policy::reason::Reason;

pub(super) const TABLE: &[Row] = &[
    (
        Reason::TokenMissing,
        Advice::new(
            "the request carries no ServiceAccount token in `Authorization`",
            "set AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE to the path of the projected token, beside \
             AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ),
    ),
    (
        Reason::TokenMalformed,
        Advice::new(
            "the value of `Authorization` is not a JSON Web Token signed with RS256, RS384, RS512, ES256 or ES384",
            "see that AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names a projected ServiceAccount token and nothing else",
        ),
    ),
    (
        Reason::TokenUntrusted,
        Advice::new(
            "the ServiceAccount token isn't signed with a key of this cluster, or its signature is wrong",
            "see that the token is from this cluster; after a change of the API server's keys wait a minute",
        ),
    ),
    (
        Reason::TokenExpired,
        Advice::new(
            "the ServiceAccount token has expired, or isn't valid yet",
            "let the program read the file again for each request, as SDKs do; otherwise compare the nodes' clocks",
        ),
    ),
    (
        Reason::TokenAudience,
        Advice::new(
            "the ServiceAccount token is for another audience, or from another issuer",
            "give the projected token the audience `kube2iam`, or start the agent with --token-audience",
        ),
    ),
    (
        Reason::TokenUnbound,
        Advice::new(
            "the ServiceAccount token names no pod",
            "use a token that the kubelet projects into the pod, not one of `kubectl create token`",
        ),
    ),
    (
        Reason::TokenOtherNode,
        Advice::new(
            "the ServiceAccount token belongs to a pod on another node",
            "ask the agent of the pod's own node: 169.254.170.2, or 127.0.0.1 with hostNetwork",
        ),
    ),
    (
        Reason::TokenPodMismatch,
        Advice::new(
            "the pod that the ServiceAccount token names isn't known here, has finished, or has been replaced",
            "wait a second if the pod has just started; else see `kube2iam status`",
        ),
    ),
    (
        Reason::TokenOtherPod,
        Advice::new(
            "the ServiceAccount token came from the address of another pod",
            "use the pod's own token: it isn't accepted from the address of another pod",
        ),
    ),
    (
        Reason::HostNotAllowed,
        Advice::new(
            "container credentials aren't served under the request's `Host`",
            "ask for http://169.254.170.2:PORT/v1/credentials, or http://127.0.0.1:PORT/v1/credentials with hostNetwork",
        ),
    ),
    (
        Reason::KeysUnknown,
        Advice::new(
            "the keys that ServiceAccount tokens are signed with aren't known yet",
            "wait a second; if it stays, see `kube2iam status`: the agent may not read /openid/v1/jwks of the API server",
        ),
    ),
];
