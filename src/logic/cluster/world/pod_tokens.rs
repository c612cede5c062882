//! Which pods have a way to ask: by their address, and where they can show tokens, all that run.

use super::{HeldPod, World};

/// Whether pods can prove by a ServiceAccount token who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodTokens {
    /// A pod is known by its address alone.
    #[default]
    Ignored,
    Accepted,
}

impl World {
    /// From now on pods without an address of their own can ask too.
    pub fn accept_pod_tokens(&mut self) {
        self.pod_tokens = PodTokens::Accepted;
    }

    /// Whether pods can prove by a token who they are.
    pub fn pod_tokens(&self) -> PodTokens {
        self.pod_tokens
    }

    /// Whether a pod may have a role by what it is: it runs, and can be told from others.
    pub fn can_have_role(&self, pod: &HeldPod) -> bool {
        pod.counts() || self.pod_tokens == PodTokens::Accepted && !pod.finished
    }

    /// Whether there is a way for a pod to ask for its role now.
    pub fn can_ask(&self, pod: &HeldPod) -> bool {
        pod.has_address() || self.pod_tokens == PodTokens::Accepted && !pod.finished
    }
}
