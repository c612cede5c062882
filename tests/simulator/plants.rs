//! Bugs put in on purpose, each outside of the agent's own code: at a port, or in what comes through it. The agent
//! then behaves as if it had them. A simulator that doesn't see these wouldn't see others.

use crate::swarm::{Pace, Swarm};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// A delete goes by the address: the late one of its old owner takes it from the new one.
    OldOwnerEvictsNew,
    /// Pods of one role share a session whatever their external ids.
    KeyForgetsExternalId,
    /// The clock stands still while the machine sleeps: what has ended is handed out.
    ClockSleeps,
    /// One ring in four is lost: somebody waits on though the answer is there.
    BellForgets,
    /// The first page of a list is taken for the whole of it; the rest comes a little later.
    ListIsSwappedInEarly,
    /// STS repeats what it was sent, and that goes to the log.
    FailureTellsSecret,
    /// The agent signs where it should pass tokens on.
    NodeSigns,
    /// The next agent doesn't find the keys of the tokens.
    KeysAreLost,
    /// A pod that was made anew under its name doesn't take the place of the old one.
    ReplacedStays,
    /// What was known of an object that can't be read is kept.
    SkippedIsKept,
}

impl Plant {
    /// Sees to it that a bug can show; troubles that would hide it stay as the seed has them.
    pub fn arrange(self, swarm: &mut Swarm) {
        match self {
            Self::ClockSleeps => (swarm.naps, swarm.pace, swarm.granted_s) = (true, Pace::Day, 900),
            Self::ListIsSwappedInEarly => swarm.gone = true,
            Self::KeyForgetsExternalId => swarm.tagged = false,
            Self::KeysAreLost => (swarm.restarts, swarm.clock_jumps) = (true, false),
            Self::FailureTellsSecret => swarm.denies = true,
            Self::ReplacedStays => swarm.replaces = true,
            Self::SkippedIsKept => (swarm.fat, swarm.half_lines) = (true, false),
            Self::OldOwnerEvictsNew | Self::BellForgets | Self::NodeSigns => {}
        }
    }
}
