//! What each event changed.

use std::sync::Arc;

use super::HeldPod;
use crate::logic::cluster::kubernetes::Resource;

/// What an event did, for the log and for whoever acts on it.
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
    /// It was found out what the list of this namespace says of the roles that pods there have.
    ListEvaluated(Arc<str>),
    ServiceAccountApplied {
        namespace: Box<str>,
        name: Box<str>,
        novelty: Novelty,
    },
    /// News only the first time
    Listed(Resource, Novelty),
}

/// Whether an event brought anything that sessions depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Novelty {
    News,
    Known,
}
