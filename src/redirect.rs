//! The redirect: pods' requests to the metadata service are sent to the agent by nf_tables rules that this program
//! writes itself, through netlink; and the [`address`] of container credentials.
//!
//! Invariants: the table is replaced as one transaction, so there is no moment without rules; it stays when the process
//! ends, however it ends, and pods get "connection refused" instead of the node's role; only [`Redirect::remove`] and
//! [`remove`] take it away.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rustix::io::Errno;

use crate::logic::redirect::address::LINK;
use crate::logic::redirect::compare::{Cause, Claim, is_intact};
use crate::logic::redirect::interfaces::InterfaceRule;
use crate::logic::redirect::leftover::{self, OldRule};
use crate::logic::redirect::resolve::{HostNetwork, RedirectNote, Resolved, new_uplinks, resolve};
use crate::logic::redirect::ruleset::{CHAIN_DROPPED, CHAIN_TO_AGENT, chains};
use crate::logic::redirect::status::RedirectStatus;
use crate::logic::redirect::{Metadata, RedirectSpec, RequestAction, TABLE, Wanted, readback};

pub use self::error::RedirectError;
use self::hold::{HeldTable, Hold};
use self::nftables::Nftables;
use self::socket::steady;
pub use self::watch::{RedirectEvent, Surroundings};

pub mod address;
mod address_watch;
mod codec;
pub mod command;
mod conntrack;
mod error;
mod hold;
mod host;
mod link;
mod message;
mod netfilter;
mod nftables;
mod rtnetlink;
mod socket;
mod watch;

/// An agent's hold on the table.
#[derive(Debug)]
pub struct Redirect {
    spec: RedirectSpec,
    hold: Hold,
    /// What was wanted last, for a moment in which the node has no address.
    wanted: Option<Wanted>,
    seen: LastCheck,
    /// Where a newer agent's table sends pods.
    newer: Vec<SocketAddr>,
}

/// What the last look came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastCheck {
    /// There was none, or it failed.
    Nothing,
    Whole,
    /// A newer agent's table, of this generation.
    Newer(u64),
}

/// What was found and done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ensured {
    pub outcome: RedirectOutcome,
    pub generation: u64,
    pub wanted: Wanted,
    pub notes: Vec<RedirectNote>,
    /// Connections from before the rules that were cut; why it failed, if it did. The rules drop their packets anyway.
    pub cut: Result<usize, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectOutcome {
    /// It was whole.
    Kept,
    /// There was no table.
    Placed,
    /// There was one that had been altered.
    Repaired(Vec<String>),
    /// Something else is wanted than before: other flags, or the node's addresses or uplinks have changed.
    Updated,
    /// A newer agent of ours wants something else.
    Yielded,
    /// A newer agent had it and doesn't serve.
    TakenBack,
}

/// What became of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    Deleted,
    NothingThere,
    /// It belongs to a newer agent.
    LeftToNewer,
}

impl Redirect {
    /// Only asks the kernel whether it will do.
    pub fn open(spec: RedirectSpec) -> Result<Self, RedirectError> {
        let wanted = host::network().ok().and_then(|host| resolve(&spec, &host).ok()).map(|resolved| resolved.wanted);
        let hold = Hold::open(REDIRECT_TABLE).map_err(|error| match &wanted {
            Some(wanted) => error.with_lines(wanted),
            None => error,
        })?;
        Ok(Self { spec, hold, wanted: None, seen: LastCheck::Nothing, newer: Vec::new() })
    }

    /// What pods' requests are to get from the next [`ensure`](Self::ensure) on. An agent that can be sent requests from
    /// now on does not yield to one that was newer until then.
    pub fn set_requests(&mut self, requests: RequestAction) {
        if requests != self.spec.requests {
            self.spec.requests = requests;
            self.hold.claim = match requests {
                RequestAction::Redirect => Claim::Anew,
                RequestAction::Drop => Claim::Changed,
            };
        }
    }

