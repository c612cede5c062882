//! Facts collected during an explanation, for its advice.

use super::story::Scene;
use super::words::{of_list, of_policy, step, unlisted};
use super::{ExplainedStep, StepOutcome, Subject};
use crate::logic::cluster::kubernetes::AnnotationKeys;
use crate::logic::cluster::world::{HeldPod, World};
use crate::logic::operator::advice::{AdviceNames, Base, mend};
use crate::logic::policy::arn::RoleArn;
use crate::logic::policy::reason::Reason;
use crate::logic::policy::trace::Step;

/// Names and lists.
pub(super) struct KnownFacts {
    namespace: String,
    pod: String,
    account: String,
    pub(super) role: Option<RoleArn>,
    /// The role's short name
    short: String,
    /// The entries of the namespace's list that were checked
    listed: Vec<String>,
    keys: AnnotationKeys,
    base: Base,
}

impl KnownFacts {
    pub(super) fn of(pod: Option<&HeldPod>, subject: &Subject, scene: &Scene<'_>) -> Self {
        let (namespace, name) = match (pod, subject) {
            (Some(pod), _) => (pod.namespace.to_string(), pod.name.to_string()),
            (None, Subject::Pod { namespace, name }) => (namespace.clone(), name.clone()),
            (None, Subject::Address(_)) => ("NAMESPACE".to_owned(), "POD".to_owned()),
        };
        let keys = scene.annotations.clone();
        let base = Base::of(scene.rules.map(|rules| &rules.base));
        let account = pod.map_or("SERVICEACCOUNT", |pod| &*pod.service_account).to_owned();
        Self { namespace, pod: name, account, role: None, short: String::new(), listed: Vec::new(), keys, base }
    }

    pub(super) fn on_step(&mut self, step: Step<'_>, scene: &Scene<'_>, steps: &mut Vec<ExplainedStep>) {
        match step {
            Step::Role(role) => {
                self.role = Some(role.clone());
                self.short = scene.rules.map_or(role.as_str(), |rules| rules.base.shorten(role)).to_owned();
            }
            Step::Evaluated(list, first_match) => {
                if first_match.is_none() {
                    self.listed = list.written().map(str::to_owned).collect();
                }
                steps.extend(of_list(list, first_match, &self.namespace, &self.keys.allowed_roles));
                if first_match.is_none() {
                    steps.extend(faults(scene.world, &self.namespace));
                    steps.push(unlisted(&self.namespace, &self.keys.allowed_roles));
                }
            }
            _ => {}
        }
        steps.extend(of_policy(step, &self.namespace, scene.annotations));
    }

    /// The advice, in one sentence; specific if the pod itself is the obstacle.
    pub(super) fn advice(&self, reason: Reason, pod: Option<&HeldPod>) -> String {
        match pod {
            Some(pod) if reason == Reason::UnknownPod && pod.host_network => {
                "remove `hostNetwork: true` from the pod, or give it credentials by other means: on the host network it \
                 has the node's own role"
                    .to_owned()
            }
            Some(pod) if reason == Reason::UnknownPod && pod.finished => {
                "nothing: a pod in phase Succeeded or Failed runs no program that could use credentials".to_owned()
            }
            _ => {
                let (role_key, list_key) = (&*self.keys.role, &*self.keys.allowed_roles);
                let role = if self.short.is_empty() { "ROLE" } else { &self.short };
                let (namespace, pod, account) = (&*self.namespace, &*self.pod, &*self.account);
                let (base, listed) = (self.base, Some(&*self.listed));
                mend(reason, &AdviceNames { namespace, pod, account, role, role_key, list_key, base, listed })
            }
        }
    }
}

/// The faults of a list that allows nothing.
fn faults(world: &World, namespace: &str) -> Vec<ExplainedStep> {
    let Some(held) = world.namespace(namespace).and_then(|namespace| namespace.allowed_roles.as_ref()) else {
        return Vec::new();
    };
    let whole = held.list().fault().map(ToString::to_string);
    let entries = held.findings().unwrap_or_default().iter().map(ToString::to_string);
    whole.into_iter().chain(entries).map(|fault| step("namespace", StepOutcome::Note, fault)).collect()
}
