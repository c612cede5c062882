//! Why a pod gets no role now, and the decision that follows.

use super::{Decision, Patience};
use crate::logic::cluster::kubernetes::Resource;
use crate::logic::cluster::world::World;
use crate::logic::policy::reason::Reason;

/// Why a pod gets no role now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    Refused(Reason),
    NotYet(Reason),
}

impl Denial {
    pub(super) fn after<'a>(self, patience: Patience) -> Decision<'a> {
        match (self, patience) {
            (Self::NotYet(reason), Patience::Left) => Decision::NotYet(reason),
            (Self::NotYet(reason) | Self::Refused(reason), _) => Decision::Refuse(reason),
        }
    }
}

impl Decision<'_> {
    /// While the watch is failing, an unknown object may exist all the same: answer 503, because SDKs take a 404 as
    /// final.
    pub(super) fn while_broken(self, world: &World) -> Self {
        let resource = match self {
            Self::Refuse(Reason::UnknownPod | Reason::AmbiguousAddress) => Resource::Pods,
            Self::Refuse(Reason::UnknownNamespace) => Resource::Namespaces,
            Self::Refuse(Reason::UnknownServiceAccount) => Resource::ServiceAccounts,
            _ => return self,
        };
        if world.is_failing(resource) { Self::Refuse(Reason::WatchBroken) } else { self }
    }
}
