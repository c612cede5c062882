//! Detection of a newer agent that owns the table but doesn't serve.

use crate::logic::operator::port_holder::PortAnswer;

/// The number of consecutive checks that found no kube2iam at the newer agent's destination, while this agent served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RedirectSilence {
    checks: u32,
}

impl RedirectSilence {
    /// The state after another check. `newer` are the answers at the destinations of the newer agent's table, empty
    /// if it drops requests; `own` are the answers at this agent's destinations.
    pub fn after(self, newer: &[PortAnswer], own: &[PortAnswer]) -> Self {
        let serves = |answers: &[PortAnswer]| answers.contains(&PortAnswer::AsKube2iam);
        if serves(newer) || !serves(own) { Self::default() } else { Self { checks: self.checks.saturating_add(1) } }
    }

    /// Whether the older agent should take the table back.
    pub fn is_enough(self) -> bool {
        self.checks >= CHECKS_BEFORE_TAKEOVER
    }
}

/// A new agent needs time to list the pods.
const CHECKS_BEFORE_TAKEOVER: u32 = 3;

#[cfg(test)]
mod tests;
