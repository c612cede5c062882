//! From one agent to the next on the same node, without a gap: the successor shares the listeners of its predecessor,
//! answers as soon as it knows the pods, and offers the listeners in turn.

use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use log::{info, warn};

use super::build::Rooms;
use super::front::{Doors, Source};
use crate::edge::handover::{Offer, Predecessor, ask};
use crate::edge::state_dir::StateDir;
use crate::ports::Clock;

/// The state directory, if there is one that can be used.
pub(super) fn state_dir(path: Option<&Path>) -> Option<StateDir> {
    let path = path?;
    let dir = StateDir::open(path);
    dir.inspect_err(|cause| {
        warn!(
            "failed to use state directory `{}`: {cause}; the next upgrade may cost connections and session tokens",
            path.display()
        );
    })
    .ok()
}

/// The listeners of the agent before and the line to it; nothing without one.
pub(super) fn inherit(dir: Option<&StateDir>, clock: &dyn Clock) -> (Vec<TcpListener>, Option<Predecessor>) {
    match dir.and_then(|dir| ask(dir, clock)) {
        Some((listeners, predecessor)) => (listeners, Some(predecessor)),
        None => (Vec::new(), None),
    }
}

/// What waiting for one's turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Come,
    /// Asked to end before: the predecessor has the queue still.
    Never,
}

/// Leaves requests to the predecessor until they can be answered as well here: whoever comes by the shared queue is
/// answered by one that knows the pods. Without a predecessor, or once it has gone, it's our turn at once.
pub(super) fn await_turn(rooms: &Rooms, doors: &Doors, predecessor: Option<Predecessor>) -> Turn {
    let port = rooms.config.door.app.port;
    match (doors.source(), predecessor) {
        (Source::HandedOver, Some(predecessor)) => {
            info!("port" = port; "the agent before shares its listener, and answers until the pods are known here");
            let is_ready = || rooms.registry.read(|world, _| world.is_ready());
            while !is_ready() && predecessor.is_there(TURN_POLL) {
                if rooms.latch.is_closed() {
                    return Turn::Never;
                }
            }
        }
        (_, Some(_)) => info!("port" = port; "the agent before listens elsewhere; its listener is left to it"),
        (_, None) => {}
    }
    Turn::Come
}

/// Offers the listeners to the agent after this one. While that one waits for its turn, neither counts as ready.
pub(super) fn offer(rooms: &Rooms, doors: &Doors, dir: Option<&StateDir>) -> Option<Offer> {
    let dir = dir?;
    let facts = rooms.facts.clone();
    let waiting = move |successors| facts.successor_waits.store(successors > 0, Ordering::Relaxed);
    let offer = doors.share().and_then(|listeners| Offer::make(dir, listeners, rooms.dice.number(), waiting));
    let failed = |cause: &std::io::Error| warn!("failed to offer the listener to a later agent: {cause}");
    offer.inspect_err(failed).ok()
}

/// How soon readiness is noticed.
const TURN_POLL: Duration = Duration::from_millis(10);
