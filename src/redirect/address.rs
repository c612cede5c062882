//! The address of container credentials on the node, 169.254.170.2: its link, and the rules that protect it.
//!
//! Invariants: the rules are placed before the address and removed after it, so that no other rule can ever divert a
//! token; both stay when the process ends, so that pods get "connection refused" instead of sending tokens out of the
//! node; if only the address is removed, the rules drop packets that would leave the node for it; a link or an address
//! that this program didn't create is reported and left alone, and while it exists, requests are dropped.

use std::fmt;
use std::net::SocketAddr;

use rustix::io::Errno;

use crate::logic::operator::port_holder::PortAnswer;
use crate::logic::redirect::address::{
    ADDRESS, AddressStep, FoundAddress, LINK, LINK_KIND, LinkChoice, LinkSupport, Obstacle, Place, next_step, obstacle,
};
use crate::logic::redirect::address_status::AddressStatus;
use crate::logic::redirect::compare::Claim;
use crate::logic::redirect::guard::{CHAINS, GUARD_TABLE, Guard, HEALTH_V4, chains, is_intact, read_back};
use crate::logic::redirect::{RedirectSpec, RequestAction};

pub use super::address_watch::AddressEvent;
use super::error::RedirectError;
use super::link::Links;
use super::owned_table::{OwnedTable, TableKind};
use super::{LastCheck, RedirectOutcome, Removed, conntrack, host_network};

const TABLE: TableKind = TableKind { name: GUARD_TABLE, chains: CHAINS, is_intact };
/// Create, bring up, assign, plus retries for an unsupported link kind and a link that disappears.
const MAX_STEPS: usize = 8;

/// An agent's control of the address.
#[derive(Debug)]
pub struct CredentialsAddress {
    pub(super) spec: RedirectSpec,
    choice: LinkChoice,
    pub(super) owned: OwnedTable,
    links: Links,
    /// The last desired rules
    guard: Option<Guard>,
    pub(super) seen: LastCheck,
    /// The last obstacle found
    pub(super) obstacle: Option<Obstacle>,
    /// Addresses of the newer agent that has the table
    pub(super) newer: Vec<SocketAddr>,
}

/// The result of [`CredentialsAddress::ensure`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressEnsured {
    /// Outcome for the table
    pub outcome: RedirectOutcome,
    pub generation: u64,
    pub guard: Guard,
    pub place: Result<Place, Obstacle>,
    /// Repairs made to the link and the address
    pub repairs: Vec<AddressRepair>,
    /// Number of connections cut that another rule had diverted, or why that failed
    pub cut: Result<usize, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressRepair {
    LinkMade,
    Raised(Place),
    Assigned(Place),
}

impl CredentialsAddress {
    /// Checks that the kernel supports it; changes nothing.
    pub fn open(spec: RedirectSpec) -> Result<Self, RedirectError> {
        let owned = OwnedTable::open(TABLE)?;
        let links = Links::open().map_err(|cause| kernel("open", "rtnetlink", cause))?;
        let choice = LinkChoice { kind: LINK_KIND, support: LinkSupport::Assumed };
        Ok(Self {
            spec,
            choice,
            owned,
            links,
            guard: None,
            seen: LastCheck::Nothing,
            obstacle: None,
            newer: Vec::new(),
        })
    }

    /// For an agent that can't start: sets up the address, unless it is in place and `ask` finds no other program
    /// answering there (`None`).
    pub fn ensure_blocked(
        spec: RedirectSpec,
        ask: &dyn Fn(SocketAddr) -> PortAnswer,
    ) -> Result<Option<AddressEnsured>, RedirectError> {
        let mut address = Self::open(spec)?;
        let intact = address.owned.table()?.filter(is_intact).and_then(|table| read_back(&table));
        let found = find(&mut address.links)?;
        let is_foreign = |guard: &Guard| health_addresses(guard).into_iter().any(|at| ask(at) == PortAnswer::Otherwise);
        match next_step(&found, LinkChoice { support: LinkSupport::Refused, ..address.choice }) {
            AddressStep::Keep(_) if intact.is_some_and(|guard| !is_foreign(&guard)) => Ok(None),
            _ => address.ensure().map(Some),
        }
    }

    /// Uses another link kind, for kernels without the usual one.
    #[must_use]
    pub fn with_link_kind(mut self, kind: &'static str) -> Self {
        self.choice.kind = kind;
        self
    }

