//! What each reason means and what to do about it, side by side.

use super::{tokens, web_identity};
use crate::logic::policy::reason::Reason;

/// The advice about one reason.
#[derive(Clone, Copy, Debug)]
pub(super) struct Advice {
    pub(super) meaning: &'static str,
    /// `None`: it takes names, which [`super::mend`] fills in
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

/// The advice about any reason.
pub(super) fn advice(reason: Reason) -> Advice {
    let rows = [TABLE, tokens::TABLE, web_identity::TABLE].into_iter().flatten();
    rows.copied().find(|(of, _)| *of == reason).map_or(Advice::new("", ""), |(_, advice)| advice)
}

/// A reason and the advice about it.
pub(super) type Row = (Reason, Advice);

const TABLE: &[Row] = &[
    (
        Reason::BadPath,
        Advice::new(
            "the path has no plain form: it is encoded twice, has a backslash or a control character",
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
            "a session token (IMDSv2) is required here and none came",
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
    (Reason::TokenPathVersioned, Advice::new("a token was asked for at a versioned path", "ask at /latest/api/token")),
    (
        Reason::KeptBack,
        Advice::new(
            "the path holds the node's own secrets or proofs of identity, or `--metadata-deny` names it",
            "start the agent with --metadata-allow if pods really need it",
        ),
    ),
    (Reason::OtherRole, Advice::with_names("another role than the pod's own was asked for")),
    (Reason::OwnRole, Advice::with_names("the role is the one under which the agent itself works")),
    (Reason::AccountNotAllowed, Advice::with_names("the role's account is not one of `--allowed-accounts`")),
    (Reason::TagsRefused, Advice::with_names("AWS refused the tags of the session, and without them it isn't given")),
    (Reason::StsRefused, Advice::with_names("AWS refused to let the agent assume the role")),
    (
        Reason::NotFound,
        Advice::new(
            "nothing is served at this path",
            "ask for a path that exists; the agent's own pages are at the node's address",
        ),
    ),
    (Reason::UnknownPod, Advice::with_names("no pod is known at the address that asked")),
    (
        Reason::AmbiguousAddress,
        Advice::new(
            "several running pods claim the address that asked",
            "wait until one of the pods is gone, or start the agent with --resolve-duplicate-cache-ips",
        ),
    ),
    (Reason::NoRole, Advice::with_names("the pod names no role and there is no default role")),
    (
        Reason::RoleMalformed,
        Advice::with_names(
            "what the pod names is not a role: a name of at most 64 characters, behind a path of at most 512 without empty, `.` or `..` segments",
        ),
    ),
    (
        Reason::ExternalIdMalformed,
        Advice::new(
            "the pod's external id is none that STS takes",
            "write `iam.amazonaws.com/external-id` as 2 to 1224 letters, digits and _+=,.@:/-",
        ),
    ),
    (
        Reason::PolicyMalformed,
        Advice::new(
            "the policy that should narrow the pod's session is no JSON object, or longer than 2048 characters, `policy-arns` counted in",
            "write `iam.amazonaws.com/policy` as a JSON object; with `iam.amazonaws.com/policy-arns` at most 2048 characters",
        ),
    ),
    (
        Reason::PolicyArnsMalformed,
        Advice::new(
            "the list of policies that should narrow the pod's session is none, or too long",
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
    (Reason::UnknownNamespace, Advice::with_names("the pod's namespace isn't known, so neither is what it allows")),
    (Reason::RoleNotAllowed, Advice::with_names("the pod's namespace doesn't allow the role")),
    (
        Reason::MethodNotAllowed,
        Advice::new("the method isn't served at this path", "use GET, HEAD, or PUT for a token"),
    ),
    (
        Reason::NoNodeCredentials,
        Advice::new(
            "the node has no credentials to call STS with, or AWS no longer takes them",
            "give the node an instance role, or the agent AWS_* variables; `kube2iam doctor` shows what is missing",
        ),
    ),
    (
        Reason::NoRegion,
        Advice::new("no region is known to call STS in", "set AWS_REGION, or let the agent reach the metadata service"),
    ),
    (Reason::Internal, Advice::new("the agent failed in a way that it should not", "report it with the agent's log")),
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
            "the agent has just started: the first lists of pods and namespaces aren't in yet",
            "wait; if it stays, see that the agent reaches the API server: `kube2iam doctor`",
        ),
    ),
    (
        Reason::WatchBroken,
        Advice::new(
            "the pod, its namespace or its ServiceAccount isn't known, and the API server gives the agent no news just now",
            "wait; if it stays, see that the agent reaches the API server and may watch: `kube2iam doctor`",
        ),
    ),
    (
        Reason::WorldStale,
        Advice::new(
            "the API server has refused the agent for so long that addresses may have gone to other pods",
            "see why it refuses: `kube2iam status` and `kube2iam doctor`; --max-world-age says how long is too long",
        ),
    ),
    (
        Reason::PolicyPending,
        Advice::new(
            "what the namespace's list says of the role isn't found out yet",
            "wait a second; if it stays, make the expressions in the namespace's list simpler or fewer",
        ),
    ),
    (
        Reason::OwnerChanged,
        Advice::new(
            "the address went to another pod while the answer was made",
            "nothing: the next request gets its own answer",
        ),
    ),
    (
        Reason::StsThrottled,
        Advice::new(
            "STS asks for patience",
            "nothing at first; if it stays, lower --sts-qps or ask AWS for a higher limit",
        ),
    ),
    (
        Reason::StsUnavailable,
        Advice::new(
            "STS, or the way to it, is broken",
            "see that the node reaches STS, by `kube2iam doctor`, and AWS's health page",
        ),
    ),
    (
        Reason::StsTimeout,
        Advice::new(
            "STS didn't answer in the 5 s that a request waits",
            "nothing at first; if it stays, see that the node reaches STS: `kube2iam doctor`",
        ),
    ),
    (
        Reason::Busy,
        Advice::new(
            "a limit of the agent is reached, or the pod starts more calls than 2 a second",
            "let the program keep its credentials instead of asking anew each time",
        ),
    ),
];
