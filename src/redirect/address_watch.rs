//! Keeps the address of container credentials in place: checks it whenever its link, the address or the rules change,
//! and every 30 seconds in any case.

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
use super::watch::{self, CHECK_EVERY, Newer, REPAIR_PAUSE, RETRY_AFTER, WatchContext};

/// `RTMGRP_LINK` and `RTMGRP_IPV4_IFADDR`.
const GROUPS: u32 = 0x1 | 0x10;
/// Per socket; with two sockets, half of the maximum delay before the watch ends.
const LISTEN_WAIT: Duration = Duration::from_millis(125);

/// A result of the watch to be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressEvent {
    /// The state changed, or was repaired.
    Ensured(AddressEnsured),
    Failed(RedirectError),
}

impl AddressEvent {
    /// Whether an operator should investigate.
    pub fn is_warning(&self) -> bool {
        match self {
            Self::Failed(_) => true,
            Self::Ensured(ensured) => {
                self.is_repair() || !ensured.is_in_place() || ensured.outcome == RedirectOutcome::TakenBack
            }
        }
    }

    /// Whether something was restored that another program had removed or altered.
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
    /// Watches until `is_active` returns false. Fails only if the kernel's notifications end; other failures are
    /// reported and retried.
    pub fn watch(
        &mut self,
        context: &WatchContext<'_>,
        report: &mut dyn FnMut(AddressEvent),
    ) -> Result<(), RedirectError> {
        let WatchContext { clock, is_active, requests, .. } = context;
        let (mut routes, mut tables) = (listen()?, watch::listen(LISTEN_WAIT)?);
        let mut newer = Newer::default();
        let mut due = clock.now().mono;
        let mut repaired_at: Option<Mono> = None;
        while is_active() {
            if has_changed(&mut routes)? | watch::has_changed(&mut tables, GUARD_TABLE)? {
                let pause = repaired_at.map_or(clock.now().mono, |at| at.after(REPAIR_PAUSE));
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
            let event = self.check(&mut newer, context);
            due = now.after(if matches!(event, Some(AddressEvent::Failed(_))) { RETRY_AFTER } else { CHECK_EVERY });
            if let Some(event) = event {
                repaired_at = if event.is_repair() { Some(now) } else { repaired_at };
                report(event);
            }
        }
        Ok(())
    }

    /// Checks and repairs; `None` if nothing changed.
    fn check(&mut self, newer: &mut Newer, context: &WatchContext<'_>) -> Option<AddressEvent> {
        let takes_back = newer.is_unresponsive(self.seen, &self.newer, &self.own_health_addresses(), context);
        if takes_back {
            self.owned.claim = Claim::Anew;
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

/// Whether the agent's link or the address may have changed. The socket receives changes of all links.
fn has_changed(listener: &mut Netlink) -> Result<bool, RedirectError> {
    let mut concerned = false;
    let received = listener.notifications(&mut |reply| concerned |= link::concerns(&reply));
    let received =
        received.map_err(|cause| RedirectError::Kernel { verb: "listen to", object: "rtnetlink".to_owned(), cause });
    Ok(received? == Received::Lost || concerned)
}
