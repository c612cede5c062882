//! Decides which connections keep their slot when there are more connections than slots. A pure struct; `shared` wraps
//! it in a lock.
//!
//! - Only an idle connection can be evicted: one without a complete request, or one whose client doesn't read the
//!   response. Connections that have sent nothing go first, then the one idle for longest, never one that was answered
//!   less than [`Limits::keep_answered`] ago: its client is between two requests.
//! - A peer at its own cap loses one of its own connections; if none can be evicted, the new one is refused.
//! - From [`Limits::crowded_from`] connections on, the cap per peer is [`Limits::close_from_per_peer`], so that a few
//!   peers can't take all slots.
//! - Loopback connections without a proven pod share one cap, [`Limits::of_loopback`], which leaves the other half of
//!   all slots to other peers.
//! - With all slots taken, the peer with most connections (of those with an idle one) loses one; if there is none, the
//!   new connection is refused.
//! - The last slots are reserved for the node's own addresses, so a probe always gets one.
//!
//! The ordinary case is one map lookup. Only with all slots taken is every connection inspected, once.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Limits;
use crate::logic::base::maps::FastMap;
use crate::logic::base::time::Mono;

/// A connection as admission uses it.
pub(super) trait Evictable {
    /// Its kind of idleness; `None` while a request is being answered.
    fn idle(&self) -> Option<Idle>;

    /// Evicts it if it is still in the state `found`. An eviction is final.
    fn evict(&self, found: Idle) -> bool;
}

/// What an idle connection waits for, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idle {
    /// No byte received since it was accepted.
    Silent(Mono),
    /// Part of the first request received, or the client doesn't read a response.
    Unfinished(Mono),
    /// The last response was finished then.
    Answered(Mono),
}

/// The network origin of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum PeerOrigin {
    Node,
    Elsewhere,
    /// Loopback on a node where hostNetwork pods may connect: not trusted as the node.
    Loopback,
}

/// A unit for which connections are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum PeerKey {
    Address(IpAddr, PeerOrigin),
    /// All of loopback: every hostNetwork pod may connect from any loopback address.
    Loopback,
    /// A pod whose identity was proven, by uid
    Pod(Arc<str>),
}

impl PeerKey {
    /// The peer that a connection counts for until a request on it proves a pod's identity.
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
    /// The peer is at its cap, and none of its connections can be evicted.
    PeerFull,
    /// All slots are taken by connections that can't be evicted.
    AllFull,
    /// No thread could be started, and no connection could be evicted to free a worker.
    NoThread,
}

impl Refusal {
    /// Text for the log.
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
    /// `number` identifies the slot; `evicted` is the connection evicted to free it.
    Admitted {
        number: u64,
        evicted: Option<C>,
    },
    Refused(Refusal),
}

