//! Logging and metrics: one log line per request or change, and Prometheus metrics.
//!
//! Metrics have kube2iam's names, labels and buckets. All label values come from closed lists, except role ARNs and
//! namespaces, which are limited to those that pods on this node may use.

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
    /// Roles for which STS refuses tags; each is logged once.
    untaggable: Mutex<HashSet<RoleArn>>,
    /// Receives refusals of known pods, for Events
    refusals: Option<RefusalSink>,
}

/// Queues a request's log line if there is room; must not block.
pub type RequestLines = Box<dyn Fn(LineParts<'_, &str>) -> Taken + Send + Sync>;

/// Receives a refusal; must not block.
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
    /// How the request arrived, if not through the metadata address
    pub way: &'static str,
    pub reason: Option<Reason>,
    /// The full cause, which never reaches the pod
    pub cause: Option<&'a str>,
    pub pod: Option<&'a Arc<HeldPod>>,
    /// The role that was refused
    pub role: Option<&'a RoleArn>,
    /// Why it would have been refused if the policy were enforced
    pub audited: Option<Reason>,
    /// Whether a line is logged; health, readiness and metrics are requested too often.
    pub log: LogLine,
}

/// Whether a request is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLine {
    Written,
    Left,
}

impl Telemetry {
    pub fn new(metrics: Metrics, request_lines: RequestLines) -> Self {
        Self { metrics, request_lines, untaggable: Mutex::default(), refusals: None }
    }

    /// Adds a receiver of refusals.
    pub fn with_refusal_sink(self, refusals: Option<RefusalSink>) -> Self {
        Self { refusals, ..self }
    }

    /// Counts a request, and logs it.
    pub fn answered(&self, answered: &AnsweredRequest<'_>) {
        self.metrics.answered(answered);
        self.report_refusal(answered);
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

    /// Passes on a refusal that the pod's owner can fix, for an Event.
    fn report_refusal(&self, answered: &AnsweredRequest<'_>) {
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

    /// Counts a connection event.
    pub fn count_connection_event(&self, event: &str) {
        self.metrics.listen.with_label_values(&[event]).inc();
    }

    /// Logs a change of the World.
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
            // An outage affects all roles; it is logged separately.
            Some(failure) => {
                let (role, code) = (request.role.as_str(), failure.code.as_str());
                debug!("params.iam.role" = role, "purpose" = purpose, "code" = code; "failed to assume `{role}`: {}", failure.message);
            }
        }
    }

    /// Drops metrics of roles that no pod on this node may use any more.
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

/// Truncates a target for the log; a truncated one ends in `...`.
fn cut(target: &str) -> Cow<'_, str> {
    if target.len() <= MAX_TARGET_CHARS {
        return target.into();
    }
    match target.char_indices().nth(MAX_TARGET_CHARS) {
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

/// Characters of a target in a log line; meaningful ones are shorter, but a request head may have 8 KiB.
const MAX_TARGET_CHARS: usize = 256;

#[cfg(test)]
mod tests;
