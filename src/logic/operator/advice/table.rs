//! The meaning and the fix of each reason, side by side.

use super::{tokens, web_identity};
use crate::logic::policy::reason::Reason;

/// The advice for one reason.
#[derive(Clone, Copy, Debug)]
pub(super) struct Advice {
    pub(super) meaning: &'static str,
    /// `None`: it contains names, which [`super::mend`] fills in
    pub(super) mend: Option<&'static str>,
}

impl Advice {
    pub(super) const fn new(meaning: &'static str, mend: &'static str) -> Self {
        Self { meaning, mend: Some(mend) }
    }

    pub(super) const fn with_names(meaning: &'static str) -> Self {
        Self { meaning, mend: None }
    }
}

/// The advice for any reason.
pub(super) fn advice(reason: Reason) -> Advice {
    let rows = [TABLE, tokens::TABLE, web_identity::TABLE].into_iter().flatten();
    rows.copied().find(|(of, _)| *of == reason).map_or(Advice::new("", ""), |(_, advice)| advice)
}

/// A reason and its advice.
pub(super) type Row = (Reason, Advice);

const TABLE: &[Row] = &[
    (
        Reason::BadPath,
        Advice::new(
            "the path is not canonical: it is encoded twice, or has a backslash or a control character",
            "ask for the path as AWS documents it",
        ),
    ),
    (
        Reason::BadTokenTtl,
        Advice::new(
            "the TTL of a token request is missing or not within 1 to 21600 seconds",
            "send `X-aws-ec2-metadata-token-ttl-seconds: 21600`, as SDKs do",
        ),
    ),
    (
        Reason::TokenInvalid,
        Advice::new(
            "the session token has expired, is forged or another pod's",
            "nothing: SDKs ask for another token by themselves",
        ),
    ),
    (
        Reason::TokenRequired,
        Advice::new(
            "a session token (IMDSv2) is required here and the request has none",
            "use an SDK that speaks IMDSv2, or let namespace, pod or --imds-v2 require no token",
        ),
    ),
    (
        Reason::ForwardedFor,
        Advice::new(
            "the request came through a proxy (`X-Forwarded-For`)",
            "let the request bypass the proxy: set NO_PROXY=169.254.169.254 in the pod",
        ),
    ),
    (Reason::TokenPathVersioned, Advice::new("a token was requested at a versioned path", "ask at /latest/api/token")),
    (
        Reason::KeptBack,
        Advice::new(
            "the path contains the node's own secrets or proofs of its identity, or `--metadata-deny` matches it",
            "start the agent with --metadata-allow if pods really need it",
        ),
    ),
    (Reason::OtherRole, Advice::with_names("the request names another role than the pod's own")),
    (Reason::OwnRole, Advice::with_names("the agent itself runs under the role")),
    (Reason::AccountNotAllowed, Advice::with_names("the role's account is not one of `--allowed-accounts`")),
    (
        Reason::TagsRefused,
        Advice::with_names("AWS refused the session's tags, and the session isn't requested without them"),
    ),
    (Reason::StsRefused, Advice::with_names("AWS refused to let the agent assume the role")),
    (
        Reason::NotFound,
        Advice::new(
            "nothing is served at this path",
            "ask for a path that exists; the agent's own pages are at the node's address",
        ),
    ),
    (Reason::UnknownPod, Advice::with_names("no pod is known at the request's source address")),
    (
        Reason::AmbiguousAddress,
        Advice::new(
            "several running pods claim the request's source address",
            "wait until one of the pods is gone, or start the agent with --resolve-duplicate-cache-ips",
        ),
    ),
    (Reason::NoRole, Advice::with_names("the pod names no role and there is no default role")),
    (
        Reason::RoleMalformed,
        Advice::with_names(
            "the pod's annotation is not a role: a name of at most 64 characters, after a path of at most 512 without empty, `.` or `..` segments",
        ),
    ),
    (
        Reason::ExternalIdMalformed,
        Advice::new(
            "the pod's external ID isn't valid for STS",
            "write `iam.amazonaws.com/external-id` as 2 to 1224 letters, digits and _+=,.@:/-",
        ),
    ),
    (
        Reason::PolicyMalformed,
        Advice::new(
            "the pod's session policy is not a JSON object, or longer than 2048 characters together with `policy-arns`",
            "write `iam.amazonaws.com/policy` as a JSON object; with `iam.amazonaws.com/policy-arns` at most 2048 characters",
        ),
    ),
    (
        Reason::PolicyArnsMalformed,
        Advice::new(
            "the pod's list of session policy ARNs is malformed, or too long",
            "list at most 10 policy ARNs in `iam.amazonaws.com/policy-arns`, 2048 characters in all",
        ),
    ),
    (
        Reason::UnknownServiceAccount,
        Advice::new(
            "the pod's ServiceAccount isn't known, so neither is the role it may name",
            "wait a second; if it stays, look whether the account exists and the agent may list serviceaccounts",
        ),
    ),
    (
        Reason::UnknownNamespace,
        Advice::with_names("the pod's namespace isn't known, so neither are the roles it allows"),
    ),
    (Reason::RoleNotAllowed, Advice::with_names("the pod's namespace doesn't allow the role")),
    (
        Reason::MethodNotAllowed,
        Advice::new("the method isn't served at this path", "use GET, HEAD, or PUT for a token"),
    ),
    (
        Reason::NoNodeCredentials,
        Advice::new(
            "the node has no credentials for calls to STS, or AWS no longer accepts them",
            "give the node an instance role, or the agent AWS_* variables; `kube2iam doctor` shows what is missing",
        ),
    ),
    (
        Reason::NoRegion,
        Advice::new(
            "no region is known for calls to STS",
            "set AWS_REGION, or let the agent reach the metadata service",
        ),
    ),
    (Reason::Internal, Advice::new("an internal error of the agent", "report it with the agent's log")),
    (
        Reason::MetadataUnavailable,
        Advice::new(
            "the EC2 metadata service didn't answer",
            "see that the node reaches 169.254.169.254: `kube2iam doctor`",
        ),
    ),
    (
        Reason::NotReady,
        Advice::new(
            "the agent has just started: the first lists of pods and namespaces aren't complete yet",
            "wait; if it stays, see that the agent reaches the API server: `kube2iam doctor`",
        ),
    ),
    (
        Reason::WatchBroken,
        Advice::new(
            "the pod, its namespace or its ServiceAccount isn't known, and the watch that would report it is failing",
            "wait; if it stays, see that the agent reaches the API server and may watch: `kube2iam doctor`",
        ),
    ),
    (
        Reason::WorldStale,
        Advice::new(
            "the API server has refused the agent for so long that addresses may have moved to other pods",
            "see why it refuses: `kube2iam status` and `kube2iam doctor`; --max-world-age says how long is too long",
        ),
    ),
    (
        Reason::PolicyPending,
        Advice::new(
            "the namespace's list hasn't been evaluated for the role yet",
            "wait a second; if it stays, make the expressions in the namespace's list simpler or fewer",
        ),
    ),
    (
        Reason::OwnerChanged,
        Advice::new(
            "the address moved to another pod while the response was prepared",
            "nothing: the next request gets its own answer",
        ),
    ),
    (
        Reason::StsThrottled,
        Advice::new(
            "STS throttles calls",
            "nothing at first; if it stays, lower --sts-qps or ask AWS for a higher limit",
        ),
    ),
    (
        Reason::StsUnavailable,
        Advice::new(
            "STS is unreachable or failing",
            "see that the node reaches STS, by `kube2iam doctor`, and AWS's health page",
        ),
    ),
    (
        Reason::StsTimeout,
        Advice::new(
            "STS didn't respond within the 5 s that a request waits",
            "nothing at first; if it stays, see that the node reaches STS: `kube2iam doctor`",
        ),
    ),
    (
        Reason::Busy,
        Advice::new(
            "a limit of the agent is reached, or the pod causes more than 2 calls a second",
            "let the program cache its credentials instead of requesting them each time",
        ),
    ),
];
