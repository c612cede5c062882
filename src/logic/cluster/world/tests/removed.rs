//! Removal of namespaces.

use super::*;
use crate::logic::cluster::kubernetes::ObjectIdentity;

fn three() -> World {
    listed(vec![], ["a", "b", "c"].map(|name| namespace(name, None)).to_vec())
}

fn left(world: &World) -> Vec<&str> {
    let mut names: Vec<&str> = world.namespaces().map(|(name, _)| name).collect();
    names.sort_unstable();
    names
}

fn apply(world: &mut World, event: Event) -> Change {
    apply_event(world, Resource::Namespaces, event, Format::Glob)
}

#[test]
fn a_deleted_namespace_is_removed_unless_it_was_recreated() {
    let mut world = three();
    let again = Namespace { uid: "another".into(), ..namespace("b", None) };
    assert!(matches!(apply(&mut world, Event::Delete(Object::Namespace(again))), Change::Nothing));
    assert_eq!(left(&world), ["a", "b", "c"]);
    let gone = apply(&mut world, Event::Delete(Object::Namespace(namespace("b", None))));
    assert!(matches!(gone, Change::NamespaceGone(name) if &*name == "b"));
    assert_eq!(left(&world), ["a", "c"]);
}

#[test]
fn a_namespace_is_forgotten_by_name_or_by_uid_and_no_other() {
    let by_name = ObjectIdentity { name: Some("b".into()), ..ObjectIdentity::default() };
    let by_uid = ObjectIdentity { uid: Some("uid-of-b".into()), ..ObjectIdentity::default() };
    let of_none = ObjectIdentity { uid: Some("other".into()), ..ObjectIdentity::default() };
    for (identity, expected) in [(by_name, vec!["a", "c"]), (by_uid, vec!["a", "c"]), (of_none, vec!["a", "b", "c"])] {
        let mut world = three();
        apply(&mut world, Event::Forget(identity.clone()));
        assert_eq!(left(&world), expected, "{identity}");
    }
}
