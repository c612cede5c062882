//! Metrics of container credentials: tokens by outcome, and the age of the issuer's keys.

use std::time::Duration;

use prometheus::{GaugeVec, IntCounterVec, Registry};

use super::metrics::{counters, gauges};
use crate::logic::policy::reason::Reason;

/// Tokens and keys.
pub struct ContainerMetrics {
    tokens: IntCounterVec,
    keys_age_seconds: GaugeVec,
}

impl ContainerMetrics {
    pub(super) fn register(r: &Registry) -> prometheus::Result<Self> {
        let tokens = "Requests for container credentials by what their ServiceAccount token came to.";
        let age = "Time since the keys of ServiceAccount tokens were last read from the API server.";
        Ok(Self {
            tokens: counters(r, "container_tokens_total", tokens, &["outcome"])?,
            keys_age_seconds: gauges(r, "issuer_keys_age_seconds", age, &["issuer"])?,
        })
    }

    /// Initialises all outcomes to 0.
    pub fn begin(&self) {
        OUTCOMES.iter().for_each(|reason| drop(self.tokens.with_label_values(&[reason.word()])));
        self.tokens.with_label_values(&[ACCEPTED]);
    }

    /// Counts a token by the request's reason of refusal; a reason unrelated to the token counts as accepted.
    pub fn count_token(&self, reason: Option<Reason>) {
        let outcome = reason.filter(|reason| OUTCOMES.contains(reason)).map_or(ACCEPTED, Reason::word);
        self.tokens.with_label_values(&[outcome]).inc();
    }

    /// Sets the age of the issuer's keys.
    pub fn sample_keys(&self, known: Option<(&str, Duration)>) {
        self.keys_age_seconds.reset();
        if let Some((issuer, age)) = known {
            self.keys_age_seconds.with_label_values(&[issuer]).set(age.as_secs_f64());
        }
    }
}

const ACCEPTED: &str = "accepted";
const OUTCOMES: [Reason; 10] = [
    Reason::TokenMissing,
    Reason::TokenMalformed,
    Reason::TokenUntrusted,
    Reason::TokenExpired,
    Reason::TokenAudience,
    Reason::TokenUnbound,
    Reason::TokenOtherNode,
    Reason::TokenPodMismatch,
    Reason::TokenOtherPod,
    Reason::KeysUnknown,
];

#[cfg(test)]
mod tests;
