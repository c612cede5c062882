//! Keeps the redirect in place: checks it whenever the table changes, and every 30 seconds in any case.
//!
//! Two agents on one node don't overwrite each other repeatedly (see
//! [`decide`](crate::logic::redirect::compare::decide)), and against another program that keeps changing the table,
//! repairs are limited to one per second.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::net::netlink;

use crate::logic::base::time::Mono;
use crate::logic::operator::port_holder::PortAnswer;
use crate::logic::redirect::compare::Claim;
use crate::logic::redirect::silence::RedirectSilence;
use crate::logic::redirect::{RequestAction, TABLE};
use crate::ports::Clock;

use super::error::RedirectError;
use super::message::text;
use super::netfilter::{NFTABLES, attributes_of, subsystem_of};
use super::nftables::OBJECT_TABLE;
use super::socket::{Netlink, Received};
use super::{Ensured, LastCheck, Redirect, RedirectOutcome};

/// `NFNLGRP_NFTABLES` (7) as a bit.
const GROUP_NFTABLES: u32 = 1 << 6;
/// A notification may be lost, and addresses and uplinks change without one.
pub(super) const CHECK_EVERY: Duration = Duration::from_secs(30);
/// Between two repairs; half of the two seconds within which a removed rule must be restored.
pub(super) const REPAIR_PAUSE: Duration = Duration::from_secs(1);
/// After a failure.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Maximum delay before the watch ends.
const LISTEN_WAIT: Duration = Duration::from_millis(250);

/// A result of the watch to be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectEvent {
    /// The table was changed or left to a newer agent; or it is intact again after a failure or a newer agent.
    Ensured(Ensured),
    Failed(RedirectError),
}

impl RedirectEvent {
    /// Whether an operator should investigate: not for changes of the node's addresses or of the desired rules.
    pub fn is_warning(&self) -> bool {
        !matches!(self, Self::Ensured(Ensured { outcome: RedirectOutcome::Kept | RedirectOutcome::Updated, .. }))
    }

    /// Whether something was restored that another program had removed or altered.
    pub fn is_repair(&self) -> bool {
        matches!(self, Self::Ensured(Ensured { outcome: RedirectOutcome::Placed | RedirectOutcome::Repaired(_), .. }))
    }
}

impl fmt::Display for RedirectEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ensured(ensured) => ensured.fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

/// The agent's callbacks for a watch. `is_active` and `requests` are called at least four times a second, except while
/// the health of agents is checked.
pub struct WatchContext<'a> {
    pub clock: &'a dyn Clock,
    pub is_active: &'a dyn Fn() -> bool,
    /// What happens to pods' requests
    pub requests: &'a dyn Fn() -> RequestAction,
    /// Checks the health of the agent at an address
    pub ask: &'a dyn Fn(SocketAddr) -> PortAnswer,
}

/// The health of the newer agent that has the table.
#[derive(Default)]
pub(super) struct Newer {
    generation: u64,
    silence: RedirectSilence,
    checked: Mono,
}

impl Redirect {
    /// Watches until `is_active` returns false. Fails only if the kernel's notifications end; other failures are
    /// reported and retried.
    pub fn watch(
        &mut self,
        context: &WatchContext<'_>,
        report: &mut dyn FnMut(RedirectEvent),
    ) -> Result<(), RedirectError> {
        let WatchContext { clock, is_active, requests, .. } = context;
        let (mut listener, mut newer) = (listen(LISTEN_WAIT)?, Newer::default());
        let mut due = clock.now().mono;
        let mut repaired_at: Option<Mono> = None;
        while is_active() {
            if has_changed(&mut listener, TABLE)? {
                let pause = repaired_at.map_or(clock.now().mono, |at| at.after(REPAIR_PAUSE));
                due = due.min(pause);
            }
            let now = clock.now().mono;
            if requests() != self.spec.requests {
                self.set_requests(requests());
                due = now;
            }
            if now < due {
                continue;
            }
            let event = self.check(&mut newer, context);
            due = now.after(if matches!(event, Some(RedirectEvent::Failed(_))) { RETRY_AFTER } else { CHECK_EVERY });
            if let Some(event) = event {
                repaired_at = if event.is_repair() { Some(now) } else { repaired_at };
                report(event);
            }
        }
        Ok(())
    }

    /// Checks and repairs; `None` if nothing changed since the last check.
    fn check(&mut self, newer: &mut Newer, context: &WatchContext<'_>) -> Option<RedirectEvent> {
        let before = self.seen;
        let takes_back = self.is_unresponsive(newer, context);
        if takes_back {
            self.owned.claim = Claim::Anew;
        }
        match self.ensure() {
            Ok(ensured)
                if takes_back && matches!(ensured.outcome, RedirectOutcome::Updated | RedirectOutcome::Repaired(_)) =>
            {
                Some(RedirectEvent::Ensured(Ensured { outcome: RedirectOutcome::TakenBack, ..ensured }))
            }
            Ok(Ensured { outcome: RedirectOutcome::Kept, .. }) if before == LastCheck::Whole => None,
            Ok(Ensured { outcome: RedirectOutcome::Yielded, .. }) if before == self.seen => None,
            Ok(ensured) => Some(RedirectEvent::Ensured(ensured)),
            Err(error) => Some(RedirectEvent::Failed(error)),
        }
    }
}

impl Redirect {
    fn is_unresponsive(&self, newer: &mut Newer, context: &WatchContext<'_>) -> bool {
        let own = self.wanted.as_ref().map(|wanted| wanted.agents()).unwrap_or_default();
        newer.is_unresponsive(self.seen, &self.newer, &own, context)
    }
}

impl Newer {
    /// Whether the newer agent that has the table failed several regular health checks. `theirs` and `own` are the
    /// health addresses of the newer agent and of this one.
    pub(super) fn is_unresponsive(
        &mut self,
        seen: LastCheck,
        theirs: &[SocketAddr],
        own: &[SocketAddr],
        context: &WatchContext<'_>,
    ) -> bool {
        let now = context.clock.now().mono;
        match seen {
            LastCheck::Newer(generation) if generation != self.generation => {
                *self = Self { generation, silence: RedirectSilence::default(), checked: now };
            }
            LastCheck::Newer(_) if now >= self.checked.after(CHECK_EVERY) => {
                let ask = |agents: &[SocketAddr]| agents.iter().map(|agent| (context.ask)(*agent)).collect::<Vec<_>>();
                self.silence = self.silence.after(&ask(theirs), &ask(own));
                self.checked = now;
            }
            LastCheck::Newer(_) => {}
            LastCheck::Nothing | LastCheck::Whole => *self = Self::default(),
        }
        self.silence.is_enough()
    }
}

/// Opens a socket for nf_tables notifications.
pub(super) fn listen(wait: Duration) -> Result<Netlink, RedirectError> {
    Netlink::listen(Some(netlink::NETFILTER), GROUP_NFTABLES, wait).map_err(RedirectError::of_nftables)
}

/// Whether `table` may have changed. The socket receives changes of all tables.
pub(super) fn has_changed(listener: &mut Netlink, table: &str) -> Result<bool, RedirectError> {
    let mut ours = false;
    let received = listener.notifications(&mut |reply| {
        let table_of = text(attributes_of(&reply), OBJECT_TABLE);
        ours |= subsystem_of(&reply) == NFTABLES && table_of == Some(table);
    });
    Ok(received.map_err(RedirectError::reading)? == Received::Lost || ours)
}
