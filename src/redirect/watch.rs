//! Keeps the redirect true: looks again when somebody changed our table, and every 30 seconds whatever happened.
//!
//! Two of ours on one node don't fight (see [`decide`](crate::logic::redirect::compare::decide)), and somebody else who
//! keeps changing the table is answered at most once a second.

use std::fmt;
use std::time::Duration;

use rustix::net::netlink;

use crate::logic::base::time::Mono;
use crate::logic::redirect::{RequestAction, TABLE};
use crate::ports::Clock;

use super::error::RedirectError;
use super::message::text;
use super::nftables::{FIXED_BYTES, OBJECT_TABLE, SUBSYSTEM};
use super::socket::{Heard, Netlink};
use super::{Ensured, Outcome, Redirect, Seen};

/// `NFNLGRP_NFTABLES` (7) as a bit.
const GROUP_NFTABLES: u32 = 1 << 6;
/// A notification may be lost, and addresses and uplinks change without one.
const CHECK_EVERY: Duration = Duration::from_secs(30);
/// Between two repairs; half of the two seconds in which a removed rule is to be back.
const REPAIR_PAUSE: Duration = Duration::from_secs(1);
/// After the kernel refused.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How long the end of the watch may go unnoticed.
const LISTEN_WAIT: Duration = Duration::from_millis(250);

/// What the watch found worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Anything but a whole table; a whole one after a failure or a newer agent's.
    Ensured(Ensured),
    Failed(RedirectError),
}

impl Event {
    /// Whether an operator should look: not at changes of the node's own addresses or of what is wanted.
    pub fn is_warning(&self) -> bool {
        !matches!(self, Self::Ensured(Ensured { outcome: Outcome::Kept | Outcome::Updated, .. }))
    }

    /// Whether something was put back that somebody had removed or altered.
    pub fn is_repair(&self) -> bool {
        matches!(self, Self::Ensured(Ensured { outcome: Outcome::Placed | Outcome::Repaired(_), .. }))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ensured(ensured) => ensured.fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl Redirect {
    /// Watches until `goes_on` says no. It and `requests`, what pods' requests are to get, are asked at least four times a
    /// second. An error means that the kernel's notifications have ended; what fails meanwhile is reported and tried
    /// again.
    pub fn watch(
        &mut self,
        clock: &dyn Clock,
        goes_on: &dyn Fn() -> bool,
        requests: &dyn Fn() -> RequestAction,
        report: &mut dyn FnMut(Event),
    ) -> Result<(), RedirectError> {
        let mut listener = listen()?;
        let mut due = clock.now().mono;
        let mut repaired: Option<Mono> = None;
        while goes_on() {
            if heard(&mut listener)? {
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
            let event = self.look();
            due = now.after(if matches!(event, Some(Event::Failed(_))) { RETRY_AFTER } else { CHECK_EVERY });
            if let Some(event) = event {
                repaired = if event.is_repair() { Some(now) } else { repaired };
                report(event);
            }
        }
        Ok(())
    }

    /// Says nothing about what is still whole, and once only that a newer agent has the table.
    fn look(&mut self) -> Option<Event> {
        let before = self.seen;
        match self.ensure() {
            Ok(Ensured { outcome: Outcome::Kept, .. }) if before == Seen::Whole => None,
            Ok(Ensured { outcome: Outcome::Yielded, .. }) if before == self.seen => None,
            Ok(ensured) => Some(Event::Ensured(ensured)),
            Err(error) => Some(Event::Failed(error)),
        }
    }
}

fn listen() -> Result<Netlink, RedirectError> {
    Netlink::listen(Some(netlink::NETFILTER), GROUP_NFTABLES, LISTEN_WAIT).map_err(RedirectError::of_nftables)
}

/// Whether our table may have changed. Everybody's changes come by.
fn heard(listener: &mut Netlink) -> Result<bool, RedirectError> {
    let mut ours = false;
    let heard = listener.notifications(&mut |reply| {
        let object = reply.body.get(FIXED_BYTES..).unwrap_or_default();
        ours |= reply.kind.to_be_bytes()[0] == SUBSYSTEM && text(object, OBJECT_TABLE) == Some(TABLE);
    });
    Ok(heard.map_err(RedirectError::reading)? == Heard::Lost || ours)
}
