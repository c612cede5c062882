//! Who may stay when there are more connections than places. A pure struct; `listener` puts one lock around it.
//!
//! - Only an idle connection can be taken away: one without a complete head, or one whose client doesn't read its
//!   answer.
//! - A peer at its own cap loses its own oldest idle connection; if each of them is being answered, the newcomer goes.
//! - With all places taken, the peer with most connections (of those that have one to give) loses its oldest idle one;
//!   if nobody has one, the newcomer goes.
//! - The last places are for the node's own addresses alone, so strangers are full before the house is.
//!
//! The ordinary case costs one look into a map. Only a full house is walked through, each connection at most once.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;

use super::Limits;

/// What admission must know of a connection.
pub(super) trait Seated {
    /// Whether it has no complete head now, or doesn't read its answer.
    fn is_idle(&self) -> bool;

    /// Takes the place away if it is still idle; from `true` on it is going.
    fn give_up(&self) -> bool;
}

/// Where a peer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Node,
    Stranger,
}

/// Why a connection was closed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Its peer has [`Limits::per_peer`] connections, and all of them are being answered.
    PeerFull,
    /// All places are taken by connections that are being answered.
    AllFull,
    /// The system gave no thread, and there was no connection to take one from.
    NoThread,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict<G> {
    /// `seat` names the place when it is left; `evicted` had to go for it.
    Seated {
        seat: u64,
        evicted: Option<G>,
    },
    Refused(Refusal),
}

pub(super) struct Admission<G> {
    per_peer: usize,
    connections: usize,
    for_strangers: usize,
    parties: HashMap<IpAddr, Party<G>>,
    seated: usize,
    strangers: usize,
    next_seat: u64,
}

/// All connections of one peer, oldest first.
struct Party<G> {
    origin: Origin,
    seats: Vec<(u64, G)>,
}

impl<G: Seated> Admission<G> {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            per_peer: limits.per_peer,
            connections: limits.connections,
            for_strangers: limits.connections.saturating_sub(limits.reserved_for_node),
            parties: HashMap::new(),
            seated: 0,
            strangers: 0,
            next_seat: 0,
        }
    }

    pub(super) fn seated(&self) -> usize {
        self.seated
    }

    /// Finds a place for a newcomer.
    pub(super) fn admit(&mut self, peer: IpAddr, origin: Origin, guest: G) -> Verdict<G> {
        let evicted = if self.parties.get(&peer).is_some_and(|party| party.seats.len() >= self.per_peer) {
            match self.evict_of(peer) {
                None => return Verdict::Refused(Refusal::PeerFull),
                evicted => evicted,
            }
        } else if let Some(crowd) = self.full_for(origin) {
            match self.evict_largest(crowd) {
                None => return Verdict::Refused(Refusal::AllFull),
                evicted => evicted,
            }
        } else {
            None
        };
        let seat = self.seat(peer, origin, guest);
        Verdict::Seated { seat, evicted }
    }

    /// Gives a place back. A connection that was evicted has none any more.
    pub(super) fn leave(&mut self, peer: IpAddr, seat: u64) {
        let Some(party) = self.parties.get(&peer) else { return };
        if let Some(at) = party.seats.iter().position(|(other, _)| *other == seat) {
            self.vacate(peer, at);
        }
    }

    /// Takes a place away though none is wanted: its descriptor or thread is.
    pub(super) fn shed(&mut self) -> Option<G> {
        self.evict_largest(Crowd::All)
    }

    pub(super) fn guests(&self) -> impl Iterator<Item = &G> {
        self.parties.values().flat_map(|party| party.seats.iter().map(|(_, guest)| guest))
    }

    fn seat(&mut self, peer: IpAddr, origin: Origin, guest: G) -> u64 {
        let seat = self.next_seat;
        self.next_seat += 1;
        let party = self.parties.entry(peer).or_insert_with(|| Party { origin, seats: Vec::new() });
        party.seats.push((seat, guest));
        self.seated += 1;
        self.strangers += usize::from(party.origin == Origin::Stranger);
        seat
    }

    fn vacate(&mut self, peer: IpAddr, at: usize) -> Option<G> {
        let party = self.parties.get_mut(&peer)?;
        let (_, guest) = party.seats.remove(at);
        self.seated -= 1;
        self.strangers -= usize::from(party.origin == Origin::Stranger);
        if party.seats.is_empty() {
            self.parties.remove(&peer);
        }
        Some(guest)
    }

    /// Among whom room must be made before a newcomer of this origin gets in.
    fn full_for(&self, origin: Origin) -> Option<Crowd> {
        if origin == Origin::Stranger && self.strangers >= self.for_strangers {
            Some(Crowd::Strangers)
        } else if self.seated >= self.connections {
            Some(Crowd::All)
        } else {
            None
        }
    }

    fn evict_of(&mut self, peer: IpAddr) -> Option<G> {
        let at = self.parties.get(&peer)?.seats.iter().position(|(_, guest)| guest.give_up())?;
        self.vacate(peer, at)
    }

    fn evict_largest(&mut self, crowd: Crowd) -> Option<G> {
        (0..EVICTION_TRIES).find_map(|_| self.evict_of(self.largest(crowd)?))
    }

    /// The peer with most connections among those with one to give; of equals, the one that has waited longest.
    fn largest(&self, crowd: Crowd) -> Option<IpAddr> {
        let candidates = self.parties.iter().filter(|(_, party)| crowd.counts(party.origin));
        let mut best = None;
        for (peer, party) in candidates {
            if best.is_some_and(|((size, _), _)| size > party.seats.len()) {
                continue;
            }
            let Some((oldest, _)) = party.seats.iter().find(|(_, guest)| guest.is_idle()) else { continue };
            let rank = (party.seats.len(), Reverse(*oldest));
            if best.is_none_or(|(other, _)| rank > other) {
                best = Some((rank, *peer));
            }
        }
        best.map(|(_, peer)| peer)
    }
}

#[derive(Clone, Copy)]
enum Crowd {
    All,
    Strangers,
}

impl Crowd {
    fn counts(self, origin: Origin) -> bool {
        matches!(self, Self::All) || origin == Origin::Stranger
    }
}

/// A connection may complete its head between being found and being asked to go; three in a row is a busy house.
const EVICTION_TRIES: usize = 3;

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
