//! The meaning and the fix of each reason: for `explain`, for Events on pods, and for `manifests/docs/reasons.md`.

mod tokens;
mod web_identity;

use super::shell::command_line;
use crate::logic::policy::arn::BaseArn;
use crate::logic::policy::reason::Reason;

/// The names that the advice contains.
#[derive(Clone, Copy, Debug)]
pub struct AdviceNames<'a> {
    pub namespace: &'a str,
    pub pod: &'a str,
    /// The pod's ServiceAccount
    pub account: &'a str,
    /// Empty if unknown
    pub role: &'a str,
    /// `--iam-role-key`
    pub role_key: &'a str,
    /// `--namespace-key`
    pub list_key: &'a str,
    pub base: Base,
    /// The current entries of the namespace's list, if known
    pub listed: Option<&'a [String]>,
}

/// Whether short role names get a prefix: `--base-role-arn`, or a discovered one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    Set,
    /// Or not known yet
    Unset,
}

impl Base {
    pub fn of(base: Option<&BaseArn>) -> Self {
        if base.is_some_and(|base| !base.as_str().is_empty()) { Self::Set } else { Self::Unset }
    }
}

impl AdviceNames<'static> {
    /// Placeholders, for a text about no particular pod.
    pub const SAMPLE: Self = Self {
        namespace: "NAMESPACE",
        pod: "POD",
        account: "SERVICEACCOUNT",
        role: "ROLE",
        role_key: "iam.amazonaws.com/role",
        list_key: "iam.amazonaws.com/allowed-roles",
        base: Base::Unset,
        listed: None,
    };
}

/// The meaning of a reason, in one sentence.
pub const fn meaning(reason: Reason) -> &'static str {
    match reason {
        Reason::BadPath => "the path is not canonical: it is encoded twice, or has a backslash or a control character",
        Reason::BadTokenTtl => "the TTL of a token request is missing or not within 1 to 21600 seconds",
        Reason::TokenMissing
        | Reason::TokenMalformed
        | Reason::TokenUntrusted
        | Reason::TokenExpired
        | Reason::TokenAudience
        | Reason::TokenUnbound
        | Reason::TokenOtherNode
        | Reason::TokenPodMismatch
        | Reason::TokenOtherPod
        | Reason::HostNotAllowed
        | Reason::KeysUnknown => tokens::meaning(reason),
        Reason::ProofRequired
        | Reason::StsTokenInvalid
        | Reason::StsClaimRejected
        | Reason::StsTokenUntrusted
        | Reason::ExternalIdUnsupported
        | Reason::StsTokenExpired
        | Reason::StsIssuerUnreachable => web_identity::meaning(reason),
        Reason::TokenInvalid => "the session token has expired, is forged or another pod's",
        Reason::TokenRequired => "a session token (IMDSv2) is required here and the request has none",
        Reason::ForwardedFor => "the request came through a proxy (`X-Forwarded-For`)",
        Reason::TokenPathVersioned => "a token was requested at a versioned path",
        Reason::KeptBack => {
            "the path contains the node's own secrets or identity documents, or `--metadata-deny` matches it"
        }
        Reason::OtherRole => "the request names another role than the pod's own",
        Reason::OwnRole => "the agent itself runs under the role",
        Reason::AccountNotAllowed => "the role's account is not one of `--allowed-accounts`",
        Reason::TagsRefused => "AWS refused the session's tags, and the session isn't requested without them",
        Reason::StsRefused => "AWS refused to let the agent assume the role",
        Reason::NotFound => "nothing is served at this path",
        Reason::UnknownPod => "no pod is known at the request's source address",
        Reason::AmbiguousAddress => "several running pods claim the request's source address",
        Reason::NoRole => "the pod names no role and there is no default role",
        Reason::RoleMalformed => {
            "the pod's annotation is not a role: a name of at most 64 characters, after a path of at most 512 without empty, `.` or `..` segments"
        }
        Reason::ExternalIdMalformed => "the pod's external ID isn't valid for STS",
        Reason::PolicyMalformed => {
            "the pod's session policy is not a JSON object, or longer than 2048 characters together with `policy-arns`"
        }
        Reason::PolicyArnsMalformed => "the pod's list of session policy ARNs is malformed, or too long",
        Reason::UnknownServiceAccount => "the pod's ServiceAccount isn't known, so neither is the role it may name",
        Reason::UnknownNamespace => "the pod's namespace isn't known, so neither are the roles it allows",
        Reason::RoleNotAllowed => "the pod's namespace doesn't allow the role",
        Reason::MethodNotAllowed => "the method isn't served at this path",
        Reason::NoNodeCredentials => "the node has no credentials for calls to STS, or AWS no longer accepts them",
        Reason::NoRegion => "no region is known for calls to STS",
        Reason::Internal => "an internal error of the agent",
        Reason::MetadataUnavailable => "the EC2 metadata service didn't answer",
        Reason::NotReady => "the agent has just started: the first lists of pods and namespaces aren't complete yet",
        Reason::WatchBroken => {
            "the pod, its namespace or its ServiceAccount isn't known, and the watch that would report it is failing"
        }
        Reason::WorldStale => {
            "the API server has refused the agent for so long that addresses may have moved to other pods"
        }
        Reason::PolicyPending => "the namespace's list hasn't been evaluated for the role yet",
        Reason::OwnerChanged => "the address moved to another pod while the response was prepared",
        Reason::StsThrottled => "STS throttles calls",
        Reason::StsUnavailable => "STS is unreachable or failing",
        Reason::StsTimeout => "STS didn't respond within the 5 s that a request waits",
        Reason::Busy => "a limit of the agent is reached, or the pod causes more than 2 calls a second",
    }
}

