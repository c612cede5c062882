//! What each reason means and how to mend it: for `explain`, for the Events on pods, for `manifests/docs/reasons.md`.

mod tokens;
mod web_identity;

use super::shell::command_line;
use crate::logic::policy::arn::BaseArn;
use crate::logic::policy::reason::Reason;

/// The names that advice fills in.
#[derive(Clone, Copy, Debug)]
pub struct AdviceNames<'a> {
    pub namespace: &'a str,
    pub pod: &'a str,
    /// Its ServiceAccount
    pub account: &'a str,
    /// As far as it is known; empty otherwise
    pub role: &'a str,
    /// `--iam-role-key`
    pub role_key: &'a str,
    /// `--namespace-key`
    pub list_key: &'a str,
    pub base: Base,
    /// What the namespace's list holds already, where it is known
    pub listed: Option<&'a [String]>,
}

/// Whether something is put before short names of roles: `--base-role-arn`, or what was discovered.
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
    /// Stand-ins, for a text about no pod in particular.
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

/// What a reason means, in one sentence.
pub const fn meaning(reason: Reason) -> &'static str {
    match reason {
        Reason::BadPath => "the path has no plain form: it is encoded twice, has a backslash or a control character",
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
        Reason::TokenRequired => "a session token (IMDSv2) is required here and none came",
        Reason::ForwardedFor => "the request came through a proxy (`X-Forwarded-For`)",
        Reason::TokenPathVersioned => "a token was asked for at a versioned path",
        Reason::KeptBack => {
            "the path holds the node's own secrets or proofs of identity, or `--metadata-deny` names it"
        }
        Reason::OtherRole => "another role than the pod's own was asked for",
        Reason::OwnRole => "the role is the one under which the agent itself works",
        Reason::AccountNotAllowed => "the role's account is not one of `--allowed-accounts`",
        Reason::TagsRefused => "AWS refused the tags of the session, and without them it isn't given",
        Reason::StsRefused => "AWS refused to let the agent assume the role",
        Reason::NotFound => "nothing is served at this path",
        Reason::UnknownPod => "no pod is known at the address that asked",
        Reason::AmbiguousAddress => "several running pods claim the address that asked",
        Reason::NoRole => "the pod names no role and there is no default role",
        Reason::RoleMalformed => {
            "what the pod names is not a role: a name of at most 64 characters, behind a path of at most 512 without empty, `.` or `..` segments"
        }
        Reason::ExternalIdMalformed => "the pod's external id is none that STS takes",
        Reason::PolicyMalformed => {
            "the policy that should narrow the pod's session is no JSON object, or longer than 2048 characters, `policy-arns` counted in"
        }
        Reason::PolicyArnsMalformed => "the list of policies that should narrow the pod's session is none, or too long",
        Reason::UnknownServiceAccount => "the pod's ServiceAccount isn't known, so neither is the role it may name",
        Reason::UnknownNamespace => "the pod's namespace isn't known, so neither is what it allows",
        Reason::RoleNotAllowed => "the pod's namespace doesn't allow the role",
        Reason::MethodNotAllowed => "the method isn't served at this path",
        Reason::NoNodeCredentials => "the node has no credentials to call STS with, or AWS no longer takes them",
        Reason::NoRegion => "no region is known to call STS in",
        Reason::Internal => "the agent failed in a way that it should not",
        Reason::MetadataUnavailable => "the EC2 metadata service didn't answer",
        Reason::NotReady => "the agent has just started: the first lists of pods and namespaces aren't in yet",
        Reason::WatchBroken => {
            "the pod, its namespace or its ServiceAccount isn't known, and the API server gives the agent no news just now"
        }
        Reason::WorldStale => {
            "the API server has refused the agent for so long that addresses may have gone to other pods"
        }
        Reason::PolicyPending => "what the namespace's list says of the role isn't found out yet",
        Reason::OwnerChanged => "the address went to another pod while the answer was made",
        Reason::StsThrottled => "STS asks for patience",
        Reason::StsUnavailable => "STS, or the way to it, is broken",
        Reason::StsTimeout => "STS didn't answer in the 5 s that a request waits",
        Reason::Busy => "a limit of the agent is reached, or the pod starts more calls than 2 a second",
    }
}

/// How to mend it, in one sentence.
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
        Reason::OwnRole => format!("give the pod a role of its own: `{role}` is the node's"),
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

/// The command that writes a list; `None` for one that is too long to be printed.
fn annotate(namespace: &str, list_key: &str, list: &str) -> Option<String> {
    let annotation = format!("{list_key}={list}");
    let command = command_line(["kubectl", "annotate", "namespace", namespace, "--overwrite", &annotation]);
    (command.len() <= LONGEST_COMMAND).then(|| format!(": `{command}`"))
}

/// The JSON array of what is listed and one more, in ASCII: on a terminal other characters may not be what they seem.
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

/// What to do where no name matters.
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
        Reason::Busy => "let the program keep its credentials instead of asking anew each time",
        // Advised with names, by `mend`.
        _ => "see `kube2iam explain`",
    }
}

/// Bytes; a longer list is edited, not pasted.
const LONGEST_COMMAND: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_meaning_and_a_remedy() {
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
    fn where_a_base_is_set_nobody_is_told_to_set_one() {
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
    fn advice_names_the_keys_that_are_configured() {
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
