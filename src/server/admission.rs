//! Which connections stay when there are more than slots. A pure struct; `shared` puts one lock around it.
//!
//! - Only an idle connection can be evicted: one without a complete request, or one whose client doesn't read its
//!   answer. One that has sent nothing yet goes first, then the one idle for longest, never one that was answered a
//!   moment ago: its client is between two requests.
//! - A peer at its own cap loses one of its own connections; if none can be evicted, the new one is refused.
//! - From [`Limits::crowded_from`] connections on the cap of a peer is [`Limits::close_from_per_peer`], so that a few
//!   peers can't take all slots.
//! - Pods at loopback that haven't proved themselves share one cap, [`Limits::of_loopback`], which leaves the other half
//!   of all slots to everyone else.
//! - With all slots taken, the peer with most connections (of those that have one to evict) loses one; if there is
//!   none, the new one is refused.
//! - The last slots are for the node's own addresses alone, so there is always one for a probe.
//!
//! The ordinary case costs one look into a map. Only when all slots are taken each connection is looked at, once.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Limits;
use crate::logic::base::time::Mono;

/// What admission must know of a connection.
pub(super) trait Evictable {
    /// What it is idle in; `None` while a request of it is being answered.
    fn idle(&self) -> Option<Idle>;

    /// Evicts it if it is still as idle as it was found; final.
    fn evict(&self, found: Idle) -> bool;
}

/// What an idle connection waits for, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idle {
    /// It has sent no byte since it was accepted.
    Silent(Mono),
    /// It has sent a part of its first request, or doesn't read an answer.
    Unfinished(Mono),
    /// Its last answer was finished then.
    Answered(Mono),
}

/// Where a peer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum PeerOrigin {
    Node,
    Elsewhere,
    /// The node's own network, where any of its pods may be: as good as elsewhere.
    Loopback,
}

/// Whose connections are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Party {
    Address(IpAddr, PeerOrigin),
    /// All of loopback: a pod on the node's network may connect from each of its addresses, and shares them with others.
    Loopback,
    /// A pod that proved itself, by its uid
    Pod(Arc<str>),
}

impl Party {
    /// Whom a connection counts for until a pod has proved itself over it.
    pub(super) fn of(peer: IpAddr, origin: PeerOrigin) -> Self {
        match origin {
            PeerOrigin::Loopback => Self::Loopback,
            PeerOrigin::Node | PeerOrigin::Elsewhere => Self::Address(peer, origin),
        }
    }

    fn origin(&self) -> PeerOrigin {
        match self {
            Self::Address(_, origin) => *origin,
            Self::Loopback => PeerOrigin::Loopback,
            Self::Pod(_) => PeerOrigin::Elsewhere,
        }
    }
}

/// Why a connection was closed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Its peer has as many connections as it may have, and none of them can be evicted.
    PeerFull,
    /// All slots are taken by connections that can't be evicted.
    AllFull,
    /// The system gave no thread, and there was no connection to take one from.
    NoThread,
}

