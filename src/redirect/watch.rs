//! Keeps the redirect true: looks again when somebody changed our table, and every 30 seconds whatever happened.
//!
//! Two of ours on one node don't fight (see [`decide`](crate::logic::redirect::compare::decide)), and somebody else who
//! keeps changing the table is answered at most once a second.

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
/// Between two repairs; half of the two seconds in which a removed rule is to be back.
pub(super) const REPAIR_PAUSE: Duration = Duration::from_secs(1);
/// After the kernel refused.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How long the end of the watch may go unnoticed.
const LISTEN_WAIT: Duration = Duration::from_millis(250);

/// What the watch reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectEvent {
    /// Anything but a whole table; a whole one after a failure or a newer agent's.
    Ensured(Ensured),
    Failed(RedirectError),
}

impl RedirectEvent {
    /// Whether an operator should look: not at changes of the node's own addresses or of what is wanted.
    pub fn is_warning(&self) -> bool {
        !matches!(self, Self::Ensured(Ensured { outcome: RedirectOutcome::Kept | RedirectOutcome::Updated, .. }))
    }

    /// Whether something was put back that somebody had removed or altered.
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

/// What a watch asks of its agent. `goes_on` and `requests` are asked at least four times a second, unless other agents
/// have to be asked meanwhile.
pub struct Surroundings<'a> {
    pub clock: &'a dyn Clock,
    pub goes_on: &'a dyn Fn() -> bool,
    /// What pods' requests are to get
    pub requests: &'a dyn Fn() -> RequestAction,
    /// What is answered there to a question for the agent's health
    pub ask: &'a dyn Fn(SocketAddr) -> PortAnswer,
}

/// How the newer agent does to which the table was left.
#[derive(Default)]
pub(super) struct Newer {
    generation: u64,
    silence: RedirectSilence,
    asked: Mono,
}

impl Redirect {
    /// Watches until `goes_on` says no. An error means that the kernel's notifications have ended; what fails meanwhile is reported and tried
    /// again.
    pub fn watch(
        &mut self,
        around: &Surroundings<'_>,
        report: &mut dyn FnMut(RedirectEvent),
    ) -> Result<(), RedirectError> {
        let Surroundings { clock, goes_on, requests, .. } = around;
        let (mut listener, mut newer) = (listen(LISTEN_WAIT)?, Newer::default());
        let mut due = clock.now().mono;
        let mut repaired: Option<Mono> = None;
        while goes_on() {
            if heard(&mut listener, TABLE)? {
                let pause = repaired.map_or(clock.now().mono, |at| at.after(REPAIR_PAUSE));
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
            let event = self.look(&mut newer, around);
            due = now.after(if matches!(event, Some(RedirectEvent::Failed(_))) { RETRY_AFTER } else { CHECK_EVERY });
            if let Some(event) = event {
                repaired = if event.is_repair() { Some(now) } else { repaired };
                report(event);
            }
        }
        Ok(())
    }

    /// Says nothing about what is still whole, and once only that a newer agent has the table.
    fn look(&mut self, newer: &mut Newer, around: &Surroundings<'_>) -> Option<RedirectEvent> {
        let before = self.seen;
        let takes_back = self.is_given_up(newer, around);
        if takes_back {
            self.hold.claim = Claim::Anew;
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
    fn is_given_up(&self, newer: &mut Newer, around: &Surroundings<'_>) -> bool {
        let own = self.wanted.as_ref().map(|wanted| wanted.agents()).unwrap_or_default();
        newer.is_given_up(self.seen, &self.newer, &own, around)
    }
}

impl Newer {
    /// Whether the newer agent that has the table doesn't serve, by several looks of the regular ones. `theirs` and
    /// `own` are where the newer agent and this one are asked.
    pub(super) fn is_given_up(
        &mut self,
        seen: LastCheck,
        theirs: &[SocketAddr],
        own: &[SocketAddr],
        around: &Surroundings<'_>,
    ) -> bool {
        let now = around.clock.now().mono;
        match seen {
            LastCheck::Newer(generation) if generation != self.generation => {
                *self = Self { generation, silence: RedirectSilence::default(), asked: now };
            }
            LastCheck::Newer(_) if now >= self.asked.after(CHECK_EVERY) => {
                let ask = |agents: &[SocketAddr]| agents.iter().map(|agent| (around.ask)(*agent)).collect::<Vec<_>>();
                self.silence = self.silence.after(&ask(theirs), &ask(own));
                self.asked = now;
            }
            LastCheck::Newer(_) => {}
            LastCheck::Nothing | LastCheck::Whole => *self = Self::default(),
        }
        self.silence.is_enough()
    }
}

/// Notifications of nf_tables.
pub(super) fn listen(wait: Duration) -> Result<Netlink, RedirectError> {
    Netlink::listen(Some(netlink::NETFILTER), GROUP_NFTABLES, wait).map_err(RedirectError::of_nftables)
}

/// Whether a table of ours may have changed. Everybody's changes come by.
pub(super) fn heard(listener: &mut Netlink, table: &str) -> Result<bool, RedirectError> {
    let mut ours = false;
    let heard = listener.notifications(&mut |reply| {
        let table_of = text(attributes_of(&reply), OBJECT_TABLE);
        ours |= subsystem_of(&reply) == NFTABLES && table_of == Some(table);
    });
    Ok(heard.map_err(RedirectError::reading)? == Received::Lost || ours)
}
