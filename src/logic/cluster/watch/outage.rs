//! How the server failed since it last got something through.

use crate::logic::cluster::kubernetes::KubernetesFailureKind;

/// Refusals are counted apart from failures to reach it: one doesn't make the other begin anew.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outage {
    refused: u32,
    not_reached: u32,
}

impl Outage {
    /// Whether this is the first answer of a server that was away. That is so once in an outage: failures of both kinds
    /// in turn back off like others.
    pub(super) fn ends_absence(self, kind: KubernetesFailureKind) -> bool {
        kind.is_refusal() && self.refused == 0 && self.not_reached > 0
    }

    /// How often it failed in this way by now.
    pub(super) fn count(&mut self, kind: KubernetesFailureKind) -> u32 {
        let times = if kind.is_refusal() { &mut self.refused } else { &mut self.not_reached };
        *times = times.saturating_add(1);
        *times
    }
}
