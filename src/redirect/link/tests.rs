use super::*;

fn reply(kind: u16, body: &[u8]) -> NetlinkReply<'_> {
    NetlinkReply { kind, flags: 0, sequence: 0, body }
}

#[test]
fn links_and_addresses_decode_to_what_was_encoded() {
    let list = Attributes::new().text(LINK_NAME, LINK).nest(LINK_INFO, Attributes::new().text(INFO_KIND, "dummy"));
    let message = NetlinkMessage::new(NEW_LINK, 0, &link_fixed(7), list);
    let found = FoundLink { index: 7, kind: "dummy".to_owned(), is_up: true };
    assert_eq!(link(&message.body), Some((LINK.to_owned(), found)));
    let list = address().text(ADDRESS_LABEL, LOOPBACK_LABEL);
    let message = NetlinkMessage::new(NEW_ADDRESS, 0, &address_fixed(1), list);
    let label = LOOPBACK_LABEL.to_owned();
    assert_eq!(holder(&message.body), Some(AddressOnLink { index: 1, interface: String::new(), label }));
}

#[test]
fn only_changes_of_the_agents_link_and_address_are_relevant() {
    let named =
        |name: &str| NetlinkMessage::new(NEW_LINK, 0, &link_fixed(7), Attributes::new().text(LINK_NAME, name)).body;
    let holding = |last: u8| {
        let list = Attributes::new().bytes(ADDRESS_LOCAL, &[169, 254, 170, last]);
        NetlinkMessage::new(NEW_ADDRESS, 0, &address_fixed(7), list).body
    };
    for (kind, body, concerned) in [
        (NEW_LINK, named(LINK), true),
        (DELETE_LINK, named(LINK), true),
        (NEW_LINK, named("veth1"), false),
        (NEW_ADDRESS, holding(2), true),
        (DELETE_ADDRESS, holding(2), true),
        (DELETE_ADDRESS, holding(23), false),
        (24, holding(2), false),
        (NEW_ADDRESS, Vec::new(), false),
    ] {
        assert_eq!(concerns(&reply(kind, &body)), concerned, "{kind} {body:?}");
    }
}