    /// For an agent that can't start: unless a table of ours stands, one that drops pods' requests. `None`: one stands.
    pub fn bar(spec: RedirectSpec) -> Result<Option<Ensured>, RedirectError> {
        let mut redirect = Self::open(RedirectSpec { requests: RequestAction::Drop, ..spec })?;
        let found = redirect.hold.table()?;
        if found.is_some_and(|found| is_intact(&found)) { Ok(None) } else { redirect.ensure().map(Some) }
    }

    /// Makes the table what it should be, if it isn't, and cuts the connections from before.
    pub fn ensure(&mut self) -> Result<Ensured, RedirectError> {
        self.seen = LastCheck::Nothing;
        let host = host_network()?;
        let Resolved { wanted, mut notes } = match (resolve(&self.spec, &host), &self.wanted) {
            (Ok(resolved), _) => resolved,
            (Err(_), Some(wanted)) => Resolved { wanted: wanted.clone(), notes: Vec::new() },
            (Err(cause), None) => return Err(RedirectError::NoHostAddress(cause)),
        };
        if notes.contains(&RedirectNote::ChartDefaultMissing) {
            // For the life of this agent: no pod loses its role because such an interface appears.
            self.spec.interfaces = InterfaceRule::Automatic;
        }
        let first = self.hold.generation.is_none();
        let (outcome, generation) = self.bring_about(&wanted)?;
        let changed = self.wanted.as_ref().filter(|before| **before != wanted);
        notes.extend(changed.map(|before| new_uplinks(&before.scope, &wanted.scope)).unwrap_or_default());
        let outcome = if changed.is_some() && matches!(outcome, RedirectOutcome::Repaired(_)) {
            RedirectOutcome::Updated
        } else {
            outcome
        };
        self.seen = if outcome == RedirectOutcome::Yielded { LastCheck::Newer(generation) } else { LastCheck::Whole };
        let wrote = !matches!(outcome, RedirectOutcome::Kept | RedirectOutcome::Yielded);
        let cut = if wrote || first { cut(&wanted, &host) } else { Ok(0) };
        self.wanted = Some(wanted.clone());
        Ok(Ensured { outcome, generation, wanted, notes, cut: cut.map_err(|cause| cause.to_string()) })
    }

    fn bring_about(&mut self, wanted: &Wanted) -> Result<(RedirectOutcome, u64), RedirectError> {
        let turn = self.hold.bring_about(&chains(wanted), &|refused| RedirectError::writing(refused, wanted))?;
        if let Some(newer) = turn.newer {
            self.newer = readback::read_back(&newer).map(|newer| newer.agents()).unwrap_or_default();
        }
        Ok((turn.outcome, turn.generation))
    }

    /// Takes the table away unless a newer agent wrote it. From then on pods reach the node's own role.
    pub fn remove(&mut self) -> Result<Removed, RedirectError> {
        self.hold.remove()
    }
}

/// The tables of the older iptables in the calling thread's network, not the process's.
const LEGACY_TABLES: &str = "/proc/thread-self/net/ip_tables_names";
const REDIRECT_TABLE: HeldTable = HeldTable { name: TABLE, chains: &[CHAIN_TO_AGENT, CHAIN_DROPPED], is_intact };

/// Takes the table away, whoever wrote it.
pub fn remove() -> Result<Removed, RedirectError> {
    open()?.delete()
}

/// Looks at everything and changes nothing.
pub fn status() -> Result<RedirectStatus, RedirectError> {
    let mut hold = open().map_err(RedirectError::while_reading)?;
    let table = hold.table()?;
    let wanted = table.as_ref().and_then(readback::read_back);
    let metadata = wanted.map_or_else(|| Metadata::of([]), |wanted| wanted.metadata);
    let (old_rules, mut unread) = old_rules(hold.nftables(), metadata.v4());
    unread.extend(legacy_hint(metadata.v4()));
    let mut interfaces = host_network()?.interfaces;
    interfaces.retain(|interface| interface.name != LINK);
    Ok(RedirectStatus { table, interfaces, old_rules, unread, credentials: address::status()? })
}

