//! The address of container credentials on the node: what was found of it, and the next step towards having it.
//!
//! It belongs on a link without ports that the agent makes; on a kernel without that kind of link on loopback, with a
//! label that tells the agent's own address from another's. A link or an address that the agent did not make is named
//! and left alone.

use std::fmt;

/// What `AWS_CONTAINER_CREDENTIALS_FULL_URI` names for pods: SDKs accept it over plain HTTP, with any port.
pub use crate::logic::request::route::CONTAINER_V4 as ADDRESS;

pub const LINK: &str = "kube2iam0";
/// The kind of link without ports.
pub const LINK_KIND: &str = "dummy";
pub const LOOPBACK: &str = "lo";
/// `ifconfig`'s name for the address on loopback; the kernel demands that it begins with the link's own name.
pub const LOOPBACK_LABEL: &str = "lo:kube2iam";

/// What the node has of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundAddress {
    /// The link of the agent's name
    pub link: Option<FoundLink>,
    pub loopback: Option<FoundLink>,
    /// Where the address is
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

/// Which links are possible.
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

/// Where the address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    OwnLink,
    Loopback,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressStep {
    /// It is as wanted.
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

/// What the agent did not make and does not touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The link of the agent's name is of another kind.
    LinkTaken { kind: String },
    /// The address is on these interfaces.
    AddressTaken { interfaces: Vec<String> },
    /// The kernel makes no such link, and there is no loopback.
    NoLoopback,
}

/// The next step. Each is taken on a fresh look; none is undone by a later one.
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

/// What stands in the way, if anything does.
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
    /// Whether the agent put the address there.
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

    /// A node of which `own` is the link of the agent's name.
    fn found(own: Option<FoundLink>, holders: &[AddressOnLink]) -> FoundAddress {
        FoundAddress { link: own, loopback: up(1, ""), holders: holders.to_vec() }
    }

    fn step(found: &FoundAddress, support: LinkSupport) -> AddressStep {
        next_step(found, LinkChoice { kind: LINK_KIND, support })
    }

    #[test]
    fn a_link_of_its_own_is_made_raised_and_given_the_address() {
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
    fn loopback_serves_where_the_kernel_has_no_such_links() {
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
    fn what_others_made_is_named_and_left_alone() {
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

    /// Whatever state the node is in, the steps come to an end, and only the agent's own things are touched.
    #[test]
    fn the_steps_come_to_rest_from_every_state() {
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
