//! Credentials fetched ahead: when a pod appears, before its first container asks.

use crate::agent::wiring::Rooms;
use crate::logic::cluster::world::Change;
use crate::logic::policy::ahead;

/// Fetches what a change makes it likely that somebody asks for soon.
pub(super) fn prefetch(rooms: &Rooms, change: &Change) {
    if !rooms.config.sts.prefetch {
        return;
    }
    let permitted = rooms.registry.read(|world, rules| rules.map(|rules| ahead(world, rules, change)));
    permitted.into_iter().flatten().for_each(|permitted| rooms.desk.prefetch(&permitted));
}
