//! The redirect: nf_tables rules, written through netlink, that send pods' requests for the metadata service to the
//! agent; and the [`address`] of container credentials.
//!
//! Invariants: the table is replaced in one transaction, so there is no moment without rules; it stays when the process
//! ends, however it ends, so that pods get "connection refused" instead of the node's role; only [`Redirect::remove`]
//! and [`remove`] remove it.

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
use self::nftables::Nftables;
use self::owned_table::{OwnedTable, TableKind};
use self::socket::read_consistently;
pub use self::watch::{RedirectEvent, WatchContext};

pub mod address;
mod address_watch;
mod codec;
pub mod command;
mod conntrack;
mod error;
mod host;
mod link;
mod message;
mod netfilter;
mod nftables;
mod owned_table;
mod rtnetlink;
mod socket;
mod watch;

/// An agent's control of the table.
#[derive(Debug)]
pub struct Redirect {
    spec: RedirectSpec,
    owned: OwnedTable,
    /// The last desired rules, for use while the node has no address.
    wanted: Option<Wanted>,
    seen: LastCheck,
    /// Addresses of the newer agent that has the table.
    newer: Vec<SocketAddr>,
}

/// The result of the last check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastCheck {
    /// No check yet, or it failed.
    Nothing,
    Whole,
    /// A newer agent's table, of this generation.
    Newer(u64),
}

/// The result of [`Redirect::ensure`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ensured {
    pub outcome: RedirectOutcome,
    pub generation: u64,
    pub wanted: Wanted,
    pub notes: Vec<RedirectNote>,
    /// Number of older connections cut, or why that failed; the rules drop their packets in either case.
    pub cut: Result<usize, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectOutcome {
    /// The table was intact.
    Kept,
    /// There was no table.
    Placed,
    /// The table had been altered.
    Repaired(Vec<String>),
    /// The desired rules changed: other flags, or other addresses or uplinks of the node.
    Updated,
    /// A newer agent wants other rules.
    Yielded,
    /// A newer agent had the table and doesn't respond.
    TakenBack,
}

/// The result of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    Deleted,
    NothingThere,
    /// It belongs to a newer agent.
    LeftToNewer,
}

impl Redirect {
    /// Checks that the kernel supports it; changes nothing.
    pub fn open(spec: RedirectSpec) -> Result<Self, RedirectError> {
        let wanted = host::network().ok().and_then(|host| resolve(&spec, &host).ok()).map(|resolved| resolved.wanted);
        let owned = OwnedTable::open(REDIRECT_TABLE).map_err(|error| match &wanted {
            Some(wanted) => error.with_lines(wanted),
            None => error,
        })?;
        Ok(Self { spec, owned, wanted: None, seen: LastCheck::Nothing, newer: Vec::new() })
    }

    /// Sets what happens to pods' requests, from the next [`ensure`](Self::ensure) on. An agent that changes from
    /// dropping to redirecting claims a new generation, and so doesn't yield to an agent that was newer before.
    pub fn set_requests(&mut self, requests: RequestAction) {
        if requests != self.spec.requests {
            self.spec.requests = requests;
            self.owned.claim = match requests {
                RequestAction::Redirect => Claim::Anew,
                RequestAction::Drop => Claim::Changed,
            };
        }
    }

    /// For an agent that can't start: writes a table that drops pods' requests, unless an intact one exists (`None`).
    pub fn ensure_blocked(spec: RedirectSpec) -> Result<Option<Ensured>, RedirectError> {
        let mut redirect = Self::open(RedirectSpec { requests: RequestAction::Drop, ..spec })?;
        let found = redirect.owned.table()?;
        if found.is_some_and(|found| is_intact(&found)) { Ok(None) } else { redirect.ensure().map(Some) }
    }

