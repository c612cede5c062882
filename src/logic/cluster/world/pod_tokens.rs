//! Which pods can request credentials: those with an address of their own or, if tokens are accepted, all running
//! ones.

use super::{HeldPod, World};

/// Whether pods can identify themselves by a ServiceAccount token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodTokens {
    /// Pods are identified by address only
    #[default]
    Ignored,
    Accepted,
}

impl World {
    /// Accepts tokens, so that pods without an address of their own can request credentials too.
    pub fn accept_pod_tokens(&mut self) {
        self.pod_tokens = PodTokens::Accepted;
    }

    pub fn pod_tokens(&self) -> PodTokens {
        self.pod_tokens
    }

    /// Whether a pod is eligible for a role: it is running and can be identified.
    pub fn can_have_role(&self, pod: &HeldPod) -> bool {
        pod.counts() || self.pod_tokens == PodTokens::Accepted && !pod.finished
    }

    /// Whether a pod can request credentials now.
    pub fn can_ask(&self, pod: &HeldPod) -> bool {
        pod.has_address() || self.pod_tokens == PodTokens::Accepted && !pod.finished
    }
}
