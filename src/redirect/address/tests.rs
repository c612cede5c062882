use super::*;

#[test]
fn result_is_described_in_one_line() {
    let passing = RequestAction::Redirect;
    let guard = Guard { port: 8181, uplinks: Vec::new(), requests: passing, at_loopback: passing };
    let whole = AddressEnsured {
        outcome: RedirectOutcome::Kept,
        generation: 2,
        guard,
        place: Ok(Place::OwnLink),
        repairs: vec![AddressRepair::LinkMade, AddressRepair::Assigned(Place::OwnLink)],
        cut: Ok(0),
    };
    assert_eq!(
        whole.to_string(),
        "container credentials at 169.254.170.2:8181 on kube2iam0; the link kube2iam0 was missing and is made; the \
         address was missing and is added to kube2iam0; table inet kube2iam_credentials was whole, generation 2"
    );
    let blocked = AddressEnsured { place: Err(Obstacle::NoLoopback), repairs: Vec::new(), ..whole.clone() };
    assert!(blocked.to_string().starts_with("container credentials are not in place: "), "{blocked}");
    let yielded = AddressEnsured { outcome: RedirectOutcome::Yielded, ..whole.clone() };
    assert_eq!([&whole, &blocked, &yielded].map(AddressEnsured::is_in_place), [true, false, false]);
}

#[test]
fn missing_capability_is_named_for_any_operation() {
    assert_eq!(kernel("set up", "the link kube2iam0", Errno::PERM), RedirectError::NoNetAdmin);
    assert_eq!(existed(Err(Errno::ADDRNOTAVAIL)), Ok(false));
    assert_eq!(existed(Err(Errno::PERM)), Err(Errno::PERM));
}