/// The node's interfaces, addresses and default routes. Needs no capability.
pub fn host_network() -> Result<HostNetwork, RedirectError> {
    host::network().map_err(|cause| kernel("read", "the node's network", cause))
}

/// The rules the original kube2iam left behind, and where nobody could look for them.
pub fn left_over(metadata: &[Ipv4Addr]) -> Result<(Vec<OldRule>, Vec<String>), RedirectError> {
    Ok(old_rules(open()?.nftables(), metadata))
}

/// Deletes those rules of iptables-nft. To be called when the table stands, so that there is no moment without either. For each rule:
/// `None`, or why it is still there.
pub fn adopt(metadata: &[Ipv4Addr]) -> Result<Vec<(OldRule, Option<String>)>, RedirectError> {
    let mut hold = open()?;
    let nftables = hold.nftables();
    let (rules, _) = old_rules(nftables, metadata);
    let mut remove = |rule: &OldRule| {
        let deleted = nftables.delete_iptables_rule(leftover::TABLE, leftover::CHAIN, rule.handle);
        deleted.err().map(|refused| refused.cause.to_string())
    };
    Ok(rules
        .into_iter()
        .map(|rule| {
            let kept = remove(&rule);
            (rule, kept)
        })
        .collect())
}

/// The line to run where the kernel has a table of the older iptables; that file says so without loading it.
pub fn legacy_hint(metadata: &[Ipv4Addr]) -> Option<String> {
    let names = std::fs::read_to_string(LEGACY_TABLES).ok()?;
    names.lines().any(|name| name == leftover::TABLE).then(|| leftover::legacy_hint(metadata))
}

fn old_rules(nftables: &mut Nftables, metadata: &[Ipv4Addr]) -> (Vec<OldRule>, Vec<String>) {
    match steady(|| nftables.iptables_rules(leftover::TABLE, leftover::CHAIN)) {
        Ok(found) => (leftover::old_rules(&found, metadata), Vec::new()),
        Err(cause) => (Vec::new(), vec![format!("failed to read the rules of `iptables-nft`: {cause}")]),
    }
}

fn open() -> Result<Hold, RedirectError> {
    Hold::open(REDIRECT_TABLE)
}

fn cut(wanted: &Wanted, host: &HostNetwork) -> Result<usize, Errno> {
    let metadata = wanted.metadata.all();
    let own: Vec<IpAddr> = host.addresses.iter().map(|address| address.ip).collect();
    let agents = wanted.agents();
    conntrack::cut(&conntrack::Stale { metadata: &metadata, port: None, own: &own, agents: &agents })
}

fn kernel(verb: &'static str, object: &str, cause: Errno) -> RedirectError {
    RedirectError::Kernel { verb, object: object.to_owned(), cause }
}

impl From<Cause> for RedirectOutcome {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Missing => Self::Placed,
            Cause::Altered(differences) => Self::Repaired(differences),
            Cause::Outdated => Self::Updated,
        }
    }
}

impl fmt::Display for RedirectOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept => f.write_str("was whole"),
            Self::Placed => f.write_str("was missing and is placed"),
            Self::Repaired(differences) => write!(f, "was altered and is repaired: {}", differences.join("; ")),
            Self::Updated => f.write_str("is updated"),
            Self::Yielded => f.write_str("is left to a newer agent"),
            Self::TakenBack => f.write_str("was a newer agent's that doesn't answer and is taken back"),
        }
    }
}

impl fmt::Display for Ensured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table inet {TABLE} {}, generation {}", self.outcome, self.generation)
    }
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deleted => write!(f, "table inet {TABLE} is removed: pods reach the node's own credentials"),
            Self::NothingThere => write!(f, "table inet {TABLE} was not there"),
            Self::LeftToNewer => write!(f, "table inet {TABLE} is left to a newer agent"),
        }
    }
}
