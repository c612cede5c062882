//! What the picture's painter tells of each event.

use std::sync::Arc;

use super::HeldPod;
use crate::logic::kubernetes::Resource;
use crate::logic::pattern::PatternFault;

/// What an event did, for the log and for whoever acts on it.
#[derive(Clone, Debug)]
pub enum Change {
    Nothing,
    PodApplied(Arc<HeldPod>, Novelty),
    PodGone(Arc<HeldPod>),
    NamespaceApplied {
        name: Box<str>,
        faults: Vec<PatternFault>,
        novelty: Novelty,
    },
    NamespaceGone(Box<str>),
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
