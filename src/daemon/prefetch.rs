//! Credentials fetched ahead: when a pod appears, before its first container asks.

use super::build::Rooms;
use crate::logic::policy::ahead;
use crate::logic::world::Change;

/// Fetches what a change makes it likely that somebody asks for soon.
pub(super) fn prefetch(rooms: &Rooms, change: &Change) {
    if !rooms.config.sts.prefetch || rooms.config.operation.shadow.is_some() {
        return;
    }
    let permitted = rooms.registry.read(|world, rules| rules.map(|rules| ahead(world, rules, change)));
    permitted.into_iter().flatten().for_each(|permitted| rooms.desk.prefetch(&permitted));
}
