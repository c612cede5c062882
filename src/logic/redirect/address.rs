//! The address of container credentials on the node: its current state, and the next step to set it up.
//!
//! It belongs on a dummy link that the agent creates; if the kernel doesn't support those, on loopback, with a label
//! that marks the address as the agent's. A link or address that the agent did not create is reported and not
//! changed.

use std::fmt;

/// The agent's link for the address in `AWS_CONTAINER_CREDENTIALS_FULL_URI`, which SDKs accept over plain HTTP with
/// any port.
pub use crate::logic::request::route::CONTAINER_V4 as ADDRESS;

pub const LINK: &str = "kube2iam0";
/// The kind of link: one without ports.
pub const LINK_KIND: &str = "dummy";
pub const LOOPBACK: &str = "lo";
/// The label (`ifconfig` name) of the address on loopback; the kernel requires it to start with the link's name.
pub const LOOPBACK_LABEL: &str = "lo:kube2iam";

/// The address and its links as found on the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundAddress {
    /// The link with the agent's name
    pub link: Option<FoundLink>,
    pub loopback: Option<FoundLink>,
    /// Where the address is configured
    pub holders: Vec<AddressOnLink>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundLink {
    pub index: u32,
    /// Empty for hardware
    pub kind: String,
    pub is_up: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressOnLink {
    pub index: u32,
    pub interface: String,
    pub label: String,
}

/// The kind of link to create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkChoice {
    pub kind: &'static str,
    pub support: LinkSupport,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkSupport {
    /// Until the kernel refuses it
    Assumed,
    Refused,
}

/// Where the address is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    OwnLink,
    Loopback,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressStep {
    /// Everything is in place.
    Keep(Place),
    MakeLink,
    Raise {
        place: Place,
        index: u32,
    },
    Assign {
        place: Place,
        index: u32,
    },
    Blocked(Obstacle),
}

/// A link or address that the agent did not create and must not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The link with the agent's name is of another kind.
    LinkTaken { kind: String },
    /// The address is on these interfaces.
    AddressTaken { interfaces: Vec<String> },
    /// The kernel doesn't support the link, and there is no loopback.
    NoLoopback,
}

/// The next step. Each step is based on fresh state, and no step undoes an earlier one.
pub fn next_step(found: &FoundAddress, choice: LinkChoice) -> AddressStep {
    if let Some(obstacle) = obstacle(found, choice.kind) {
        return AddressStep::Blocked(obstacle);
    }
    let held = |link: &FoundLink| found.holders.iter().any(|holder| holder.index == link.index);
    let (place, link) = match (&found.link, &found.loopback, choice.support) {
        (Some(link), _, _) => (Place::OwnLink, link),
        (None, Some(loopback), _) if held(loopback) => (Place::Loopback, loopback),
        (None, _, LinkSupport::Assumed) => return AddressStep::MakeLink,
        (None, Some(loopback), LinkSupport::Refused) => (Place::Loopback, loopback),
        (None, None, LinkSupport::Refused) => return AddressStep::Blocked(Obstacle::NoLoopback),
    };
    let index = link.index;
    match (held(link), link.is_up) {
        (_, false) => AddressStep::Raise { place, index },
        (false, true) => AddressStep::Assign { place, index },
        (true, true) => AddressStep::Keep(place),
    }
}

/// What prevents the setup, if anything.
pub fn obstacle(found: &FoundAddress, kind: &str) -> Option<Obstacle> {
    if let Some(link) = found.link.as_ref().filter(|link| link.kind != kind) {
        return Some(Obstacle::LinkTaken { kind: link.kind.clone() });
    }
    let foreign = found.holders.iter().filter(|holder| !found.is_own(holder));
    let mut interfaces: Vec<String> = foreign.map(|holder| holder.interface.clone()).collect();
    interfaces.dedup();
    (!interfaces.is_empty()).then_some(Obstacle::AddressTaken { interfaces })
}

impl FoundAddress {
    /// Whether the agent configured the address there.
    pub fn is_own(&self, holder: &AddressOnLink) -> bool {
        let on = |link: &Option<FoundLink>| link.as_ref().is_some_and(|link| link.index == holder.index);
        on(&self.link) || on(&self.loopback) && holder.label == LOOPBACK_LABEL
    }
}

impl Place {
    pub fn interface(self) -> &'static str {
        match self {
            Self::OwnLink => LINK,
            Self::Loopback => LOOPBACK,
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LinkTaken { kind } => {
                let kind = if kind.is_empty() { "hardware" } else { kind };
                write!(f, "the link `{LINK}` ({kind}) is not this agent's: delete it or give it another name")
            }
            Self::AddressTaken { interfaces } => write!(
                f,
                "{ADDRESS} is on `{}`, where this agent did not put it: requests to it are dropped until it is removed",
                interfaces.join("`, `")
            ),
            Self::NoLoopback => {
                write!(f, "the kernel has no links of the kind `{LINK_KIND}`, and there is no `{LOOPBACK}`")
            }
        }
    }
}

#[cfg(test)]
mod tests;
