//! Metrics of sessions and of calls to STS. Two of them are the original kube2iam's, with a role's ARN as a label;
//! [`SessionMetrics::retain_roles`] limits these to the roles that pods on this node may use.

use std::collections::HashSet;
use std::time::Duration;

use prometheus::core::{Collector, Metric, MetricVec, MetricVecBuilder};
use prometheus::{Gauge, GaugeVec, HistogramVec, IntCounterVec, Registry};

use super::metrics::{counters, gauge, gauges, histograms};
use crate::logic::policy::arn::RoleArn;
use crate::logic::sessions::cache::{CacheCounts, CallReport};
use crate::logic::sts::{StsFailureKind, TokenRefusal};

/// Session metrics.
pub struct SessionMetrics {
    sts_seconds: HistogramVec,
    cache_hits: IntCounterVec,
    calls: IntCounterVec,
    queue_seconds: HistogramVec,
    life_left_seconds: Gauge,
    held: GaugeVec,
}

impl SessionMetrics {
    pub(super) fn new(r: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            sts_seconds: histograms(
                r,
                "iam_request_duration_seconds",
                "Time taken by calls to STS, by role and by code: Success, AWS's error code, or UnknownError without one.",
                &["code", ROLE_LABEL],
            )?,
            cache_hits: counters(
                r,
                "iam_cache_hits_total",
                "Answers from the session cache, refusals included.",
                &[ROLE_LABEL],
            )?,
            calls: counters(
                r,
                "sts_calls_total",
                "Calls to STS by purpose (request, renewal, prefetch) and outcome (success, refused, throttled, unavailable, no_node_credentials, no_region).",
                &["purpose", "outcome"],
            )?,
            queue_seconds: histograms(
                r,
                "sts_queue_seconds",
                "Time that calls to STS waited in the call queue, by purpose (request, renewal, prefetch).",
                &["purpose"],
            )?,
            life_left_seconds: gauge(
                r,
                "credentials_life_left_seconds",
                "Remaining lifetime of the credentials last handed out.",
            )?,
            held: gauges(
                r,
                "sessions",
                "Sessions by state: held, refused (remembered failures), queued, in_flight (calls).",
                &["state"],
            )?,
        })
    }

    pub(super) fn called(&self, report: &CallReport<'_>) {
        let code = report.failure.map_or("Success", |failure| failure.aws_code().unwrap_or(UNKNOWN));
        let role = report.request.role.as_str();
        self.sts_seconds.with_label_values(&[code, role]).observe(report.took.as_secs_f64());
        let purpose = report.purpose.word();
        let outcome = report.failure.map_or("success", |failure| outcome(failure.kind));
        self.calls.with_label_values(&[purpose, outcome]).inc();
        self.queue_seconds.with_label_values(&[purpose]).observe(report.queued.as_secs_f64());
    }

    /// Counts an answer from the cache, including refusals.
    pub fn cache_hit(&self, role_arn: &str) {
        self.cache_hits.with_label_values(&[role_arn]).inc();
    }

    /// Records the remaining lifetime of credentials handed out.
    pub fn handed_out(&self, life_left: Duration) {
        self.life_left_seconds.set(life_left.as_secs_f64());
    }

    pub(super) fn sample(&self, counts: &CacheCounts) {
        let states = [
            ("held", counts.sessions),
            ("refused", counts.refused),
            ("queued", counts.queued),
            ("in_flight", counts.in_flight),
        ];
        for (state, count) in states {
            self.held.with_label_values(&[state]).set(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
        }
    }

    /// Drops metrics of roles that no pod on this node may use any more.
    pub(super) fn retain_roles(&self, roles: &HashSet<RoleArn>) {
        retain(&self.sts_seconds, &["code", ROLE_LABEL], roles);
        retain(&self.cache_hits, &[ROLE_LABEL], roles);
    }
}

/// Removes a metric's samples of roles other than these.
fn retain<B: MetricVecBuilder<M: Metric>>(metric: &MetricVec<B>, labels: &[&str], roles: &HashSet<RoleArn>) {
    for family in metric.collect() {
        for counted in family.get_metric() {
            let value = |name: &str| {
                let mut pairs = counted.get_label().iter();
                pairs.find(|pair| pair.name() == name).map_or("", |pair| pair.value())
            };
            if !roles.contains(value(ROLE_LABEL)) {
                let values: Vec<&str> = labels.iter().map(|label| value(label)).collect();
                let _ = metric.remove_label_values(&values); // removed already
            }
        }
    }
}

const fn outcome(kind: StsFailureKind) -> &'static str {
    match kind {
        StsFailureKind::Refused => "refused",
        StsFailureKind::Throttled => "throttled",
        StsFailureKind::Unavailable => "unavailable",
        StsFailureKind::NoNodeCredentials => "no_node_credentials",
        StsFailureKind::NoRegion => "no_region",
        StsFailureKind::Token(TokenRefusal::IssuerUnreachable) => "unavailable",
        StsFailureKind::Token(_) => "refused",
    }
}

const ROLE_LABEL: &str = "role_arn";
/// kube2iam's label for failures without an AWS error code
const UNKNOWN: &str = "UnknownError";

#[cfg(test)]
mod tests;
