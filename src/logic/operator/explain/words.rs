//! Steps in words.

use std::net::IpAddr;

use super::{Outcome, Told};
use crate::logic::cluster::kubernetes::{AnnotationKeys, SESSION_NAME};
use crate::logic::cluster::world::{HeldPod, Holder, TooOld};
use crate::logic::operator::advice::meaning;
use crate::logic::policy::pattern::{FirstMatch, RoleList, shown};
use crate::logic::policy::trace::{Step, Verdict};
use crate::logic::sts::AssumeRole;

/// A step, made of its parts.
pub(super) fn told(step: &str, outcome: Outcome, detail: impl Into<String>) -> Told {
    Told { step: step.to_owned(), outcome, detail: detail.into() }
}

/// A step of the policy in words; `None` for one that is told elsewhere.
pub(super) fn of_policy(step: Step<'_>, namespace: &str, keys: &AnnotationKeys) -> Option<Told> {
    let (role_key, list_key) = (&keys.role, &keys.allowed_roles);
    let (step, outcome, detail) = match step {
        Step::Holder(holder) => return of_holder(holder),
        Step::NotReady => ("world", Outcome::Refused, "the first lists of pods and namespaces aren't in yet".into()),
        Step::TooOld(TooOld { resource, age }) => (
            "world",
            Outcome::Refused,
            format!("the API server refuses, and what is known of {resource} is {} s old", age.as_secs()),
        ),
        Step::Annotation(None) => ("annotation", Outcome::Note, format!("the pod has no annotation `{role_key}`")),
        Step::Annotation(Some("")) => ("annotation", Outcome::Refused, format!("`{role_key}` is there, but empty")),
        Step::Annotation(Some(name)) => ("annotation", Outcome::Ok, format!("`{role_key}: {}`", shown(name))),
        Step::AccountRole(account, Some(name)) => {
            ("service account", Outcome::Ok, format!("service account `{account}` names `{}`", shown(name)))
        }
        Step::AccountRole(account, None) => {
            ("service account", Outcome::Note, format!("service account `{account}` names no role"))
        }
        Step::AccountUnknown(account) => {
            ("service account", Outcome::Refused, format!("service account `{account}` is not known"))
        }
        Step::NamespaceRole(name) => {
            ("namespace", Outcome::Ok, format!("the default role of namespace `{namespace}` is `{}`", shown(name)))
        }
        Step::SessionMalformed(reason) => ("session", Outcome::Refused, meaning(reason).to_owned()),
        Step::Default(Some(role)) => ("default", Outcome::Ok, format!("the default role is `{role}`")),
        Step::Default(None) => ("default", Outcome::Refused, "there is no default role".into()),
        Step::Role(role) => ("role", Outcome::Ok, format!("that is `{role}`")),
        Step::Malformed(name) => ("role", Outcome::Refused, format!("`{}` is not a role", shown(name))),
        Step::Unrestricted => ("namespace", Outcome::Ok, "namespaces restrict no role here".into()),
        Step::Exempt => ("namespace", Outcome::Ok, "the default role is exempt from namespaces' lists".into()),
        Step::NamespaceUnknown => ("namespace", Outcome::Refused, format!("namespace `{namespace}` is not known")),
        Step::NoList => (
            "namespace",
            Outcome::Refused,
            format!("namespace `{namespace}` has no annotation `{list_key}`: it allows no role"),
        ),
        Step::Unevaluated => (
            "namespace",
            Outcome::Refused,
            format!("what `{list_key}` of namespace `{namespace}` says of it isn't found out yet"),
        ),
        Step::Evaluated(..) => return None,
        Step::LetPass => ("policy", Outcome::Note, "--policy-mode=audit lets it pass".into()),
        Step::OwnRole => ("own role", Outcome::Refused, "it is the role under which the agent itself works".into()),
        Step::Account(Verdict::Allows) => ("account", Outcome::Ok, "--allowed-accounts has its account".into()),
        Step::Account(Verdict::DoesNot) => {
            ("account", Outcome::Refused, "--allowed-accounts leaves its account out".into())
        }
        Step::NameIgnored => (
            "session",
            Outcome::Note,
            format!("`{SESSION_NAME}` is ignored: the agent runs without --session-name-annotation"),
        ),
        Step::Session(request) => ("session", Outcome::Ok, of_session(request)),
    };
    Some(told(step, outcome, detail))
}

