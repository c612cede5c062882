//! Texts of steps.

use std::net::IpAddr;

use super::{ExplainedStep, StepOutcome};
use crate::logic::cluster::kubernetes::{AnnotationKeys, SESSION_NAME};
use crate::logic::cluster::world::{AddressHolder, HeldPod, PodTokens, TooOld, World};
use crate::logic::operator::advice::meaning;
use crate::logic::policy::pattern::{FirstMatch, RoleList, shown};
use crate::logic::policy::trace::{ListVerdict, Step};
use crate::logic::sts::AssumeRole;

pub(super) fn step(step: &str, outcome: StepOutcome, detail: impl Into<String>) -> ExplainedStep {
    ExplainedStep { step: step.to_owned(), outcome, detail: detail.into() }
}

/// The text of a policy step; `None` if it is explained elsewhere.
pub(super) fn of_policy(step: Step<'_>, namespace: &str, keys: &AnnotationKeys) -> Option<ExplainedStep> {
    let (role_key, list_key) = (&keys.role, &keys.allowed_roles);
    let (step, outcome, detail) = match step {
        Step::Holder(holder) => return of_holder(holder),
        Step::NotReady => {
            ("world", StepOutcome::Refused, "the first lists of pods and namespaces aren't complete yet".into())
        }
        Step::TooOld(TooOld { resource, age }) => (
            "world",
            StepOutcome::Refused,
            format!("the API server refuses, and its last state of {resource} is {} s old", age.as_secs()),
        ),
        Step::Annotation(None) => ("annotation", StepOutcome::Note, format!("the pod has no annotation `{role_key}`")),
        Step::Annotation(Some("")) => ("annotation", StepOutcome::Refused, format!("`{role_key}` is set, but empty")),
        Step::Annotation(Some(name)) => ("annotation", StepOutcome::Ok, format!("`{role_key}: {}`", shown(name))),
        Step::AccountRole(account, Some(name)) => {
            ("service account", StepOutcome::Ok, format!("service account `{account}` names `{}`", shown(name)))
        }
        Step::AccountRole(account, None) => {
            ("service account", StepOutcome::Note, format!("service account `{account}` names no role"))
        }
        Step::AccountUnknown(account) => {
            ("service account", StepOutcome::Refused, format!("service account `{account}` is not known"))
        }
        Step::NamespaceRole(name) => {
            ("namespace", StepOutcome::Ok, format!("the default role of namespace `{namespace}` is `{}`", shown(name)))
        }
        Step::SessionMalformed(reason) => ("session", StepOutcome::Refused, meaning(reason).to_owned()),
        Step::Default(Some(role)) => ("default", StepOutcome::Ok, format!("the default role is `{role}`")),
        Step::Default(None) => ("default", StepOutcome::Refused, "there is no default role".into()),
        Step::Role(role) => ("role", StepOutcome::Ok, format!("that is `{role}`")),
        Step::Malformed(name) => ("role", StepOutcome::Refused, format!("`{}` is not a role", shown(name))),
        Step::Unrestricted => ("namespace", StepOutcome::Ok, "namespaces restrict no role here".into()),
        Step::Exempt => ("namespace", StepOutcome::Ok, "the default role is exempt from namespaces' lists".into()),
        Step::NamespaceUnknown => ("namespace", StepOutcome::Refused, format!("namespace `{namespace}` is not known")),
        Step::NoList => (
            "namespace",
            StepOutcome::Refused,
            format!("namespace `{namespace}` has no annotation `{list_key}`: it allows no role"),
        ),
        Step::Unevaluated => (
            "namespace",
            StepOutcome::Refused,
            format!("`{list_key}` of namespace `{namespace}` hasn't been evaluated for it yet"),
        ),
        Step::Evaluated(..) => return None,
        Step::LetPass => ("policy", StepOutcome::Note, "--policy-mode=audit lets it pass".into()),
        Step::OwnRole => ("own role", StepOutcome::Refused, "the agent itself runs under it".into()),
        Step::Account(ListVerdict::Allows) => ("account", StepOutcome::Ok, "--allowed-accounts has its account".into()),
        Step::Account(ListVerdict::DoesNot) => {
            ("account", StepOutcome::Refused, "--allowed-accounts leaves its account out".into())
        }
        Step::NameIgnored => (
            "session",
            StepOutcome::Note,
            format!("`{SESSION_NAME}` is ignored: the agent runs without --session-name-annotation"),
        ),
        Step::Session(request) => ("session", StepOutcome::Ok, of_session(request)),
    };
    Some(self::step(step, outcome, detail))
}

