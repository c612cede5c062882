//! The effects of events on the World.

use std::sync::Arc;

use super::HeldPod;
use crate::logic::cluster::kubernetes::Resource;

/// What an event changed, for the log and for the tasks that depend on it.
#[derive(Clone, Debug)]
pub enum Change {
    Nothing,
    PodApplied(Arc<HeldPod>, Novelty),
    PodGone(Arc<HeldPod>),
    NamespaceApplied {
        name: Box<str>,
        novelty: Novelty,
    },
    NamespaceGone(Box<str>),
    /// The list of this namespace was evaluated for the roles of its pods
    ListEvaluated(Arc<str>),
    ServiceAccountApplied {
        namespace: Box<str>,
        name: Box<str>,
        novelty: Novelty,
    },
    /// `News` only for the first list
    Listed(Resource, Novelty),
}

/// Whether an event changed anything that sessions depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Novelty {
    News,
    Known,
}
