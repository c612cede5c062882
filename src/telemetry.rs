//! What the agent says of itself: one log line per request or change, and metrics.
//!
//! Metrics bear kube2iam's names, labels and buckets. Every label but role ARNs and namespaces comes from a closed
//! list; those two are bounded by what pods here may use.

mod container;
mod metrics;
#[cfg(test)]
mod metrics_page;
mod operator;
mod process;
mod redirect;
mod sessions;

pub use metrics::Metrics;
pub use redirect::InPlace;

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use log::{Level, debug, info, warn};
use parking_lot::Mutex;

use crate::logic::base::time::Wall;
use crate::logic::cluster::kubernetes::Resource;
use crate::logic::cluster::world::{Change, HeldPod};
use crate::logic::operator::events::{Effect, RefusedPod, is_for_owner};
use crate::logic::operator::log_line::{FieldValue, LineParts, MessageText, Taken};
use crate::logic::policy::arn::NamedRole;
use crate::logic::policy::arn::RoleArn;
use crate::logic::policy::reason::Reason;
use crate::logic::request::message::Method;
use crate::logic::sessions::cache::CallReport;
use crate::logic::sts::{AssumeRole, StsFailure, StsFailureKind};

/// Counts and logs requests and changes.
pub struct Telemetry {
    pub metrics: Metrics,
    request_lines: RequestLines,
    /// Roles whose tags STS refuses; each is warned of once.
    untaggable: Mutex<HashSet<RoleArn>>,
    /// Where refusals of known pods go to become Events
    refusals: Option<RefusalSink>,
}

/// Takes a line of a request if the log has room for it; must not wait.
pub type RequestLines = Box<dyn Fn(LineParts<'_, &str>) -> Taken + Send + Sync>;

/// Takes a refusal; must not wait.
pub type RefusalSink = Arc<dyn Fn(RefusedPod) + Send + Sync>;

/// A request that has been answered.
pub struct AnsweredRequest<'a> {
    pub method: Method,
    pub target: &'a str,
    pub peer: IpAddr,
    pub status: u16,
    pub at: Wall,
    pub took: Duration,
    pub handler: &'static str,
    /// Which way in it took, if it isn't the metadata address
    pub way: &'static str,
    pub reason: Option<Reason>,
    /// The full cause, which never reaches the pod
    pub cause: Option<&'a str>,
    pub pod: Option<&'a Arc<HeldPod>>,
    /// The role that was refused
    pub role: Option<&'a RoleArn>,
    /// Why it would have been refused if the policy were enforced
    pub audited: Option<Reason>,
    /// Whether a line is written; health, readiness and metrics are asked too often for one.
    pub log: LogLine,
}

/// Whether a request gets a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLine {
    Written,
    Left,
}

impl Telemetry {
    pub fn new(metrics: Metrics, request_lines: RequestLines) -> Self {
        Self { metrics, request_lines, untaggable: Mutex::default(), refusals: None }
    }

    /// The same, telling `refusals` of those who are refused.
    pub fn telling(self, refusals: Option<RefusalSink>) -> Self {
        Self { refusals, ..self }
    }

    /// Counts a request, and logs it.
    pub fn answered(&self, answered: &AnsweredRequest<'_>) {
        self.metrics.answered(answered);
        self.tell_owner(answered);
        if answered.log == LogLine::Written && log::log_enabled!(Level::Info) && self.write(answered) == Taken::No {
            self.metrics.log_lines_dropped.inc();
        }
    }

    fn write(&self, answered: &AnsweredRequest<'_>) -> Taken {
        let (method, status, target) = (answered.method.label(), answered.status, cut(answered.target));
        let (namespace, pod) = answered.pod.map_or(("", ""), |pod| (&*pod.namespace, &*pod.name));
        let reason = answered.reason.or(answered.audited).map_or("", Reason::word);
        let fields = [
            ("cause", FieldValue::Text(answered.cause.unwrap_or_default())),
            ("params.iam.role", FieldValue::Text(answered.role.map_or("", RoleArn::as_str))),
            ("pod.name", FieldValue::Text(pod)),
            ("pod.namespace", FieldValue::Text(namespace)),
            ("policy", FieldValue::Text(if answered.audited.is_some() { "audit" } else { "" })),
            ("reason", FieldValue::Text(reason)),
            ("req.method", FieldValue::Text(method)),
            ("req.path", FieldValue::Text(&target)),
            ("req.remote", FieldValue::Address(answered.peer)),
            ("res.duration", FieldValue::Span(answered.took)),
            ("res.status", FieldValue::Whole(status.into())),
            ("way", FieldValue::Text(answered.way)),
        ];
        (self.request_lines)(LineParts {
            at: answered.at,
            level: "info",
            message: MessageText::Answered { method, target: &target, status, took: answered.took },
            fields: &fields,
        })
    }