    /// Creates or repairs link, address and rules.
    pub fn ensure(&mut self) -> Result<AddressEnsured, RedirectError> {
        self.seen = LastCheck::Nothing;
        let (host, found) = (host_network()?, find(&mut self.links)?);
        let mut guard = Guard::resolve(&self.spec, &host);
        if obstacle(&found, self.choice.kind).is_some() {
            guard.requests = RequestAction::Drop;
        }
        self.claim(&guard);
        let first = self.owned.generation.is_none();
        let writing = |refused| RedirectError::writing_table(refused, GUARD_TABLE);
        let applied = self.owned.apply(&chains(&guard), &writing)?;
        let changed = self.guard.as_ref().is_some_and(|before| *before != guard);
        let outcome = match applied.outcome {
            RedirectOutcome::Repaired(_) if changed => RedirectOutcome::Updated,
            outcome => outcome,
        };
        if let Some(newer) = &applied.newer {
            self.newer = read_back(newer).map(|newer| health_addresses(&newer)).unwrap_or_default();
        }
        let (place, repairs) = self.place_address()?;
        self.obstacle = place.as_ref().err().cloned();
        self.seen =
            if outcome == RedirectOutcome::Yielded { LastCheck::Newer(applied.generation) } else { LastCheck::Whole };
        let wrote = !matches!(outcome, RedirectOutcome::Kept | RedirectOutcome::Yielded);
        let cut = if wrote || first { cut(&guard) } else { Ok(0) }.map_err(|cause| cause.to_string());
        self.guard = Some(guard.clone());
        Ok(AddressEnsured { outcome, generation: applied.generation, guard, place, repairs, cut })
    }

    /// Claims the table as [`set_requests`](super::Redirect::set_requests) does.
    fn claim(&mut self, guard: &Guard) {
        let Some(before) = &self.guard else { return };
        let actions = [(before.requests, guard.requests), (before.at_loopback, guard.at_loopback)];
        if actions.contains(&(RequestAction::Drop, RequestAction::Redirect)) {
            self.owned.claim = Claim::Anew;
        } else if actions.contains(&(RequestAction::Redirect, RequestAction::Drop)) {
            self.owned.claim = Claim::Changed;
        }
    }

    /// The address of this agent's health check.
    pub(super) fn own_health_addresses(&self) -> Vec<SocketAddr> {
        self.guard.as_ref().map(health_addresses).unwrap_or_default()
    }

    /// Repeats single steps until the address is in place.
    fn place_address(&mut self) -> Result<(Result<Place, Obstacle>, Vec<AddressRepair>), RedirectError> {
        let mut repairs = Vec::new();
        for _ in 0..MAX_STEPS {
            let (done, repair) = match next_step(&find(&mut self.links)?, self.choice) {
                AddressStep::Keep(place) => return Ok((Ok(place), repairs)),
                AddressStep::Blocked(obstacle) => return Ok((Err(obstacle), repairs)),
                AddressStep::MakeLink => (self.links.make(self.choice.kind), AddressRepair::LinkMade),
                AddressStep::Raise { place, index } => (self.links.raise(index), AddressRepair::Raised(place)),
                AddressStep::Assign { place, index } => {
                    (self.links.assign(place, index), AddressRepair::Assigned(place))
                }
            };
            match done {
                Ok(()) => repairs.push(repair),
                Err(Errno::OPNOTSUPP) if repair == AddressRepair::LinkMade => {
                    self.choice.support = LinkSupport::Refused
                }
                // Another agent made the change first, or the link disappeared.
                Err(Errno::EXIST | Errno::NODEV) => {}
                Err(cause) => return Err(kernel("set up", &repair.object(), cause)),
            }
        }
        Err(kernel("set up", &ADDRESS.to_string(), Errno::AGAIN))
    }

    /// Removes link, address and rules unless a newer agent has them.
    pub fn remove(&mut self) -> Result<Removed, RedirectError> {
        if self.owned.belongs_to_newer()? {
            return Ok(Removed::LeftToNewer);
        }
        let was_there = remove_address(&mut self.links, self.choice.kind)?;
        let removed = self.owned.remove()?;
        Ok(if was_there { Removed::Deleted } else { removed })
    }
}

