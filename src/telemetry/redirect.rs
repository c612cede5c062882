//! What is counted of the redirect.

use prometheus::{GaugeVec, IntCounter, Registry};

use super::metrics::{counter, gauges};

pub struct RedirectMetrics {
    /// How often it was put back
    pub repairs: IntCounter,
    pub new_uplinks: IntCounter,
    /// Without labels: it is shown from the first time that it is set, so never where there is to be no redirect
    whole: GaugeVec,
    /// How often link, address or rules of container credentials were put back
    pub address_repairs: IntCounter,
    /// Shown from the first time that it is set, too
    address: GaugeVec,
}

/// Whether the table is what this agent wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InPlace {
    Yes,
    No,
}

impl RedirectMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let repairs = counter(
            registry,
            "redirect_repairs_total",
            "How often the agent restored the redirect after it was removed or altered.",
        )?;
        let new_uplinks = counter(
            registry,
            "redirect_new_uplinks_total",
            "Interfaces that became an uplink while the agent ran; packets that come in by them are no longer redirected.",
        )?;
        let whole =
            gauges(registry, "redirect_whole", "Whether the redirect is as this agent wants it (1) or not (0).", &[])?;
        let address_repairs = counter(
            registry,
            "credentials_address_repairs_total",
            "How often 169.254.170.2 or the rules around it were put back after somebody removed or altered them.",
        )?;
        let address = gauges(
            registry,
            "credentials_address_in_place",
            "Whether 169.254.170.2 and the rules around it are as this agent wants them (1) or not (0).",
            &[],
        )?;
        Ok(Self { repairs, new_uplinks, whole, address_repairs, address })
    }

    pub fn set(&self, stands: InPlace) {
        self.whole.with_label_values(&[] as &[&str]).set(stands.value());
    }

    /// Of the address of container credentials
    pub fn set_address(&self, stands: InPlace) {
        self.address.with_label_values(&[] as &[&str]).set(stands.value());
    }
}

impl InPlace {
    fn value(self) -> f64 {
        if self == Self::Yes { 1.0 } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Build;
    use crate::telemetry::Metrics;

    #[test]
    fn without_a_redirect_nothing_says_that_it_does_not_stand() {
        let metrics = Metrics::new(&Build { version: "1", commit: "c", date: "d" }, "n").unwrap();
        let text = || String::from_utf8(metrics.render().unwrap()).unwrap();
        assert!(!text().contains("kube2iam_redirect_whole"));
        assert!(text().contains("kube2iam_redirect_repairs_total 0\n"));
        metrics.redirect.set(InPlace::No);
        assert!(text().contains("kube2iam_redirect_whole 0\n"));
        metrics.redirect.set(InPlace::Yes);
        assert!(text().contains("kube2iam_redirect_whole 1\n"));
        assert!(!text().contains("kube2iam_credentials_address_in_place"));
        metrics.redirect.set_address(InPlace::No);
        assert!(text().contains("kube2iam_credentials_address_in_place 0\n"));
        metrics.redirect.set_address(InPlace::Yes);
        assert!(text().contains("kube2iam_credentials_address_in_place 1\n"));
    }
}
