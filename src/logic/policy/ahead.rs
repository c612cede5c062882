//! Whose credentials to fetch ahead after a change in the World. The policy comes first: nothing is
//! fetched for a pod that couldn't have it, nor for one that has no way to ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Permitted, Rules, permit};
use crate::logic::cluster::world::{Change, HeldPod, Novelty, World};

/// What pods may be about to ask for.
pub fn ahead(world: &World, rules: &Rules, change: &Change) -> Vec<Permitted> {
    concerned(world, change).into_iter().filter_map(|pod| soon(world, rules, pod)).collect()
}

/// The pods whose role or permission may have changed with the World.
pub(super) fn concerned<'w>(world: &'w World, change: &'w Change) -> Vec<&'w Arc<HeldPod>> {
    // While lists are coming in, nothing can be decided; the last of them brings everything.
    if !world.is_ready() {
        return Vec::new();
    }
    let among_all = |concerns: &dyn Fn(&HeldPod) -> bool| {
        // In an order that doesn't hang on the hash: a run that is played again must go the same way.
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

fn soon(world: &World, rules: &Rules, pod: &Arc<HeldPod>) -> Option<Permitted> {
    let can_ask = world.can_ask(pod) && !pod.deleting;
    can_ask.then(|| permit(world, rules, pod).ok()).flatten()
}

#[cfg(test)]
mod tests;