/// Removes link, address and rules, whichever agent created them.
pub fn remove() -> Result<Removed, RedirectError> {
    let mut owned = OwnedTable::open(TABLE)?;
    let mut links = Links::open().map_err(|cause| kernel("open", "rtnetlink", cause))?;
    let was_there = remove_address(&mut links, LINK_KIND)?;
    let removed = owned.delete()?;
    Ok(if was_there { Removed::Deleted } else { removed })
}

/// Reads the state of everything; changes nothing.
pub fn status() -> Result<AddressStatus, RedirectError> {
    let mut owned = OwnedTable::open(TABLE).map_err(RedirectError::while_reading)?;
    Ok(AddressStatus { table: owned.table()?, address: found_address()? })
}

/// Finds the address. Needs no capability.
pub fn found_address() -> Result<FoundAddress, RedirectError> {
    find(&mut Links::open().map_err(|cause| kernel("open", "rtnetlink", cause))?)
}

fn find(links: &mut Links) -> Result<FoundAddress, RedirectError> {
    links.find().map_err(|cause| kernel("read", "the node's links", cause))
}

/// Removes the address and its link; returns whether there was anything to remove.
fn remove_address(links: &mut Links, kind: &str) -> Result<bool, RedirectError> {
    let found = find(links)?;
    let mut was_there = false;
    if let Some(link) = found.link.as_ref().filter(|link| link.kind == kind) {
        was_there |= existed(links.delete_link(link.index)).map_err(|cause| kernel("delete", LINK, cause))?;
    }
    if let Some(loopback) = &found.loopback {
        let own = found.holders.iter().any(|holder| holder.index == loopback.index && found.is_own(holder));
        if own {
            let deleted = links.delete_from_loopback(loopback.index);
            was_there |= existed(deleted).map_err(|cause| kernel("delete", &format!("{ADDRESS} on lo"), cause))?;
        }
    }
    Ok(was_there)
}

/// Whether the deleted object existed.
fn existed(deleted: Result<(), Errno>) -> Result<bool, Errno> {
    match deleted {
        Ok(()) => Ok(true),
        Err(Errno::NODEV | Errno::ADDRNOTAVAIL) => Ok(false),
        Err(cause) => Err(cause),
    }
}

/// The health address of an agent with these rules; empty if it drops requests.
fn health_addresses(guard: &Guard) -> Vec<SocketAddr> {
    let at = SocketAddr::from((HEALTH_V4, guard.port));
    (guard.requests == RequestAction::Redirect).then_some(at).into_iter().collect()
}

fn cut(guard: &Guard) -> Result<usize, Errno> {
    let agents = guard.kept();
    let local = agents.map(|agent| agent.ip());
    conntrack::cut(&conntrack::Stale { metadata: &local, port: Some(guard.port), own: &[], agents: &agents })
}

fn kernel(verb: &'static str, object: &str, cause: Errno) -> RedirectError {
    match cause {
        Errno::PERM => RedirectError::NoNetAdmin,
        cause => RedirectError::Kernel { verb, object: object.to_owned(), cause },
    }
}

impl AddressEnsured {
    /// Whether pods' requests can reach the agent at the address.
    pub fn is_in_place(&self) -> bool {
        self.outcome != RedirectOutcome::Yielded && self.place.is_ok()
    }
}

impl AddressRepair {
    fn object(self) -> String {
        match self {
            Self::LinkMade => format!("the link {LINK}"),
            Self::Raised(place) => format!("the link {}", place.interface()),
            Self::Assigned(place) => format!("{ADDRESS} on {}", place.interface()),
        }
    }
}

impl fmt::Display for AddressRepair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LinkMade => write!(f, "the link {LINK} was missing and is made"),
            Self::Raised(place) => write!(f, "the link {} was down and is up", place.interface()),
            Self::Assigned(place) => write!(f, "the address was missing and is added to {}", place.interface()),
        }
    }
}

impl fmt::Display for AddressEnsured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Guard { port, .. } = self.guard;
        match &self.place {
            Ok(place) => write!(f, "container credentials at {ADDRESS}:{port} on {}", place.interface())?,
            Err(obstacle) => write!(f, "container credentials are not in place: {obstacle}")?,
        }
        if self.guard.requests == RequestAction::Drop {
            f.write_str("; requests to it are dropped")?;
        }
        self.repairs.iter().try_for_each(|repair| write!(f, "; {repair}"))?;
        write!(f, "; table inet {GUARD_TABLE} {}, generation {}", self.outcome, self.generation)
    }
}

#[cfg(test)]
mod tests;
