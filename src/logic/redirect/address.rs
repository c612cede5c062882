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
mod tests {
    use super::*;

    fn up(index: u32, kind: &str) -> Option<FoundLink> {
        Some(FoundLink { index, kind: kind.to_owned(), is_up: true })
    }

    fn down(index: u32, kind: &str) -> Option<FoundLink> {
        up(index, kind).map(|link| FoundLink { is_up: false, ..link })
    }

    fn holder(index: u32, interface: &str, label: &str) -> AddressOnLink {
        AddressOnLink { index, interface: interface.to_owned(), label: label.to_owned() }
    }

    /// A node with `own` as the link with the agent's name.
    fn found(own: Option<FoundLink>, holders: &[AddressOnLink]) -> FoundAddress {
        FoundAddress { link: own, loopback: up(1, ""), holders: holders.to_vec() }
    }

    fn step(found: &FoundAddress, support: LinkSupport) -> AddressStep {
        next_step(found, LinkChoice { kind: LINK_KIND, support })
    }

    #[test]
    fn the_agents_link_is_created_set_up_and_given_the_address() {
        let (place, index) = (Place::OwnLink, 7);
        for (found, expected) in [
            (found(None, &[]), AddressStep::MakeLink),
            (found(down(7, LINK_KIND), &[]), AddressStep::Raise { place, index }),
            (found(up(7, LINK_KIND), &[]), AddressStep::Assign { place, index }),
            (found(down(7, LINK_KIND), &[holder(7, LINK, LINK)]), AddressStep::Raise { place, index }),
            (found(up(7, LINK_KIND), &[holder(7, LINK, LINK)]), AddressStep::Keep(place)),
        ] {
            assert_eq!(step(&found, LinkSupport::Assumed), expected, "{found:?}");
        }
    }

    #[test]
    fn loopback_is_used_if_the_kernel_lacks_dummy_links() {
        let (place, index) = (Place::Loopback, 1);
        let own = [holder(1, LOOPBACK, LOOPBACK_LABEL)];
        assert_eq!(step(&found(None, &[]), LinkSupport::Refused), AddressStep::Assign { place, index });
        assert_eq!(step(&found(None, &own), LinkSupport::Refused), AddressStep::Keep(place));
        assert_eq!(step(&found(None, &own), LinkSupport::Assumed), AddressStep::Keep(place), "it stays there");
        let none = FoundAddress::default();
        assert_eq!(step(&none, LinkSupport::Refused), AddressStep::Blocked(Obstacle::NoLoopback));
        let down = FoundAddress { loopback: down(1, ""), ..none };
        assert_eq!(step(&down, LinkSupport::Refused), AddressStep::Raise { place, index });
    }

    #[test]
    fn foreign_links_and_addresses_are_reported_and_not_changed() {
        let own = holder(7, LINK, LINK);
        for (found, text) in [
            (found(up(7, "veth"), &[]), "the link `kube2iam0` (veth) is not this agent's"),
            (found(up(7, ""), std::slice::from_ref(&own)), "the link `kube2iam0` (hardware) is not this agent's"),
            (found(None, &[holder(1, "lo", "lo")]), "169.254.170.2 is on `lo`, where this agent did not put it"),
            (found(None, &[holder(9, "docker0", "docker0")]), "169.254.170.2 is on `docker0`, where"),
            (found(up(7, LINK_KIND), &[own, holder(9, "kube-ipvs0", "x")]), "169.254.170.2 is on `kube-ipvs0`, "),
        ] {
            for support in [LinkSupport::Assumed, LinkSupport::Refused] {
                let AddressStep::Blocked(obstacle) = step(&found, support) else { panic!("{found:?}") };
                assert!(obstacle.to_string().starts_with(text), "{obstacle}");
            }
        }
    }

    /// From every state of the node the steps terminate, and only the agent's own link and address are changed.
    #[test]
    fn the_steps_terminate_from_every_state() {
        let links = [None, down(7, LINK_KIND), up(7, LINK_KIND), up(7, "veth")];
        let holders = [vec![], vec![holder(7, LINK, LINK)], vec![holder(1, LOOPBACK, LOOPBACK_LABEL)]];
        for (own, held) in links.iter().flat_map(|own| holders.iter().map(move |held| (own, held))) {
            for makes_links in [true, false] {
                let held: Vec<_> = held.iter().filter(|holder| holder.index == 1 || own.is_some()).cloned().collect();
                let (mut found, mut support) = (found(own.clone(), &held), LinkSupport::Assumed);
                let rests = (0..5).any(|_| {
                    match step(&found, support) {
                        AddressStep::Keep(_) | AddressStep::Blocked(_) => return true,
                        AddressStep::MakeLink if makes_links => found.link = down(7, LINK_KIND),
                        AddressStep::MakeLink => support = LinkSupport::Refused,
                        AddressStep::Raise { .. } => found.link = up(7, LINK_KIND),
                        AddressStep::Assign { place: Place::OwnLink, index } => {
                            found.holders.push(holder(index, LINK, LINK))
                        }
                        AddressStep::Assign { place: Place::Loopback, index } => {
                            found.holders.push(holder(index, LOOPBACK, LOOPBACK_LABEL));
                        }
                    }
                    false
                });
                assert!(rests, "{own:?} {held:?} {makes_links}");
            }
        }
    }
}
