//! An agent's hold on one table: it is read, judged and written as one step, and agents with different wishes take turns
//! by number.

use rustix::io::Errno;

use crate::logic::redirect::compare::{Claim, FoundTable, RepairStep, decide};
use crate::logic::redirect::ruleset::Chain;

use super::error::RedirectError;
use super::nftables::{Moment, Nftables};
use super::socket::{NetlinkRefusal, steady};
use super::{RedirectOutcome, Removed};

/// How often a write is tried under guard. kube-proxy writes about once a second; the last try goes without.
const GUARDED_WRITES: usize = 8;
/// What a refused guard looks like; rustix has no name for it.
const ERESTART: Errno = Errno::from_raw_os_error(85);

#[derive(Debug)]
pub(super) struct Hold {
    kind: HeldTable,
    nftables: Nftables,
    /// The number this agent has claimed.
    pub(super) generation: Option<u64>,
    pub(super) claim: Claim,
}

/// What is fixed about a table of ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldTable {
    pub(super) name: &'static str,
    pub(super) chains: &'static [&'static str],
    /// Whether a table is what its writer wanted
    pub(super) is_intact: fn(&FoundTable) -> bool,
}

/// How a table is after a turn.
pub(super) struct Turn {
    pub(super) outcome: RedirectOutcome,
    pub(super) generation: u64,
    /// The table of a newer agent, to which it was left
    pub(super) newer: Option<FoundTable>,
}

impl Hold {
    /// Only asks the kernel whether it will do.
    pub(super) fn open(kind: HeldTable) -> Result<Self, RedirectError> {
        let mut nftables = Nftables::open(kind.name).map_err(RedirectError::of_nftables)?;
        nftables.moment().map_err(RedirectError::of_nftables)?;
        Ok(Self { kind, nftables, generation: None, claim: Claim::Held })
    }

    pub(super) fn table(&mut self) -> Result<Option<FoundTable>, RedirectError> {
        steady(|| self.nftables.table(self.kind.chains)).map_err(RedirectError::reading)
    }

    pub(super) fn nftables(&mut self) -> &mut Nftables {
        &mut self.nftables
    }

    /// Reads, judges, writes. The write is refused if anything changed since the reading, and all begins anew.
    pub(super) fn bring_about(
        &mut self,
        chains: &[Chain],
        refusal: &dyn Fn(NetlinkRefusal) -> RedirectError,
    ) -> Result<Turn, RedirectError> {
        for attempt in 0..=GUARDED_WRITES {
            let moment = self.nftables.moment().map_err(RedirectError::of_nftables)?;
            let found = self.table()?;
            let step = decide(&self.kind.is_intact, chains, self.generation, self.claim, found.as_ref());
            let (generation, cause) = match step {
                RepairStep::Keep { generation } => return Ok(self.held(RedirectOutcome::Kept, generation)),
                RepairStep::Yield { generation } => {
                    self.claim = Claim::Held;
                    return Ok(Turn { outcome: RedirectOutcome::Yielded, generation, newer: found });
                }
                RepairStep::Write { generation, cause } => (generation, cause),
            };
            let guard: Option<Moment> = (attempt < GUARDED_WRITES).then_some(moment);
            match self.nftables.write(chains, generation, guard) {
                Err(refused) if refused.cause == ERESTART => {}
                Err(refused) => return Err(refusal(refused)),
                Ok(()) => return Ok(self.held(RedirectOutcome::from(cause), generation)),
            }
        }
        let object = format!("inet {}", self.kind.name);
        Err(RedirectError::Kernel { verb: "write", object, cause: ERESTART })
    }

    fn held(&mut self, outcome: RedirectOutcome, generation: u64) -> Turn {
        (self.generation, self.claim) = (Some(generation), Claim::Held);
        Turn { outcome, generation, newer: None }
    }

    /// Takes the table away unless a newer agent wrote it.
    pub(super) fn remove(&mut self) -> Result<Removed, RedirectError> {
        if self.is_newers()? { Ok(Removed::LeftToNewer) } else { self.delete() }
    }

    /// Whether a newer agent wrote the table.
    pub(super) fn is_newers(&mut self) -> Result<bool, RedirectError> {
        let theirs = self.table()?.map_or(0, |table| table.generation());
        Ok(self.generation.is_some_and(|own| own < theirs))
    }

    /// Takes the table away, whoever wrote it.
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
