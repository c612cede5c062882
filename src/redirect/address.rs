//! The address of container credentials, 169.254.170.2, on the node: its link and the rules around it.
//!
//! Invariants: the rules stand before the address and go after it, so there is no moment in which another rule could
//! take a token elsewhere; both stay when the process ends, and pods get "connection refused" instead of sending tokens
//! out of the node; should the address go alone, the rules drop what would leave the node for it; a link or an address
//! that this program did not make is named and left alone, and as long as it is there, requests are dropped.

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
use super::hold::{HeldTable, Hold};
use super::link::Links;
use super::{LastCheck, RedirectOutcome, Removed, conntrack, host_network};

const TABLE: HeldTable = HeldTable { name: GUARD_TABLE, chains: CHAINS, is_intact };
/// Making, raising, assigning, a kind of link that is refused, and a link that goes meanwhile.
const MOST_STEPS: usize = 8;

/// An agent's hold on the address.
#[derive(Debug)]
pub struct CredentialsAddress {
    pub(super) spec: RedirectSpec,
    choice: LinkChoice,
    pub(super) hold: Hold,
    links: Links,
    /// What was wanted last
    guard: Option<Guard>,
    pub(super) seen: LastCheck,
    /// What was in the way last
    pub(super) obstacle: Option<Obstacle>,
    /// Where a newer agent that has the table listens
    pub(super) newer: Vec<SocketAddr>,
}

/// What was found and done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressEnsured {
    /// Of the table
    pub outcome: RedirectOutcome,
    pub generation: u64,
    pub guard: Guard,
    pub place: Result<Place, Obstacle>,
    /// What the link and the address lacked
    pub repairs: Vec<AddressRepair>,
    /// Connections cut that another rule had taken elsewhere; why it failed, if it did
    pub cut: Result<usize, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressRepair {
    LinkMade,
    Raised(Place),
    Assigned(Place),
}

impl CredentialsAddress {
    /// Only asks the kernel whether it will do.
    pub fn open(spec: RedirectSpec) -> Result<Self, RedirectError> {
        let hold = Hold::open(TABLE)?;
        let links = Links::open().map_err(|cause| kernel("open", "rtnetlink", cause))?;
        let choice = LinkChoice { kind: LINK_KIND, support: LinkSupport::Assumed };
        Ok(Self { spec, choice, hold, links, guard: None, seen: LastCheck::Nothing, obstacle: None, newer: Vec::new() })
    }

    /// For an agent that can't start: sets it up unless it stands and no other program answers there, as `ask` finds out.
    /// `None`: it stands.
    pub fn bar(
        spec: RedirectSpec,
        ask: &dyn Fn(SocketAddr) -> PortAnswer,
    ) -> Result<Option<AddressEnsured>, RedirectError> {
        let mut address = Self::open(spec)?;
        let intact = address.hold.table()?.filter(is_intact).and_then(|table| read_back(&table));
        let found = find(&mut address.links)?;
        let is_foreign = |guard: &Guard| own(guard).into_iter().any(|at| ask(at) == PortAnswer::Otherwise);
        match next_step(&found, LinkChoice { support: LinkSupport::Refused, ..address.choice }) {
            AddressStep::Keep(_) if intact.is_some_and(|guard| !is_foreign(&guard)) => Ok(None),
            _ => address.ensure().map(Some),
        }
    }

    /// The same with another kind of link, for kernels without the usual one.
    #[must_use]
    pub fn with_link_kind(mut self, kind: &'static str) -> Self {
        self.choice.kind = kind;
        self
    }

    /// Makes link, address and rules what they should be.
    pub fn ensure(&mut self) -> Result<AddressEnsured, RedirectError> {
        self.seen = LastCheck::Nothing;
        let (host, found) = (host_network()?, find(&mut self.links)?);
        let mut guard = Guard::resolve(&self.spec, &host);
        if obstacle(&found, self.choice.kind).is_some() {
            guard.requests = RequestAction::Drop;
        }
        self.claim(&guard);
        let first = self.hold.generation.is_none();
        let writing = |refused| RedirectError::writing_table(refused, GUARD_TABLE);
        let turn = self.hold.bring_about(&chains(&guard), &writing)?;
        let changed = self.guard.as_ref().is_some_and(|before| *before != guard);
        let outcome = match turn.outcome {
            RedirectOutcome::Repaired(_) if changed => RedirectOutcome::Updated,
            outcome => outcome,
        };
        if let Some(newer) = &turn.newer {
            self.newer = read_back(newer).map(|newer| own(&newer)).unwrap_or_default();
        }
        let (place, repairs) = self.settle()?;
        self.obstacle = place.as_ref().err().cloned();
        self.seen =
            if outcome == RedirectOutcome::Yielded { LastCheck::Newer(turn.generation) } else { LastCheck::Whole };
        let wrote = !matches!(outcome, RedirectOutcome::Kept | RedirectOutcome::Yielded);
        let cut = if wrote || first { cut(&guard) } else { Ok(0) }.map_err(|cause| cause.to_string());
        self.guard = Some(guard.clone());
        Ok(AddressEnsured { outcome, generation: turn.generation, guard, place, repairs, cut })
    }