/// The entries of a list up to the first that allows the role, or those that don't.
pub(super) fn of_list(list: &RoleList, first_match: FirstMatch, namespace: &str, list_key: &str) -> Vec<ExplainedStep> {
    let asked = first_match.map_or(list.len(), usize::from);
    let line = |outcome, index: usize, what: &str| {
        let entry = shown(list.entry(index));
        step("namespace", outcome, format!("`{entry}` in `{list_key}` of `{namespace}` {what}"))
    };
    let mut lines: Vec<ExplainedStep> =
        (0..asked.min(MOST_ENTRIES_SHOWN)).map(|index| line(StepOutcome::Note, index, "doesn't match")).collect();
    if asked > MOST_ENTRIES_SHOWN {
        let more = asked - MOST_ENTRIES_SHOWN;
        lines.push(step("namespace", StepOutcome::Note, format!("{more} more entries of `{list_key}` don't match")));
    }
    lines.extend(first_match.map(|first| line(StepOutcome::Ok, first.into(), "allows it")));
    lines
}

pub(super) fn unlisted(namespace: &str, list_key: &str) -> ExplainedStep {
    step("namespace", StepOutcome::Refused, format!("no entry of `{list_key}` of namespace `{namespace}` allows it"))
}

fn of_holder(holder: &AddressHolder<'_>) -> Option<ExplainedStep> {
    match holder {
        AddressHolder::Several(count) => {
            let detail = format!("{count} running pods claim the address, and none of them is being deleted");
            Some(step("shared", StepOutcome::Refused, detail))
        }
        AddressHolder::Nobody | AddressHolder::Pod(_) => None,
    }
}

fn of_session(request: &AssumeRole) -> String {
    let mut text = format!("`{}` for {} s", request.session_name, request.duration_s);
    if let Some(id) = &request.external_id {
        text.push_str(&format!(", external id `{}`", shown(id)));
    }
    if let Some(subject) = &request.subject {
        text.push_str(&format!(", by a token of ServiceAccount `{}`", shown(&subject.service_account)));
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

/// The facts about a pod, before any rule.
pub(super) fn of_pod(pod: &HeldPod, world: &World, age: &str, keys: &AnnotationKeys) -> Vec<ExplainedStep> {
    let account = if pod.service_account.is_empty() { "default" } else { &pod.service_account };
    let found = format!("`{}/{}`, uid {}, service account `{account}`; {age}", pod.namespace, pod.name, pod.uid);
    let phase = match (pod.finished, pod.deleting) {
        (true, _) => step(
            "phase",
            StepOutcome::Refused,
            "its phase is Succeeded or Failed: a finished pod has released its address",
        ),
        (false, true) => step("phase", StepOutcome::Note, "it is being deleted, and keeps its role until it is gone"),
        (false, false) => step("phase", StepOutcome::Ok, "it hasn't finished"),
    };
    let has_token = world.pod_tokens() == PodTokens::Accepted && !pod.finished;
    let without_address = if has_token { StepOutcome::Note } else { StepOutcome::Refused };
    let network = if pod.host_network {
        step("network", without_address, "`hostNetwork: true`: its address is the node's, not a pod's")
    } else {
        step("network", StepOutcome::Ok, "it has a network of its own, not hostNetwork")
    };
    let address = if pod.addresses.is_empty() {
        step("address", without_address, "it has no address yet")
    } else {
        step("address", StepOutcome::Ok, addresses(&pod.addresses))
    };
    let mut steps = vec![step("pod", StepOutcome::Ok, found), phase, network, address];
    if has_token {
        let only = if pod.has_address() { "also" } else { "only" };
        let detail = format!("it can {only} use container credentials, by its ServiceAccount token");
        steps.push(step("token", StepOutcome::Note, detail));
    }
    if !world.can_have_role(pod) {
        let detail = format!("`{}` and similar annotations aren't kept: the pod can't request credentials", keys.role);
        steps.push(step("annotation", StepOutcome::Note, detail));
    }
    steps
}

fn addresses(all: &[IpAddr]) -> String {
    all.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}

/// Limit of the entries shown that don't match.
const MOST_ENTRIES_SHOWN: usize = 20;