    /// Writes the table if it differs from the desired one, and cuts older connections.
    pub fn ensure(&mut self) -> Result<Ensured, RedirectError> {
        self.seen = LastCheck::Nothing;
        let host = host_network()?;
        let Resolved { wanted, mut notes } = match (resolve(&self.spec, &host), &self.wanted) {
            (Ok(resolved), _) => resolved,
            (Err(_), Some(wanted)) => Resolved { wanted: wanted.clone(), notes: Vec::new() },
            (Err(cause), None) => return Err(RedirectError::NoHostAddress(cause)),
        };
        if notes.contains(&RedirectNote::ChartDefaultMissing) {
            // For the lifetime of this agent, so that no pod loses its role when such an interface appears.
            self.spec.interfaces = InterfaceRule::Automatic;
        }
        let first = self.owned.generation.is_none();
        let (outcome, generation) = self.apply(&wanted)?;
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

    fn apply(&mut self, wanted: &Wanted) -> Result<(RedirectOutcome, u64), RedirectError> {
        let applied = self.owned.apply(&chains(wanted), &|refused| RedirectError::writing(refused, wanted))?;
        if let Some(newer) = applied.newer {
            self.newer = readback::read_back(&newer).map(|newer| newer.agents()).unwrap_or_default();
        }
        Ok((applied.outcome, applied.generation))
    }

    /// Removes the table unless a newer agent wrote it. After that, pods reach the node's own role.
    pub fn remove(&mut self) -> Result<Removed, RedirectError> {
        self.owned.remove()
    }
}

/// Lists the tables of legacy iptables in the calling thread's network namespace, which may differ from the process's.
const LEGACY_TABLES: &str = "/proc/thread-self/net/ip_tables_names";
const REDIRECT_TABLE: TableKind = TableKind { name: TABLE, chains: &[CHAIN_TO_AGENT, CHAIN_DROPPED], is_intact };

/// Removes the table, whichever agent wrote it.
pub fn remove() -> Result<Removed, RedirectError> {
    open()?.delete()
}

/// Reads the state of everything; changes nothing.
pub fn status() -> Result<RedirectStatus, RedirectError> {
    let mut owned = open().map_err(RedirectError::while_reading)?;
    let table = owned.table()?;
    let wanted = table.as_ref().and_then(readback::read_back);
    let metadata = wanted.map_or_else(|| Metadata::of([]), |wanted| wanted.metadata);
    let (old_rules, mut unread) = old_rules(owned.nftables(), metadata.v4());
    unread.extend(legacy_hint(metadata.v4()));
    let mut interfaces = host_network()?.interfaces;
    interfaces.retain(|interface| interface.name != LINK);
    Ok(RedirectStatus { table, interfaces, old_rules, unread, credentials: address::status()? })
}

/// The node's interfaces, addresses and default routes. Needs no capability.
pub fn host_network() -> Result<HostNetwork, RedirectError> {
    host::network().map_err(|cause| kernel("read", "the node's network", cause))
}

/// Rules left by the original kube2iam, and the places that couldn't be read.
pub fn old_rules_left(metadata: &[Ipv4Addr]) -> Result<(Vec<OldRule>, Vec<String>), RedirectError> {
    Ok(old_rules(open()?.nftables(), metadata))
}

/// Deletes such rules of iptables-nft. Call it after the table is in place, so that there is no moment without either.
/// Returns for each rule why it couldn't be deleted, or `None`.
pub fn adopt(metadata: &[Ipv4Addr]) -> Result<Vec<(OldRule, Option<String>)>, RedirectError> {
    let mut owned = open()?;
    let nftables = owned.nftables();
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

/// The command to run if the kernel has a table of legacy iptables; reading this file doesn't load the module.
pub fn legacy_hint(metadata: &[Ipv4Addr]) -> Option<String> {
    let names = std::fs::read_to_string(LEGACY_TABLES).ok()?;
    names.lines().any(|name| name == leftover::TABLE).then(|| leftover::legacy_hint(metadata))
}

fn old_rules(nftables: &mut Nftables, metadata: &[Ipv4Addr]) -> (Vec<OldRule>, Vec<String>) {
    match read_consistently(|| nftables.iptables_rules(leftover::TABLE, leftover::CHAIN)) {
        Ok(found) => (leftover::old_rules(&found, metadata), Vec::new()),
        Err(cause) => (Vec::new(), vec![format!("failed to read the rules of `iptables-nft`: {cause}")]),
    }
}

fn open() -> Result<OwnedTable, RedirectError> {
    OwnedTable::open(REDIRECT_TABLE)
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
