//! The thread that finds out what namespaces' lists say of roles.

use crate::agent::prefetch::prefetch;
use crate::agent::wiring::Rooms;
use crate::logic::base::time::Mono;
use crate::state::world::Evaluated;

/// Evaluates lists until shutdown.
pub(crate) fn evaluate_lists(rooms: &Rooms) {
    loop {
        let asked = rooms.registry.asked();
        match rooms.registry.evaluate() {
            Evaluated::List(change) => {
                rooms.telemetry.changed(&change);
                prefetch(rooms, &change);
            }
            Evaluated::Part => {}
            Evaluated::Rest(until) => rooms.registry.wait_for_questions(asked, until),
            Evaluated::Nothing => rooms.registry.wait_for_questions(asked, Mono::from_micros(u64::MAX)),
            Evaluated::Closed => return,
        }
    }
}