impl Refusal {
    /// The words for the log.
    pub const fn label(self) -> &'static str {
        match self {
            Self::PeerFull => "too many connections of this peer",
            Self::AllFull => "too many connections",
            Self::NoThread => "no thread",
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum AdmissionVerdict<C> {
    /// `number` names the slot; `evicted` was evicted for it.
    Admitted {
        number: u64,
        evicted: Option<C>,
    },
    Refused(Refusal),
}

pub(super) struct Admission<C> {
    limits: Limits,
    peers: HashMap<Party, PeerConnections<C>>,
    open: usize,
    /// Of those that are open, the ones not of the node itself
    elsewhere: usize,
    next_number: u64,
}

/// All connections of one peer, oldest first.
struct PeerConnections<C> {
    origin: PeerOrigin,
    slots: Vec<(u64, C)>,
}

impl<C: Evictable> Admission<C> {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { limits: *limits, peers: HashMap::new(), open: 0, elsewhere: 0, next_number: 0 }
    }

    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// Finds a slot for a new connection.
    pub(super) fn admit(&mut self, peer: IpAddr, origin: PeerOrigin, connection: C, now: Mono) -> AdmissionVerdict<C> {
        let party = Party::of(peer, origin);
        let evicted = if self.is_full(&party) {
            match self.evict_of(&party, now) {
                None => return AdmissionVerdict::Refused(Refusal::PeerFull),
                evicted => evicted,
            }
        } else if let Some(scope) = self.full_for(origin) {
            match self.evict_largest(scope, now) {
                None => return AdmissionVerdict::Refused(Refusal::AllFull),
                evicted => evicted,
            }
        } else {
            None
        };
        let number = self.next_number;
        self.next_number += 1;
        self.insert(party, number, connection);
        AdmissionVerdict::Admitted { number, evicted }
    }

    /// Whether connections of a peer are closed after each answer, so that all of its clients get their turn.
    pub(super) fn closes(&self, party: &Party) -> bool {
        self.is_crowded() || self.of_peer(party) >= self.limits.close_from_per_peer
    }

    /// Counts a connection for the pod that proved itself over it. At the cap of that pod one of its own is evicted; if
    /// there is none, the connection stays where it was and its request is to be refused.
    pub(super) fn refile(&mut self, from: &Party, number: u64, to: Party, now: Mono) -> Result<Option<C>, Refusal> {
        let Some(at) = self.position(from, number) else { return Ok(None) };
        let evicted = match self.is_full(&to) {
            true => Some(self.evict_of(&to, now).ok_or(Refusal::PeerFull)?),
            false => None,
        };
        if let Some(connection) = self.remove(from, at) {
            self.insert(to, number, connection);
        }
        Ok(evicted)
    }

    /// Frees a slot. An evicted connection has none any more.
    pub(super) fn release(&mut self, party: &Party, number: u64) {
        if let Some(at) = self.position(party, number) {
            self.remove(party, at);
        }
    }

    /// Evicts a connection for its descriptor or its thread.
    pub(super) fn shed(&mut self, now: Mono) -> Option<C> {
        self.evict_largest(PlaceScope::All, now)
    }

    pub(super) fn connections(&self) -> impl Iterator<Item = &C> {
        self.peers.values().flat_map(|of_peer| of_peer.slots.iter().map(|(_, connection)| connection))
    }

    fn position(&self, party: &Party, number: u64) -> Option<usize> {
        self.peers.get(party)?.slots.iter().position(|(other, _)| *other == number)
    }

    fn of_peer(&self, party: &Party) -> usize {
        self.peers.get(party).map_or(0, |of_peer| of_peer.slots.len())
    }

    /// Whether a party has as many connections as it may have.
    fn is_full(&self, party: &Party) -> bool {
        self.of_peer(party) >= self.cap(party)
    }

    fn cap(&self, party: &Party) -> usize {
        let Limits { per_peer, close_from_per_peer, .. } = self.limits;
        match party {
            Party::Loopback => self.limits.of_loopback(),
            Party::Address(..) | Party::Pod(_) if self.is_crowded() => per_peer.min(close_from_per_peer),
            Party::Address(..) | Party::Pod(_) => per_peer,
        }
    }

    fn is_crowded(&self) -> bool {
        self.open >= self.limits.crowded_from
    }

    fn insert(&mut self, party: Party, number: u64, connection: C) {
        let origin = party.origin();
        let of_peer = self.peers.entry(party).or_insert_with(|| PeerConnections { origin, slots: Vec::new() });
        of_peer.slots.push((number, connection));
        self.open += 1;
        self.elsewhere += usize::from(origin != PeerOrigin::Node);
    }

    fn remove(&mut self, party: &Party, at: usize) -> Option<C> {
        let of_peer = self.peers.get_mut(party)?;
        let (_, connection) = of_peer.slots.remove(at);
        self.open -= 1;
        self.elsewhere -= usize::from(of_peer.origin != PeerOrigin::Node);
        if of_peer.slots.is_empty() {
            self.peers.remove(party);
        }
        Some(connection)
    }

    /// Where one must be evicted before a connection of this origin is admitted.
    fn full_for(&self, origin: PeerOrigin) -> Option<PlaceScope> {
        let not_for_node = self.limits.connections.saturating_sub(self.limits.reserved_for_node);
        if origin != PeerOrigin::Node && self.elsewhere >= not_for_node {
            Some(PlaceScope::Elsewhere)
        } else if self.open >= self.limits.connections {
            Some(PlaceScope::All)
        } else {
            None
        }
    }

    fn evict_of(&mut self, party: &Party, now: Mono) -> Option<C> {
        // It may get a request between being found and being evicted; three in a row is a busy server.
        (0..EVICTION_TRIES).find_map(|_| {
            let candidate = self.candidate(self.peers.get(party)?, now)?;
            let (_, connection) = self.peers.get(party)?.slots.get(candidate.at)?;
            if connection.evict(candidate.found) { self.remove(party, candidate.at) } else { None }
        })
    }

    fn evict_largest(&mut self, scope: PlaceScope, now: Mono) -> Option<C> {
        (0..EVICTION_TRIES).find_map(|_| self.evict_of(&self.largest(scope, now)?, now))
    }

    /// The peer with most connections among those with one to evict; of equals, the one whose is due first.
    fn largest(&self, scope: PlaceScope, now: Mono) -> Option<Party> {
        let mut best = None;
        for (peer, of_peer) in self.peers.iter().filter(|(_, of_peer)| scope.includes(of_peer.origin)) {
            let size = of_peer.slots.len();
            if best.is_some_and(|((largest, _), _)| largest > size) {
                continue;
            }
            let Some(candidate) = self.candidate(of_peer, now) else { continue };
            let rank = (size, Reverse((candidate.due, peer)));
            if best.is_none_or(|(other, _)| rank > other) {
                best = Some((rank, peer));
            }
        }
        best.map(|(_, peer)| peer.clone())
    }

    /// Which connection of a peer would be evicted.
    fn candidate(&self, of_peer: &PeerConnections<C>, now: Mono) -> Option<Candidate> {
        let candidates = of_peer.slots.iter().enumerate().filter_map(|(at, (_, connection))| {
            let found = connection.idle()?;
            Some(Candidate { due: found.due(now, self.limits.keep_answered)?, at, found })
        });
        candidates.min_by_key(|candidate| candidate.due)
    }
}

impl Idle {
    /// Orders evictions, the least first; `None` if it was answered less than `keep_answered` ago.
    fn due(self, now: Mono, keep_answered: Duration) -> Option<(u8, Mono)> {
        match self {
            Self::Silent(since) => Some((0, since)),
            Self::Unfinished(since) => Some((1, since)),
            Self::Answered(since) => (now.since(since) >= keep_answered).then_some((1, since)),
        }
    }
}

/// A connection that can be evicted.
struct Candidate {
    due: (u8, Mono),
    /// Its index among the connections of its peer
    at: usize,
    found: Idle,
}

#[derive(Clone, Copy)]
enum PlaceScope {
    All,
    Elsewhere,
}

impl PlaceScope {
    fn includes(self, origin: PeerOrigin) -> bool {
        matches!(self, Self::All) || origin != PeerOrigin::Node
    }
}

const EVICTION_TRIES: usize = 3;

#[cfg(test)]
mod tests;