pub(super) struct Admission<C> {
    limits: Limits,
    peers: FastMap<PeerKey, PeerConnections<C>>,
    open: usize,
    /// Open connections from other peers than the node
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
        Self { limits: *limits, peers: FastMap::default(), open: 0, elsewhere: 0, next_number: 0 }
    }

    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// Finds a slot for a new connection.
    pub(super) fn admit(&mut self, peer: IpAddr, origin: PeerOrigin, connection: C, now: Mono) -> AdmissionVerdict<C> {
        let peer_key = PeerKey::of(peer, origin);
        let evicted = if self.is_full(&peer_key) {
            match self.evict_of(&peer_key, now) {
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
        self.insert(peer_key, number, connection);
        AdmissionVerdict::Admitted { number, evicted }
    }

    /// Whether connections of a peer are closed after each response, so that all its clients get a turn.
    pub(super) fn closes(&self, peer_key: &PeerKey) -> bool {
        self.is_crowded() || self.of_peer(peer_key) >= self.limits.close_from_per_peer
    }

    /// Moves a connection to the peer_key of its proven pod. If that pod is at its cap, one of its idle connections is
    /// evicted; if there is none, the connection stays where it was and the caller must refuse the request.
    pub(super) fn reassign(
        &mut self,
        from: &PeerKey,
        number: u64,
        to: PeerKey,
        now: Mono,
    ) -> Result<Option<C>, Refusal> {
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

    /// Frees a slot. A no-op for an evicted connection, which has lost its slot already.
    pub(super) fn release(&mut self, peer_key: &PeerKey, number: u64) {
        if let Some(at) = self.position(peer_key, number) {
            self.remove(peer_key, at);
        }
    }

    /// Evicts an idle connection to free its descriptor and thread.
    pub(super) fn shed(&mut self, now: Mono) -> Option<C> {
        self.evict_largest(SlotScope::All, now)
    }

    pub(super) fn connections(&self) -> impl Iterator<Item = &C> {
        self.peers.values().flat_map(|of_peer| of_peer.slots.iter().map(|(_, connection)| connection))
    }

    fn position(&self, peer_key: &PeerKey, number: u64) -> Option<usize> {
        self.peers.get(peer_key)?.slots.iter().position(|(other, _)| *other == number)
    }

    fn of_peer(&self, peer_key: &PeerKey) -> usize {
        self.peers.get(peer_key).map_or(0, |of_peer| of_peer.slots.len())
    }

    /// Whether a peer_key is at its cap.
    fn is_full(&self, peer_key: &PeerKey) -> bool {
        self.of_peer(peer_key) >= self.cap(peer_key)
    }

    fn cap(&self, peer_key: &PeerKey) -> usize {
        let Limits { per_peer, close_from_per_peer, .. } = self.limits;
        match peer_key {
            PeerKey::Loopback => self.limits.of_loopback(),
            PeerKey::Address(..) | PeerKey::Pod(_) if self.is_crowded() => per_peer.min(close_from_per_peer),
            PeerKey::Address(..) | PeerKey::Pod(_) => per_peer,
        }
    }

    fn is_crowded(&self) -> bool {
        self.open >= self.limits.crowded_from
    }

    fn insert(&mut self, peer_key: PeerKey, number: u64, connection: C) {
        let origin = peer_key.origin();
        let of_peer = self.peers.entry(peer_key).or_insert_with(|| PeerConnections { origin, slots: Vec::new() });
        of_peer.slots.push((number, connection));
        self.open += 1;
        self.elsewhere += usize::from(origin != PeerOrigin::Node);
    }

    fn remove(&mut self, peer_key: &PeerKey, at: usize) -> Option<C> {
        let of_peer = self.peers.get_mut(peer_key)?;
        let (_, connection) = of_peer.slots.remove(at);
        self.open -= 1;
        self.elsewhere -= usize::from(of_peer.origin != PeerOrigin::Node);
        if of_peer.slots.is_empty() {
            self.peers.remove(peer_key);
        }
        Some(connection)
    }

    /// Where a connection must be evicted before one of this origin is admitted; `None` with slots free.
    fn full_for(&self, origin: PeerOrigin) -> Option<SlotScope> {
        let not_for_node = self.limits.connections.saturating_sub(self.limits.reserved_for_node);
        if origin != PeerOrigin::Node && self.elsewhere >= not_for_node {
            Some(SlotScope::Elsewhere)
        } else if self.open >= self.limits.connections {
            Some(SlotScope::All)
        } else {
            None
        }
    }

    fn evict_of(&mut self, peer_key: &PeerKey, now: Mono) -> Option<C> {
        // The candidate may receive a request before it is evicted; then the next one is tried.
        (0..EVICTION_TRIES).find_map(|_| {
            let candidate = self.candidate(self.peers.get(peer_key)?, now)?;
            let (_, connection) = self.peers.get(peer_key)?.slots.get(candidate.at)?;
            if connection.evict(candidate.found) { self.remove(peer_key, candidate.at) } else { None }
        })
    }

    fn evict_largest(&mut self, scope: SlotScope, now: Mono) -> Option<C> {
        (0..EVICTION_TRIES).find_map(|_| self.evict_of(&self.largest(scope, now)?, now))
    }

    /// The peer with most connections among those with an evictable one; ties go to the one due first.
    fn largest(&self, scope: SlotScope, now: Mono) -> Option<PeerKey> {
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

    /// The connection of a peer that would be evicted next.
    fn candidate(&self, of_peer: &PeerConnections<C>, now: Mono) -> Option<Candidate> {
        let candidates = of_peer.slots.iter().enumerate().filter_map(|(at, (_, connection))| {
            let found = connection.idle()?;
            Some(Candidate { due: found.due(now, self.limits.keep_answered)?, at, found })
        });
        candidates.min_by_key(|candidate| candidate.due)
    }
}

impl Idle {
    /// Eviction order, lowest first; `None` if it was answered less than `keep_answered` ago.
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
enum SlotScope {
    All,
    Elsewhere,
}

impl SlotScope {
    fn includes(self, origin: PeerOrigin) -> bool {
        matches!(self, Self::All) || origin != PeerOrigin::Node
    }
}

const EVICTION_TRIES: usize = 3;

#[cfg(test)]
mod tests;
