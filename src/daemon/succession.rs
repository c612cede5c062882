//! From one agent to the next on the same node, without a gap: the successor shares the listeners of its predecessor,
//! answers as soon as it knows the pods, and offers the listeners in turn.
//!
//! Begins before the agent has a log, since the doors are bound before that: what there is to say is kept until then.

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

/// What is known of the agents before and after.
#[derive(Default)]
pub(super) struct Succession {
    /// If there is one that can be used
    state_dir: Option<StateDir>,
    listeners: Vec<TcpListener>,
    predecessor: Option<Predecessor>,
    notes: Vec<String>,
}

/// What waiting for one's turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Come,
    /// Asked to end before: the predecessor has the queue still.
    Never,
}

impl Succession {
    /// Looks for an agent that hands its listeners over. Takes half a second at most, and never fails.
    pub(super) fn begin(path: Option<&Path>, clock: &dyn Clock) -> Self {
        let Some(path) = path else { return Self::default() };
        match StateDir::open(path) {
            Ok(dir) => {
                let answer = ask(&dir, clock);
                let (listeners, predecessor) = answer.handed.map_or_else(Default::default, |(all, by)| (all, Some(by)));
                Self { state_dir: Some(dir), listeners, predecessor, notes: answer.notes }
            }
            Err(cause) => {
                let path = path.display();
                let loss = "the next upgrade may cost connections and session tokens";
                let note = format!("failed to use state directory `{path}`: {cause}; {loss}");
                Self { notes: vec![note], ..Self::default() }
            }
        }
    }

    pub(super) fn state_dir(&self) -> Option<&StateDir> {
        self.state_dir.as_ref()
    }

    /// The listeners of the agent before.
    pub(super) fn take_listeners(&mut self) -> Vec<TcpListener> {
        std::mem::take(&mut self.listeners)
    }

    /// What didn't go as it should.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Leaves requests to the predecessor until they can be answered as well here: whoever comes by the shared queue is
    /// answered by one that knows the pods. Without a predecessor, or once it has gone, it's our turn at once.
    pub(super) fn await_turn(&mut self, rooms: &Rooms, doors: &Doors) -> Turn {
        let port = rooms.config.door.app.port;
        match (doors.source(), self.predecessor.take()) {
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
    pub(super) fn offer(&self, rooms: &Rooms, doors: &Doors) -> Option<Offer> {
        let dir = self.state_dir.as_ref()?;
        let facts = rooms.facts.clone();
        let waiting = move |successors| facts.successor_waits.store(successors > 0, Ordering::Relaxed);
        let offer = doors.share().and_then(|listeners| Offer::make(dir, listeners, rooms.dice.number(), waiting));
        let failed = |cause: &std::io::Error| warn!("failed to offer the listener to a later agent: {cause}");
        offer.inspect_err(failed).ok()
    }
}

/// How soon readiness is noticed.
const TURN_POLL: Duration = Duration::from_millis(10);
