use super::*;
use crate::logic::redirect::guard::{self, Guard};
use crate::logic::redirect::interfaces::InterfaceRule;
use crate::logic::redirect::resolve::{HostNetwork, resolve};
use crate::logic::redirect::{RedirectSpec, ruleset};

#[test]
fn every_rule_decodes_to_what_was_encoded() {
    let spec = RedirectSpec {
        host_ip: Some([10, 0, 0, 1].into()),
        host_ip6: Some("fd00::1".parse().unwrap()),
        interfaces: InterfaceRule::parse(&["cali+,cni0,!eth0,!ens+"]).unwrap(),
        ..RedirectSpec::new(8181)
    };
    let wanted = resolve(&spec, &HostNetwork::default()).unwrap().wanted;
    let credentials = guard::chains(&Guard::resolve(&spec, &HostNetwork::default()));
    for rule in ruleset::chains(&wanted).iter().chain(&credentials).flat_map(|chain| &chain.rules) {
        let list = Attributes::new().nest(4, write(&rule.expressions()));
        let bytes = super::super::message::NetlinkMessage::new(0, 0, &[], list).body;
        assert_eq!(read(attribute(&bytes, 4).unwrap()), rule.expressions(), "{rule}");
    }
}

fn check_foreign(name: &str, data: Attributes) {
    let element = Attributes::new().nest(ELEMENT, Attributes::new().text(NAME, name).nest(DATA, data));
    let bytes = super::super::message::NetlinkMessage::new(0, 0, &[], element).body;
    assert_eq!(read(&bytes), [Expression::Foreign(name.to_owned())]);
}

#[test]
fn other_encoding_of_a_known_expression_is_foreign() {
    let new = Attributes::new;
    check_foreign("meta", new().number(1, 2).number(2, 6));
    check_foreign("meta", new().number(1, 1).number(2, 3));
    check_foreign("cmp", new().number(1, 1).number(2, 4).nest(3, new().bytes(1, b"x")));
    check_foreign("payload", new().number(1, 1).number(2, 0).number(3, 0).number(4, 6));
    let nat = || new().number(1, 1).number(2, 2).number(3, 1).number(5, 2);
    check_foreign("nat", nat().number(7, 7));
    check_foreign("nat", nat().number(4, 3));
    check_foreign("immediate", new().number(1, 0).nest(2, new().nest(2, new().number(1, 1))));
    check_foreign("limit", new());
}

#[test]
fn comments_are_encoded_as_by_nft() {
    assert_eq!(comment("generation 1"), b"\x00\x0dgeneration 1\x00");
    assert_eq!(read_comment(b"\x07\x02ab\x00\x03hi\x00").as_deref(), Some("hi"));
    assert_eq!(read_comment(b"\x00\x09hi"), None);
}
