//! Keeps the address of container credentials true: looks again when somebody changed its link, the address or the rules
//! around it, and every 30 seconds whatever happened.

use std::fmt;
use std::time::Duration;

use crate::logic::base::time::Mono;
use crate::logic::redirect::compare::Claim;
use crate::logic::redirect::guard::GUARD_TABLE;

use super::RedirectOutcome;
use super::address::{AddressEnsured, CredentialsAddress};
use super::error::RedirectError;
use super::link;
use super::rtnetlink::ROUTE;
use super::socket::{Netlink, Received};
use super::watch::{self, CHECK_EVERY, Newer, REPAIR_PAUSE, RETRY_AFTER, Surroundings};

/// `RTMGRP_LINK` and `RTMGRP_IPV4_IFADDR`.
const GROUPS: u32 = 0x1 | 0x10;
/// Each of the two sockets in turn: half of how long the end of the watch may go unnoticed.
const LISTEN_WAIT: Duration = Duration::from_millis(125);

/// What the watch found worth logging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressEvent {
    /// Anything but what stood before.
    Ensured(AddressEnsured),
    Failed(RedirectError),
}

impl AddressEvent {
    /// Whether an operator should look.
    pub fn is_warning(&self) -> bool {
        match self {
            Self::Failed(_) => true,
            Self::Ensured(ensured) => {
                self.is_repair() || !ensured.is_in_place() || ensured.outcome == RedirectOutcome::TakenBack
            }
        }
    }

    /// Whether something was put back that somebody had removed or altered.
    pub fn is_repair(&self) -> bool {
        let altered =
            |outcome: &RedirectOutcome| matches!(outcome, RedirectOutcome::Placed | RedirectOutcome::Repaired(_));
        matches!(self, Self::Ensured(ensured) if altered(&ensured.outcome) || !ensured.repairs.is_empty())
    }
}

impl fmt::Display for AddressEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ensured(ensured) => ensured.fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl CredentialsAddress {
    /// Watches until `goes_on` says no. An error means that the kernel's notifications have ended; what fails meanwhile
    /// is reported and tried again.
    pub fn watch(
        &mut self,
        around: &Surroundings<'_>,
        report: &mut dyn FnMut(AddressEvent),
    ) -> Result<(), RedirectError> {
        let Surroundings { clock, goes_on, requests, .. } = around;
        let (mut routes, mut tables) = (listen()?, watch::listen(LISTEN_WAIT)?);
        let mut newer = Newer::default();
        let mut due = clock.now().mono;
        let mut repaired: Option<Mono> = None;
        while goes_on() {
            if heard(&mut routes)? | watch::heard(&mut tables, GUARD_TABLE)? {
                let pause = repaired.map_or(clock.now().mono, |at| at.after(REPAIR_PAUSE));
                due = due.min(pause);
            }
            let now = clock.now().mono;
            if requests() != self.spec.requests {
                self.spec.requests = requests();
                due = now;
            }
            if now < due {
                continue;
            }
            let event = self.look(&mut newer, around);
            due = now.after(if matches!(event, Some(AddressEvent::Failed(_))) { RETRY_AFTER } else { CHECK_EVERY });
            if let Some(event) = event {
                repaired = if event.is_repair() { Some(now) } else { repaired };
                report(event);
            }
        }
        Ok(())
    }

    /// Says nothing about what is as it was.
    fn look(&mut self, newer: &mut Newer, around: &Surroundings<'_>) -> Option<AddressEvent> {
        let takes_back = newer.is_given_up(self.seen, &self.newer, &self.own(), around);
        if takes_back {
            self.hold.claim = Claim::Anew;
        }
        let before = (self.seen, self.obstacle.clone());
        let mut ensured = match self.ensure() {
            Ok(ensured) => ensured,
            Err(error) => return Some(AddressEvent::Failed(error)),
        };
        if takes_back && matches!(ensured.outcome, RedirectOutcome::Updated | RedirectOutcome::Repaired(_)) {
            ensured.outcome = RedirectOutcome::TakenBack;
        }
        let untouched =
            matches!(ensured.outcome, RedirectOutcome::Kept | RedirectOutcome::Yielded) && ensured.repairs.is_empty();
        let alike = before == (self.seen, self.obstacle.clone());
        (!(untouched && alike)).then_some(AddressEvent::Ensured(ensured))
    }
}

fn listen() -> Result<Netlink, RedirectError> {
    let listened = Netlink::listen(ROUTE, GROUPS, LISTEN_WAIT);
    listened.map_err(|cause| RedirectError::Kernel { verb: "listen to", object: "rtnetlink".to_owned(), cause })
}

/// Whether the agent's link or the address may have changed. Everybody's changes come by.
fn heard(listener: &mut Netlink) -> Result<bool, RedirectError> {
    let mut concerned = false;
    let heard = listener.notifications(&mut |reply| concerned |= link::concerns(&reply));
    let heard =
        heard.map_err(|cause| RedirectError::Kernel { verb: "listen to", object: "rtnetlink".to_owned(), cause });
    Ok(heard? == Received::Lost || concerned)
}