/// The entries of a list: the first that allows the role, or some that don't.
pub(super) fn of_list(list: &RoleList, first_match: FirstMatch, namespace: &str, list_key: &str) -> Vec<Told> {
    let asked = first_match.map_or(list.len(), usize::from);
    let line = |outcome, index: usize, what: &str| {
        let entry = shown(list.entry(index));
        told("namespace", outcome, format!("`{entry}` in `{list_key}` of `{namespace}` {what}"))
    };
    let mut lines: Vec<Told> =
        (0..asked.min(MOST_ENTRIES_SHOWN)).map(|index| line(Outcome::Note, index, "doesn't match")).collect();
    if asked > MOST_ENTRIES_SHOWN {
        let more = asked - MOST_ENTRIES_SHOWN;
        lines.push(told("namespace", Outcome::Note, format!("{more} more entries of `{list_key}` don't match")));
    }
    lines.extend(first_match.map(|first| line(Outcome::Ok, first.into(), "allows it")));
    lines
}

pub(super) fn unlisted(namespace: &str, list_key: &str) -> Told {
    told("namespace", Outcome::Refused, format!("no entry of `{list_key}` of namespace `{namespace}` allows it"))
}

fn of_holder(holder: &Holder<'_>) -> Option<Told> {
    match holder {
        Holder::Several(count) => {
            let detail = format!("{count} running pods claim the address, and none of them is being deleted");
            Some(told("shared", Outcome::Refused, detail))
        }
        Holder::Nobody | Holder::Pod(_) => None,
    }
}

fn of_session(request: &AssumeRole) -> String {
    let mut text = format!("`{}` for {} s", request.session_name, request.duration_s);
    if let Some(id) = &request.external_id {
        text.push_str(&format!(", external id `{}`", shown(id)));
    }
    if !request.tags.is_empty() {
        let tags: Vec<String> = request.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        text.push_str(&format!(", tags {}", tags.join(" ")));
    }
    if request.policy.is_some() || !request.policy_arns.is_empty() {
        text.push_str(", narrowed by a session policy");
    }
    text
}

/// What is told of a pod before any rule is asked.
pub(super) fn of_pod(pod: &HeldPod, age: &str, keys: &AnnotationKeys) -> Vec<Told> {
    let account = if pod.service_account.is_empty() { "default" } else { &pod.service_account };
    let found = format!("`{}/{}`, uid {}, service account `{account}`; {age}", pod.namespace, pod.name, pod.uid);
    let phase = match (pod.finished, pod.deleting) {
        (true, _) => told(
            "phase",
            Outcome::Refused,
            "its phase is Succeeded or Failed: a finished pod has given its address back",
        ),
        (false, true) => told("phase", Outcome::Note, "it is being deleted, and keeps its role until it is gone"),
        (false, false) => told("phase", Outcome::Ok, "it hasn't finished"),
    };
    let network = if pod.host_network {
        told("network", Outcome::Refused, "`hostNetwork: true`: its address is the node's, which tells no pods apart")
    } else {
        told("network", Outcome::Ok, "it has a network of its own, not hostNetwork")
    };
    let address = if pod.addresses.is_empty() {
        told("address", Outcome::Refused, "it has no address yet")
    } else {
        told("address", Outcome::Ok, addresses(&pod.addresses))
    };
    let mut steps = vec![told("pod", Outcome::Ok, found), phase, network, address];
    if !pod.counts() {
        let detail = format!("`{}` and the like aren't kept of it: nothing could ask for what they say", keys.role);
        steps.push(told("annotation", Outcome::Note, detail));
    }
    steps
}

fn addresses(all: &[IpAddr]) -> String {
    all.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}

/// Entries that don't match, of a list that may have many.
const MOST_ENTRIES_SHOWN: usize = 20;