/// How to fix it, in one sentence.
pub fn mend(reason: Reason, names: &AdviceNames<'_>) -> String {
    let AdviceNames { namespace, pod, role, role_key, list_key, base, listed, .. } = names;
    match reason {
        Reason::RoleNotAllowed => {
            let list = format!("list `{role}` in the annotation `{list_key}` of namespace `{namespace}`, a JSON array");
            let command = listed.and_then(|listed| annotate(namespace, list_key, &list_with(listed, role)));
            list + &command.unwrap_or_default()
        }
        Reason::NoRole => format!(
            "name a role in the annotation `{role_key}` of the pod's template, or start the agent with --default-role"
        ),
        Reason::RoleMalformed if *base == Base::Set => format!(
            "write the annotation `{role_key}` as the role's name, with its path if it has one, as it stands behind the \
             agent's base; or as arn:PARTITION:iam::ACCOUNT:role/NAME"
        ),
        Reason::RoleMalformed => format!(
            "write the annotation `{role_key}` as arn:PARTITION:iam::ACCOUNT:role/NAME, or as a name and start the \
             agent with --base-role-arn"
        ),
        Reason::StsRefused => format!(
            "let the trust policy of `{role}` name the agent's own role as principal, and let the agent's own role \
             sts:AssumeRole on it; `{}` shows which is missing; where AWS's code in the agent's log isn't AccessDenied, its \
             message there says what to change",
            command_line(["kube2iam", "doctor", &format!("--role={role}")])
        ),
        Reason::TagsRefused => format!(
            "let both the trust policy of `{role}` and the agent's own role allow sts:TagSession, or start the agent \
             without --session-tags"
        ),
        Reason::UnknownPod => format!(
            "wait until the pod runs and has an address, and ask the agent of the pod's own node: \
             `{}`",
            command_line(["kubectl", "get", "pod", "-n", namespace, pod, "-o", "wide"])
        ),
        Reason::UnknownNamespace => format!(
            "wait a second; if it stays, look whether namespace `{namespace}` exists and the agent may list namespaces"
        ),
        Reason::OwnRole => format!("give the pod a role of its own: the agent itself runs under `{role}`"),
        Reason::AccountNotAllowed => format!("add the account of `{role}` to --allowed-accounts, or name another role"),
        Reason::ProofRequired
        | Reason::StsTokenInvalid
        | Reason::StsClaimRejected
        | Reason::StsTokenUntrusted
        | Reason::ExternalIdUnsupported
        | Reason::StsTokenExpired
        | Reason::StsIssuerUnreachable => web_identity::mend(reason, names),
        Reason::OtherRole => format!("ask for the pod's own role, `{role}`, or change its annotation `{role_key}`"),
        other => always(other).to_owned(),
    }
}

/// The command that writes a list; `None` if it is too long to print.
fn annotate(namespace: &str, list_key: &str, list: &str) -> Option<String> {
    let annotation = format!("{list_key}={list}");
    let command = command_line(["kubectl", "annotate", "namespace", namespace, "--overwrite", &annotation]);
    (command.len() <= LONGEST_COMMAND).then(|| format!(": `{command}`"))
}

