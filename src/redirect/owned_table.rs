//! An agent's control of one table: read, decide and write in one step. Agents that want different rules are ordered by
//! generation.

use rustix::io::Errno;

use crate::logic::redirect::compare::{Claim, FoundTable, RepairStep, decide};
use crate::logic::redirect::ruleset::Chain;

use super::error::RedirectError;
use super::nftables::{GenerationId, Nftables};
use super::socket::{NetlinkRefusal, read_consistently};
use super::{RedirectOutcome, Removed};

/// Guarded write attempts; the last attempt is unguarded. kube-proxy writes about once a second.
const GUARDED_WRITES: usize = 8;
/// The errno when the ruleset changed since the guard; rustix has no name for it.
const ERESTART: Errno = Errno::from_raw_os_error(85);

#[derive(Debug)]
pub(super) struct OwnedTable {
    kind: TableKind,
    nftables: Nftables,
    /// The generation this agent has claimed.
    pub(super) generation: Option<u64>,
    pub(super) claim: Claim,
}

/// The fixed properties of one of the agent's tables.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableKind {
    pub(super) name: &'static str,
    pub(super) chains: &'static [&'static str],
    /// Whether a table is as its writer wrote it
    pub(super) is_intact: fn(&FoundTable) -> bool,
}

/// The result of applying rules.
pub(super) struct Applied {
    pub(super) outcome: RedirectOutcome,
    pub(super) generation: u64,
    /// The table of the newer agent to which this one yielded
    pub(super) newer: Option<FoundTable>,
}

impl OwnedTable {
    /// Checks that the kernel supports it; changes nothing.
    pub(super) fn open(kind: TableKind) -> Result<Self, RedirectError> {
        let mut nftables = Nftables::open(kind.name).map_err(RedirectError::of_nftables)?;
        nftables.generation_id().map_err(RedirectError::of_nftables)?;
        Ok(Self { kind, nftables, generation: None, claim: Claim::Held })
    }

    pub(super) fn table(&mut self) -> Result<Option<FoundTable>, RedirectError> {
        read_consistently(|| self.nftables.table(self.kind.chains)).map_err(RedirectError::reading)
    }

    pub(super) fn nftables(&mut self) -> &mut Nftables {
        &mut self.nftables
    }

    /// Reads, decides, writes. If the ruleset changed since it was read, the kernel refuses the write, and all is
    /// repeated.
    pub(super) fn apply(
        &mut self,
        chains: &[Chain],
        refusal: &dyn Fn(NetlinkRefusal) -> RedirectError,
    ) -> Result<Applied, RedirectError> {
        for attempt in 0..=GUARDED_WRITES {
            let generation_id = self.nftables.generation_id().map_err(RedirectError::of_nftables)?;
            let found = self.table()?;
            let step = decide(&self.kind.is_intact, chains, self.generation, self.claim, found.as_ref());
            let (generation, cause) = match step {
                RepairStep::Keep { generation } => return Ok(self.held(RedirectOutcome::Kept, generation)),
                RepairStep::Yield { generation } => {
                    self.claim = Claim::Held;
                    return Ok(Applied { outcome: RedirectOutcome::Yielded, generation, newer: found });
                }
                RepairStep::Write { generation, cause } => (generation, cause),
            };
            let guard: Option<GenerationId> = (attempt < GUARDED_WRITES).then_some(generation_id);
            match self.nftables.write(chains, generation, guard) {
                Err(refused) if refused.cause == ERESTART => {}
                Err(refused) => return Err(refusal(refused)),
                Ok(()) => return Ok(self.held(RedirectOutcome::from(cause), generation)),
            }
        }
        let object = format!("inet {}", self.kind.name);
        Err(RedirectError::Kernel { verb: "write", object, cause: ERESTART })
    }

    fn held(&mut self, outcome: RedirectOutcome, generation: u64) -> Applied {
        (self.generation, self.claim) = (Some(generation), Claim::Held);
        Applied { outcome, generation, newer: None }
    }

    /// Removes the table unless a newer agent wrote it.
    pub(super) fn remove(&mut self) -> Result<Removed, RedirectError> {
        if self.belongs_to_newer()? { Ok(Removed::LeftToNewer) } else { self.delete() }
    }

    /// Whether a newer agent wrote the table.
    pub(super) fn belongs_to_newer(&mut self) -> Result<bool, RedirectError> {
        let theirs = self.table()?.map_or(0, |table| table.generation());
        Ok(self.generation.is_some_and(|own| own < theirs))
    }

    /// Removes the table, whichever agent wrote it.
    pub(super) fn delete(&mut self) -> Result<Removed, RedirectError> {
        match self.nftables.delete() {
            Ok(()) => Ok(Removed::Deleted),
            Err(refused) if refused.cause == Errno::NOENT => Ok(Removed::NothingThere),
            Err(NetlinkRefusal { cause, .. }) => {
                Err(RedirectError::Kernel { verb: "delete", object: format!("inet {}", self.kind.name), cause })
            }
        }
    }
}
