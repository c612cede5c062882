//! The meaning and the fix of each reason: for `explain`, for Events on pods, and for `manifests/docs/reasons.md`.

mod table;
mod tokens;
mod web_identity;

use super::shell::command_line;
use crate::logic::policy::arn::BaseArn;
use crate::logic::policy::reason::Reason;
use table::advice;

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
pub fn meaning(reason: Reason) -> &'static str {
    advice(reason).meaning
}

/// How to fix it, in one sentence.
pub fn mend(reason: Reason, names: &AdviceNames<'_>) -> String {
    let AdviceNames { namespace, pod, role, role_key, list_key, base, listed, .. } = names;
    if let Some(mend) = advice(reason).mend {
        return mend.to_owned();
    }
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
        Reason::OtherRole => format!("ask for the pod's own role, `{role}`, or change its annotation `{role_key}`"),
        other => web_identity::mend(other, names),
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

/// Limit in bytes; a longer list is edited rather than pasted.
const LONGEST_COMMAND: usize = 4_096;

#[cfg(test)]
mod tests;
