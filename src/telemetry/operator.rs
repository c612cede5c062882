//! Metrics for the operator besides requests: audit mode, lint findings, Events.

use prometheus::core::Collector;
use prometheus::{Gauge, IntCounterVec, Registry};

use super::metrics::{counters, gauge};

/// Audit mode, lint findings, Events.
pub struct OperatorMetrics {
    /// Requests that the policy would have refused, in audit mode
    pub audited: IntCounterVec,
    pub policy_doubts: Gauge,
    pub events: IntCounterVec,
}

impl OperatorMetrics {
    pub(super) fn register(r: &Registry) -> prometheus::Result<Self> {
        let audited = "Requests allowed by --policy-mode=audit that namespace restrictions would deny.";
        Ok(Self {
            audited: counters(r, "policy_audited_total", audited, &["namespace", "reason"])?,
            policy_doubts: gauge(
                r,
                "policy_doubts",
                "Warnings about namespaces' lists of roles that stand now (lint=policy).",
            )?,
            events: counters(
                r,
                "events_total",
                "Refusals by what became of their Kubernetes Events: written, counted (into an Event not due yet), held_back, failed.",
                &["outcome"],
            )?,
        })
    }

    pub(super) fn retain_namespaces(&self, is_known: impl Fn(&str) -> bool) {
        for family in self.audited.collect() {
            for counted in family.get_metric() {
                let value = |name: &str| {
                    let mut pairs = counted.get_label().iter();
                    pairs.find(|pair| pair.name() == name).map_or("", |pair| pair.value())
                };
                if !is_known(value("namespace")) {
                    let _ = self.audited.remove_label_values(&[value("namespace"), value("reason")]); // removed already
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
