//! Which credentials to prefetch after a change in the World. The policy is checked first: nothing is fetched for a
//! pod that may not have its role, nor for one that has no way to request credentials.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Permitted, Rules, permit};
use crate::logic::cluster::world::{Change, HeldPod, Novelty, World};

/// The calls whose credentials pods may request soon.
pub fn ahead(world: &World, rules: &Rules, change: &Change) -> Vec<Permitted> {
    concerned(world, change).into_iter().filter_map(|pod| permit_if_reachable(world, rules, pod)).collect()
}

/// The pods whose role or permission this change may affect.
pub(super) fn concerned<'w>(world: &'w World, change: &'w Change) -> Vec<&'w Arc<HeldPod>> {
    // Before all lists are complete nothing can be decided; the last list then covers every pod.
    if !world.is_ready() {
        return Vec::new();
    }
    let among_all = |concerns: &dyn Fn(&HeldPod) -> bool| {
        // Ordered by UID, not by hash, so that a simulator run replays identically.
        let mut by_uid: BTreeMap<&str, &Arc<HeldPod>> = BTreeMap::new();
        by_uid.extend(world.pods().filter(|pod| concerns(pod)).map(|pod| (&*pod.uid, pod)));
        by_uid.into_values().collect()
    };
    match change {
        Change::PodApplied(pod, Novelty::News) => vec![pod],
        Change::NamespaceApplied { name, novelty: Novelty::News, .. } => among_all(&|pod| *pod.namespace == **name),
        Change::ListEvaluated(name) => among_all(&|pod| pod.namespace == *name),
        Change::ServiceAccountApplied { namespace, name, novelty: Novelty::News } => {
            among_all(&|pod| *pod.namespace == **namespace && *pod.service_account == **name)
        }
        Change::Listed(_, Novelty::News) => among_all(&|_| true),
        _ => Vec::new(),
    }
}

fn permit_if_reachable(world: &World, rules: &Rules, pod: &Arc<HeldPod>) -> Option<Permitted> {
    let can_ask = world.can_ask(pod) && !pod.deleting;
    can_ask.then(|| permit(world, rules, pod).ok()).flatten()
}

#[cfg(test)]
mod tests;
