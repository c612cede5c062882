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