    /// Passes on a refusal that the pod's owner can mend, for an Event.
    fn tell_owner(&self, answered: &AnsweredRequest<'_>) {
        let (Some(refusals), Some(pod)) = (&self.refusals, answered.pod) else { return };
        let told = match (answered.reason, answered.audited) {
            (Some(reason), _) => Some((reason, Effect::Refused)),
            (None, Some(reason)) => Some((reason, Effect::LetPass)),
            (None, None) => None,
        };
        if let Some((reason, effect)) = told.filter(|(reason, _)| is_for_owner(*reason)) {
            refusals(RefusedPod { pod: pod.clone(), reason, effect });
        }
    }

    /// Counts what became of a connection.
    pub fn at_the_door(&self, event: &str) {
        self.metrics.listen.with_label_values(&[event]).inc();
    }

    /// Counts a change of the World.
    pub fn changed(&self, change: &Change) {
        match change {
            Change::Nothing => {}
            Change::PodApplied(pod, _) => pod_line("pod seen", pod),
            Change::PodGone(pod) => pod_line("pod gone", pod),
            Change::NamespaceApplied { name, .. } => debug!("ns.name" = &**name; "namespace seen"),
            Change::ListEvaluated(name) => debug!("ns.name" = &**name; "list of roles evaluated"),
            Change::NamespaceGone(name) => debug!("ns.name" = &**name; "namespace gone"),
            Change::ServiceAccountApplied { namespace, name, .. } => {
                debug!("ns.name" = &**namespace, "account.name" = &**name; "service account seen");
            }
            Change::Listed(Resource::Pods, _) => info!("pods are listed"),
            Change::Listed(Resource::Namespaces, _) => info!("namespaces are listed"),
            Change::Listed(Resource::ServiceAccounts, _) => info!("service accounts are listed"),
        }
    }

    /// Counts a call to STS, and logs it.
    pub fn called(&self, report: &CallReport<'_>) {
        self.metrics.sessions.called(report);
        let (request, purpose) = (report.request, report.purpose.word());
        match report.failure {
            None => {
                let (role, session) = (request.role.as_str(), request.session_name.as_str());
                debug!("params.iam.role" = role, "session" = session, "purpose" = purpose; "assumed role");
            }
            Some(failure) if failure.is_about_tags() => {
                if self.untaggable.lock().insert(request.role.clone()) {
                    failure_line(
                        request,
                        purpose,
                        failure,
                        "; its trust policy and the node's permissions need sts:TagSession for --session-tags",
                    );
                }
            }
            Some(failure) if failure.kind == StsFailureKind::Refused => failure_line(request, purpose, failure, ""),
            // An outage concerns all roles alike: it has lines of its own.
            Some(failure) => {
                let (role, code) = (request.role.as_str(), failure.code.as_str());
                debug!("params.iam.role" = role, "purpose" = purpose, "code" = code; "failed to assume `{role}`: {}", failure.message);
            }
        }
    }

    /// Forgets what is known of roles that no pod here may have any more.
    pub fn retain_roles(&self, roles: &HashSet<RoleArn>) {
        self.metrics.sessions.retain_roles(roles);
        self.untaggable.lock().retain(|role| roles.contains(role));
    }
}

fn failure_line(request: &AssumeRole, purpose: &str, failure: &StsFailure, advice: &str) {
    let role = request.role.as_str();
    warn!(
        "params.iam.role" = role, "session" = request.session_name.as_str(), "purpose" = purpose,
        "code" = failure.code.as_str(), "request.id" = failure.request_id.as_deref().unwrap_or_default();
        "failed to assume `{role}`: {}{advice}", failure.message
    );
}

/// As much of a target as a line shows; a cut one ends in dots.
fn cut(target: &str) -> Cow<'_, str> {
    if target.len() <= SHOWN_TARGET {
        return target.into();
    }
    match target.char_indices().nth(SHOWN_TARGET) {
        Some((end, _)) => format!("{}...", &target[..end]).into(),
        None => target.into(),
    }
}

fn pod_line(message: &str, pod: &HeldPod) {
    let address = pod.addresses.first().map(IpAddr::to_string).unwrap_or_default();
    debug!(
        "pod.name" = &*pod.name, "pod.namespace" = &*pod.namespace, "pod.status.ip" = address.as_str(),
        "pod.iam.role" = pod.role().map(NamedRole::written).unwrap_or_default().as_ref();
        "{message}"
    );
}

/// Characters of a target in a line: those that mean something are shorter, and a head may have 8 KiB.
const SHOWN_TARGET: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_targets_are_cut_visibly_and_between_characters() {
        let whole = "é".repeat(SHOWN_TARGET);
        assert_eq!(cut(&whole), whole);
        assert_eq!(cut(&format!("{whole}é")), format!("{whole}..."));
    }
}
