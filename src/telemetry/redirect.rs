//! Metrics of the redirect.

use prometheus::{GaugeVec, IntCounter, Registry};

use super::metrics::{counter, gauges};

pub struct RedirectMetrics {
    /// Repairs of the table
    pub repairs: IntCounter,
    pub new_uplinks: IntCounter,
    /// A vector without labels: exposed only once set, so never without a redirect
    whole: GaugeVec,
    /// Repairs of link, address or rules of container credentials
    pub address_repairs: IntCounter,
    /// Likewise exposed only once set
    address: GaugeVec,
}

/// Whether the table is as this agent wants it.
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

    pub fn set(&self, state: InPlace) {
        self.whole.with_label_values(&[] as &[&str]).set(state.value());
    }

    /// Sets the state of the address of container credentials.
    pub fn set_address(&self, state: InPlace) {
        self.address.with_label_values(&[] as &[&str]).set(state.value());
    }
}

impl InPlace {
    fn value(self) -> f64 {
        if self == Self::Yes { 1.0 } else { 0.0 }
    }
}

#[cfg(test)]
mod tests;