/// The JSON array of `listed` and `role`, in ASCII: other characters may look deceptive on a terminal.
fn list_with(listed: &[String], role: &str) -> String {
    let all: Vec<&str> = listed.iter().map(String::as_str).chain([role]).collect();
    let mut ascii = String::new();
    for c in crate::logic::base::json::text(&all).chars() {
        match c {
            ' '..='~' => ascii.push(c),
            _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| ascii.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    ascii
}

/// The fixes that contain no names.
const fn always(reason: Reason) -> &'static str {
    match reason {
        Reason::ExternalIdMalformed => {
            "write `iam.amazonaws.com/external-id` as 2 to 1224 letters, digits and _+=,.@:/-"
        }
        Reason::PolicyMalformed => {
            "write `iam.amazonaws.com/policy` as a JSON object; with `iam.amazonaws.com/policy-arns` at most 2048 characters"
        }
        Reason::PolicyArnsMalformed => {
            "list at most 10 policy ARNs in `iam.amazonaws.com/policy-arns`, 2048 characters in all"
        }
        Reason::UnknownServiceAccount => {
            "wait a second; if it stays, look whether the account exists and the agent may list serviceaccounts"
        }
        Reason::BadPath => "ask for the path as AWS documents it",
        Reason::BadTokenTtl => "send `X-aws-ec2-metadata-token-ttl-seconds: 21600`, as SDKs do",
        Reason::TokenMissing
        | Reason::TokenMalformed
        | Reason::TokenUntrusted
        | Reason::TokenExpired
        | Reason::TokenAudience
        | Reason::TokenUnbound
        | Reason::TokenOtherNode
        | Reason::TokenPodMismatch
        | Reason::TokenOtherPod
        | Reason::HostNotAllowed
        | Reason::KeysUnknown => tokens::mend(reason),
        Reason::TokenInvalid => "nothing: SDKs ask for another token by themselves",
        Reason::TokenRequired => "use an SDK that speaks IMDSv2, or let namespace, pod or --imds-v2 require no token",
        Reason::ForwardedFor => "let the request bypass the proxy: set NO_PROXY=169.254.169.254 in the pod",
        Reason::TokenPathVersioned => "ask at /latest/api/token",
        Reason::KeptBack => "start the agent with --metadata-allow if pods really need it",
        Reason::NotFound => "ask for a path that exists; the agent's own pages are at the node's address",
        Reason::AmbiguousAddress => {
            "wait until one of the pods is gone, or start the agent with --resolve-duplicate-cache-ips"
        }
        Reason::MethodNotAllowed => "use GET, HEAD, or PUT for a token",
        Reason::NoNodeCredentials => {
            "give the node an instance role, or the agent AWS_* variables; `kube2iam doctor` shows what is missing"
        }
        Reason::NoRegion => "set AWS_REGION, or let the agent reach the metadata service",
        Reason::Internal => "report it with the agent's log",
        Reason::MetadataUnavailable => "see that the node reaches 169.254.169.254: `kube2iam doctor`",
        Reason::NotReady => "wait; if it stays, see that the agent reaches the API server: `kube2iam doctor`",
        Reason::WatchBroken => {
            "wait; if it stays, see that the agent reaches the API server and may watch: `kube2iam doctor`"
        }
        Reason::WorldStale => {
            "see why it refuses: `kube2iam status` and `kube2iam doctor`; --max-world-age says how long is too long"
        }
        Reason::PolicyPending => {
            "wait a second; if it stays, make the expressions in the namespace's list simpler or fewer"
        }
        Reason::OwnerChanged => "nothing: the next request gets its own answer",
        Reason::StsThrottled => "nothing at first; if it stays, lower --sts-qps or ask AWS for a higher limit",
        Reason::StsUnavailable => "see that the node reaches STS, by `kube2iam doctor`, and AWS's health page",
        Reason::StsTimeout => "nothing at first; if it stays, see that the node reaches STS: `kube2iam doctor`",
        Reason::Busy => "let the program cache its credentials instead of requesting them each time",
        // These have advice with names in `mend`.
        _ => "see `kube2iam explain`",
    }
}

/// Limit in bytes; a longer list is edited rather than pasted.
const LONGEST_COMMAND: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_distinct_meaning_and_a_fix() {
        let mut meanings: Vec<&str> = Reason::ALL.iter().map(|reason| meaning(*reason)).collect();
        meanings.sort_unstable();
        meanings.dedup();
        assert_eq!(meanings.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            let text = mend(*reason, &AdviceNames::SAMPLE);
            assert!(!text.is_empty() && !text.contains('\n') && !text.starts_with("see `kube2iam explain`"), "{text}");
        }
    }

    #[test]
    fn advice_suggests_a_base_only_if_none_is_set() {
        let advice = |base| mend(Reason::RoleMalformed, &AdviceNames { base, ..AdviceNames::SAMPLE });
        assert!(advice(Base::Unset).ends_with("or as a name and start the agent with --base-role-arn"));
        assert!(advice(Base::Set).contains("as it stands behind the agent's base"));
        assert!(!advice(Base::Set).contains("--base-role-arn"));
        let given = BaseArn::parse("arn:aws:iam::123456789012:role/").ok();
        for (base, expected) in [(given, Base::Set), (Some(BaseArn::default()), Base::Unset), (None, Base::Unset)] {
            assert_eq!(Base::of(base.as_ref()), expected);
        }
    }

    #[test]
    fn advice_names_the_configured_keys() {
        let listed = ["other*".to_owned()];
        let names = AdviceNames {
            list_key: "example.org/roles",
            role: "app",
            namespace: "shop",
            listed: Some(&listed),
            ..AdviceNames::SAMPLE
        };
        let text = mend(Reason::RoleNotAllowed, &names);
        assert!(
            text.contains("kubectl annotate namespace shop --overwrite 'example.org/roles=[\"other*\",\"app\"]'"),
            "{text}"
        );
    }
}