    /// As [`set_requests`](super::Redirect::set_requests) does it.
    fn claim(&mut self, guard: &Guard) {
        let Some(before) = &self.guard else { return };
        let actions = [(before.requests, guard.requests), (before.at_loopback, guard.at_loopback)];
        if actions.contains(&(RequestAction::Drop, RequestAction::Redirect)) {
            self.hold.claim = Claim::Anew;
        } else if actions.contains(&(RequestAction::Redirect, RequestAction::Drop)) {
            self.hold.claim = Claim::Changed;
        }
    }

    /// Where this agent is asked for its health.
    pub(super) fn own(&self) -> Vec<SocketAddr> {
        self.guard.as_ref().map(own).unwrap_or_default()
    }

    /// Takes one step after the other until the address is where it should be.
    fn settle(&mut self) -> Result<(Result<Place, Obstacle>, Vec<AddressRepair>), RedirectError> {
        let mut repairs = Vec::new();
        for _ in 0..MOST_STEPS {
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
                // Another agent was faster, or the link went.
                Err(Errno::EXIST | Errno::NODEV) => {}
                Err(cause) => return Err(kernel("set up", &repair.object(), cause)),
            }
        }
        Err(kernel("set up", &ADDRESS.to_string(), Errno::AGAIN))
    }

    /// Takes all of it away unless a newer agent has it.
    pub fn remove(&mut self) -> Result<Removed, RedirectError> {
        if self.hold.is_newers()? {
            return Ok(Removed::LeftToNewer);
        }
        let was_there = withdraw(&mut self.links, self.choice.kind)?;
        let removed = self.hold.remove()?;
        Ok(if was_there { Removed::Deleted } else { removed })
    }
}

/// Takes all of it away, whoever of ours made it.
pub fn remove() -> Result<Removed, RedirectError> {
    let mut hold = Hold::open(TABLE)?;
    let mut links = Links::open().map_err(|cause| kernel("open", "rtnetlink", cause))?;
    let was_there = withdraw(&mut links, LINK_KIND)?;
    let removed = hold.delete()?;
    Ok(if was_there { Removed::Deleted } else { removed })
}

/// Looks at everything and changes nothing.
pub fn status() -> Result<AddressStatus, RedirectError> {
    let mut hold = Hold::open(TABLE).map_err(RedirectError::while_reading)?;
    Ok(AddressStatus { table: hold.table()?, address: found_address()? })
}

/// Where the address is. Needs no capability.
pub fn found_address() -> Result<FoundAddress, RedirectError> {
    find(&mut Links::open().map_err(|cause| kernel("open", "rtnetlink", cause))?)
}

fn find(links: &mut Links) -> Result<FoundAddress, RedirectError> {
    links.find().map_err(|cause| kernel("read", "the node's links", cause))
}

/// Whether anything was there that could be taken away.
fn withdraw(links: &mut Links, kind: &str) -> Result<bool, RedirectError> {
    let found = find(links)?;
    let mut was_there = false;
    if let Some(link) = found.link.as_ref().filter(|link| link.kind == kind) {
        was_there |= gone(links.delete_link(link.index)).map_err(|cause| kernel("delete", LINK, cause))?;
    }
    if let Some(loopback) = &found.loopback {
        let own = found.holders.iter().any(|holder| holder.index == loopback.index && found.is_own(holder));
        if own {
            let deleted = links.delete_from_loopback(loopback.index);
            was_there |= gone(deleted).map_err(|cause| kernel("delete", &format!("{ADDRESS} on lo"), cause))?;
        }
    }
    Ok(was_there)
}

/// Whether it was there to be deleted.
fn gone(deleted: Result<(), Errno>) -> Result<bool, Errno> {
    match deleted {
        Ok(()) => Ok(true),
        Err(Errno::NODEV | Errno::ADDRNOTAVAIL) => Ok(false),
        Err(cause) => Err(cause),
    }
}

/// Where an agent with these rules is asked for its health; nowhere if it drops requests.
fn own(guard: &Guard) -> Vec<SocketAddr> {
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
    /// Whether pods' requests can reach the agent there.
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
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_told_in_one_line() {
        let passing = RequestAction::Redirect;
        let guard = Guard { port: 8181, uplinks: Vec::new(), requests: passing, at_loopback: passing };
        let whole = AddressEnsured {
            outcome: RedirectOutcome::Kept,
            generation: 2,
            guard,
            place: Ok(Place::OwnLink),
            repairs: vec![AddressRepair::LinkMade, AddressRepair::Assigned(Place::OwnLink)],
            cut: Ok(0),
        };
        assert_eq!(
            whole.to_string(),
            "container credentials at 169.254.170.2:8181 on kube2iam0; the link kube2iam0 was missing and is made; the \
             address was missing and is added to kube2iam0; table inet kube2iam_credentials was whole, generation 2"
        );
        let blocked = AddressEnsured { place: Err(Obstacle::NoLoopback), repairs: Vec::new(), ..whole.clone() };
        assert!(blocked.to_string().starts_with("container credentials are not in place: "), "{blocked}");
        let yielded = AddressEnsured { outcome: RedirectOutcome::Yielded, ..whole.clone() };
        assert_eq!([&whole, &blocked, &yielded].map(AddressEnsured::is_in_place), [true, false, false]);
    }

    #[test]
    fn a_missing_capability_is_named_whatever_it_was_missing_for() {
        assert_eq!(kernel("set up", "the link kube2iam0", Errno::PERM), RedirectError::NoNetAdmin);
        assert_eq!(gone(Err(Errno::ADDRNOTAVAIL)), Ok(false));
        assert_eq!(gone(Err(Errno::PERM)), Err(Errno::PERM));
    }
}
