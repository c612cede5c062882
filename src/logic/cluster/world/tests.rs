mod claims;
mod removed;

use super::*;
use crate::logic::policy::arn::{BaseArn, RoleArn};
use crate::logic::policy::pattern::Format;

/// A running pod `shop/NAME` with one address.
pub(crate) fn pod(uid: &str, address: &str) -> Pod {
    Pod {
        uid: uid.into(),
        namespace: "shop".into(),
        name: format!("pod-{uid}"),
        service_account: "app".into(),
        addresses: vec![address.parse().unwrap()],
        finished: false,
        host_network: false,
        deleting: false,
        role: Some("app".into()),
        external_id: None,
        session: None,
        v2_required: false,
    }
}

pub(crate) fn namespace(name: &str, allowed_roles: Option<&str>) -> Namespace {
    Namespace {
        uid: format!("uid-of-{name}"),
        name: name.into(),
        allowed_roles: allowed_roles.map(Into::into),
        default_role: None,
        v2_required: false,
    }
}

/// Applies events of pods and namespaces, and evaluates every list.
pub(crate) fn apply_all(world: &mut World, events: impl IntoIterator<Item = Event>) {
    for event in events {
        let resource = match &event {
            Event::InitApply(Object::Namespace(_))
            | Event::Apply(Object::Namespace(_))
            | Event::Delete(Object::Namespace(_)) => Resource::Namespaces,
            _ => Resource::Pods,
        };
        apply_event(world, resource, event, Format::Glob);
    }
}

/// Applies one event, and evaluates every list for every role that any object names.
pub(crate) fn apply_event(world: &mut World, resource: Resource, event: Event, format: Format) -> Change {
    apply_below(world, resource, event, Reading { base: &base(), format, pod_tokens: PodTokens::Ignored })
}

fn base() -> BaseArn {
    BaseArn::parse("arn:aws:iam::123456789012:role/").unwrap()
}

fn apply_below(world: &mut World, resource: Resource, event: Event, reading: Reading<'_>) -> Change {
    let change = world.apply(resource, ParsedEvent::new(event, reading));
    evaluate(world, reading.base);
    change
}

/// Evaluates the lists, as the agent's thread does.
fn evaluate(world: &mut World, base: &BaseArn) {
    let named = world.pods().filter_map(|pod| pod.role());
    let named =
        named.chain(world.accounts.all()).chain(world.namespaces().filter_map(|(_, held)| held.default_role.as_ref()));
    let mut roles: Vec<RoleArn> = named.filter_map(NamedRole::role).cloned().collect();
    roles.extend(base.role("fallback"));
    let lists = world.namespaces().filter_map(|(name, held)| {
        let list = held.allowed_roles.as_ref()?;
        let matches = roles.iter().map(|role| (role.clone(), list.list().first_match(role, base))).collect();
        Some(ListResults { namespace: name.into(), serial: list.serial(), matches, findings: None })
    });
    lists.collect::<Vec<_>>().into_iter().for_each(|results| drop(world.record(results)));
}

/// A World with both lists complete; with only the namespace `shop` if none is given.
pub(crate) fn listed(pods: Vec<Pod>, namespaces: Vec<Namespace>) -> World {
    listed_below(&base(), pods, namespaces)
}

/// The same with another base.
pub(crate) fn listed_below(base: &BaseArn, pods: Vec<Pod>, namespaces: Vec<Namespace>) -> World {
    listed_with(Reading { base, format: Format::Glob, pod_tokens: PodTokens::Ignored }, pods, namespaces)
}

/// The same, with tokens accepted.
pub(crate) fn listed_with_tokens(pods: Vec<Pod>, namespaces: Vec<Namespace>) -> World {
    listed_with(Reading { base: &base(), format: Format::Glob, pod_tokens: PodTokens::Accepted }, pods, namespaces)
}

fn listed_with(reading: Reading<'_>, pods: Vec<Pod>, mut namespaces: Vec<Namespace>) -> World {
    if namespaces.is_empty() {
        namespaces.push(namespace("shop", None));
    }
    let mut world = World::default();
    if reading.pod_tokens == PodTokens::Accepted {
        world.accept_pod_tokens();
    }
    for (resource, objects) in [
        (Resource::Pods, pods.into_iter().map(Object::Pod).collect::<Vec<_>>()),
        (Resource::Namespaces, namespaces.into_iter().map(Object::Namespace).collect()),
    ] {
        let events = objects.into_iter().map(Event::InitApply);
        for event in std::iter::once(Event::Init).chain(events).chain([Event::InitDone]) {
            apply_below(&mut world, resource, event, reading);
        }
    }
    world
}

fn apply(pod: Pod) -> Event {
    Event::Apply(Object::Pod(pod))
}

fn delete(pod: Pod) -> Event {
    Event::Delete(Object::Pod(pod))
}

fn check(world: &World, address: &str) -> String {
    match world.holder(address.parse().unwrap()) {
        AddressHolder::Nobody => "nobody".into(),
        AddressHolder::Pod(pod) => pod.uid.to_string(),
        AddressHolder::Several(count) => format!("{count} pods"),
    }
}

#[test]
fn late_delete_keeps_new_owner() {
    let mut world = World::default();
    apply_all(
        &mut world,
        [apply(pod("old", "10.0.0.1")), apply(pod("new", "10.0.0.1")), delete(pod("old", "10.0.0.1"))],
    );
    assert_eq!(check(&world, "10.0.0.1"), "new");
    apply_all(&mut world, [delete(pod("old", "10.0.0.1")), delete(pod("new", "10.0.0.1"))]);
    assert_eq!(check(&world, "10.0.0.1"), "nobody");
    assert!(world.holders.is_empty());
    // A finished pod released its address before it was deleted, and may be reported once more after that.
    let finished = || Pod { finished: true, ..pod("old", "10.0.0.1") };
    apply_all(&mut world, [apply(pod("old", "10.0.0.1")), apply(finished()), apply(pod("new", "10.0.0.1"))]);
    for event in [apply(finished()), delete(finished()), apply(finished()), delete(pod("old", "10.0.0.1"))] {
        apply_all(&mut world, [event]);
        assert_eq!(check(&world, "10.0.0.1"), "new");
    }
    apply_all(&mut world, [apply(pod("old", "10.0.0.1")), delete(finished())]);
    assert_eq!(check(&world, "10.0.0.1"), "new");
}

#[test]
fn of_several_claimants_the_one_not_being_deleted_holds_the_address() {
    let deleting = |uid| Pod { deleting: true, ..pod(uid, "10.0.0.1") };
    for (events, holder) in [
        (vec![apply(deleting("a"))], "a"),
        (vec![apply(deleting("a")), apply(pod("b", "10.0.0.1"))], "b"),
        (vec![apply(pod("a", "10.0.0.1")), apply(pod("b", "10.0.0.1"))], "2 pods"),
        (vec![apply(deleting("a")), apply(deleting("b"))], "2 pods"),
        (vec![apply(deleting("a")), apply(pod("b", "10.0.0.1")), apply(pod("c", "10.0.0.1"))], "2 pods"),
    ] {
        let mut world = World::default();
        apply_all(&mut world, events);
        assert_eq!(check(&world, "10.0.0.1"), holder);
    }
}

#[test]
fn finished_and_host_network_pods_hold_no_address() {
    let mut world = World::default();
    apply_all(&mut world, [apply(pod("a", "10.0.0.1"))]);
    apply_all(
        &mut world,
        [
            apply(Pod { finished: true, ..pod("a", "10.0.0.1") }),
            apply(Pod { host_network: true, ..pod("h", "10.0.0.2") }),
        ],
    );
    assert_eq!((check(&world, "10.0.0.1"), check(&world, "10.0.0.2")), ("nobody".into(), "nobody".into()));
}

#[test]
fn a_pod_that_changes_address_releases_the_old_one() {
    let mut world = World::default();
    let both = Pod { addresses: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()], ..pod("a", "10.0.0.1") };
    apply_all(&mut world, [apply(both)]);
    assert_eq!((check(&world, "10.0.0.1"), check(&world, "fd00::1")), ("a".into(), "a".into()));
    apply_all(&mut world, [apply(pod("a", "10.0.0.2"))]);
    assert_eq!((check(&world, "10.0.0.1"), check(&world, "10.0.0.2")), ("nobody".into(), "a".into()));
}

#[test]
fn a_relist_sweeps_only_at_its_end() {
    let mut world =
        listed(vec![pod("a", "10.0.0.1"), pod("b", "10.0.0.2")], vec![namespace("shop", None), namespace("old", None)]);
    assert!(world.is_ready());
    apply_all(&mut world, [Event::Init, Event::InitApply(Object::Pod(pod("b", "10.0.0.2")))]);
    assert_eq!(check(&world, "10.0.0.1"), "a");
    apply_all(&mut world, [Event::InitDone]);
    assert_eq!((check(&world, "10.0.0.1"), check(&world, "10.0.0.2")), ("nobody".into(), "b".into()));
    assert!(world.namespace("old").is_some());
}

#[test]
fn an_interrupted_relist_loses_nothing() {
    let mut world = listed(vec![pod("a", "10.0.0.1"), pod("b", "10.0.0.2")], vec![]);
    apply_all(&mut world, [Event::Init, Event::InitApply(Object::Pod(pod("a", "10.0.0.1")))]);
    apply_all(&mut world, [Event::Init, Event::InitApply(Object::Pod(pod("b", "10.0.0.2"))), Event::InitDone]);
    assert_eq!((check(&world, "10.0.0.1"), check(&world, "10.0.0.2")), ("nobody".into(), "b".into()));
}

#[test]
fn the_world_is_ready_when_both_lists_are_complete() {
    let mut world = World::default();
    apply_event(&mut world, Resource::Pods, Event::Init, Format::Glob);
    apply_event(&mut world, Resource::Pods, Event::InitDone, Format::Glob);
    assert!(!world.is_ready());
    apply_event(&mut world, Resource::Namespaces, Event::Init, Format::Glob);
    assert!(!world.is_ready());
    apply_event(&mut world, Resource::Namespaces, Event::InitDone, Format::Glob);
    assert!(world.is_ready());
}

#[test]
fn late_delete_of_a_namespace_keeps_its_successor() {
    let mut world = World::default();
    let successor = Namespace { uid: "second".into(), ..namespace("shop", None) };
    apply_all(
        &mut world,
        [Event::Apply(Object::Namespace(successor)), Event::Delete(Object::Namespace(namespace("shop", None)))],
    );
    assert!(world.namespace("shop").is_some());
}

/// The API server finds pods by their first address only: it doesn't see the holder of a second address.
#[test]
fn the_api_servers_choice_counts_only_if_it_sees_every_claimant() {
    let address = "fd00::1";
    let dual =
        |uid: &str| Pod { addresses: vec!["10.0.0.9".parse().unwrap(), address.parse().unwrap()], ..pod(uid, address) };
    for (other, holder) in [(pod("b", address), Some("a")), (dual("b"), None)] {
        let world = listed(vec![pod("a", address), other], vec![]);
        let found = match world.holder_among(address.parse().unwrap(), Some("a")) {
            AddressHolder::Pod(pod) => Some(&*pod.uid),
            _ => None,
        };
        assert_eq!(found, holder);
    }
}

/// Its answer may be older than the World, or about a pod that never had the address.
#[test]
fn the_api_servers_choice_counts_only_for_a_claimant() {
    let address = "10.0.0.1";
    let finished = Pod { finished: true, ..pod("finished", address) };
    let host = Pod { host_network: true, ..pod("host", address) };
    let pods = vec![pod("a", address), pod("b", address), pod("elsewhere", "10.0.0.2"), finished, host];
    let world = listed(pods, vec![]);
    let chosen = |uid| match world.holder_among(address.parse().unwrap(), Some(uid)) {
        AddressHolder::Pod(pod) => Some(pod.uid.to_string()),
        _ => None,
    };
    assert_eq!(chosen("a").as_deref(), Some("a"));
    for other in ["elsewhere", "finished", "host", "unknown"] {
        assert_eq!(chosen(other), None, "{other}");
    }
}

#[test]
fn a_recreated_pod_replaces_the_old_uid_if_its_deletion_was_missed() {
    let named = |uid: &str, address: &str| Pod { name: "web".into(), ..pod(uid, address) };
    let mut world = listed(vec![named("old", "10.0.0.1")], vec![]);
    apply_all(&mut world, [Event::Apply(Object::Pod(named("new", "10.0.0.2")))]);
    let (old, new) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
    assert!(matches!(world.holder(old), AddressHolder::Nobody) && world.pod("old").is_none());
    assert!(matches!(world.holder(new), AddressHolder::Pod(pod) if *pod.uid == *"new"));
    apply_all(&mut world, [Event::Delete(Object::Pod(named("old", "10.0.0.2")))]);
    assert!(world.pod("new").is_some(), "a late delete keeps the new owner");
    let other = Pod { namespace: "bank".into(), ..named("other", "10.0.0.3") };
    apply_all(&mut world, [Event::Apply(Object::Pod(other))]);
    assert_eq!(world.pods().count(), 2, "a name is a namespace's own");
}

#[test]
fn an_unreadable_object_is_forgotten_by_its_uid_or_name() {
    let identity = |namespace: Option<&str>, name: Option<&str>, uid: Option<&str>| {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Event::Forget(ObjectIdentity { namespace: text(namespace), name: text(name), uid: text(uid) })
    };
    let apply = |world: &mut World, resource, event| drop(apply_event(world, resource, event, Format::Glob));
    for (event, is_gone) in [
        (identity(Some("shop"), Some("pod-a"), None), true),
        (identity(None, None, Some("a")), true),
        (identity(Some("shop"), Some("pod-a"), Some("another")), true),
        (identity(Some("bank"), Some("pod-a"), None), false),
        (identity(None, Some("pod-a"), None), false),
    ] {
        let mut world = listed(vec![pod("a", "10.0.0.1")], vec![]);
        apply(&mut world, Resource::Pods, event.clone());
        assert_eq!(world.pod("a").is_none(), is_gone, "{event:?}");
        assert_eq!(matches!(world.holder("10.0.0.1".parse().unwrap()), AddressHolder::Nobody), is_gone, "{event:?}");
    }
    let mut world = listed(vec![], vec![namespace("shop", None), namespace("bank", None)]);
    apply(&mut world, Resource::Namespaces, identity(None, Some("shop"), None));
    apply(&mut world, Resource::Namespaces, identity(None, None, Some("uid-of-bank")));
    assert_eq!(world.namespaces().count(), 0);
}

/// An unparsable item of a list isn't seen, so it is swept at the end of the list.
#[test]
fn an_object_unreadable_in_a_list_is_forgotten() {
    let mut world = listed(vec![pod("a", "10.0.0.1"), pod("b", "10.0.0.2")], vec![]);
    let again = Event::InitApply(Object::Pod(pod("b", "10.0.0.2")));
    apply_all(&mut world, [Event::Init, again, Event::InitDone]);
    assert!(world.pod("a").is_none() && world.pod("b").is_some());
}

#[test]
fn pods_that_cannot_request_credentials_are_kept_without_annotations() {
    let finished = Pod { finished: true, ..pod("f", "10.0.0.1") };
    let host = Pod { host_network: true, ..pod("h", "10.0.0.2") };
    let world = listed(vec![pod("a", "10.0.0.3"), finished.clone(), host.clone()], vec![]);
    let kept = |world: &World, uid: &str| world.pod(uid).unwrap().annotations.is_some();
    assert_eq!(["a", "f", "h"].map(|uid| kept(&world, uid)), [true, false, false]);
    let with_tokens = listed_with_tokens(vec![pod("a", "10.0.0.3"), finished, host], vec![]);
    assert_eq!(["a", "f", "h"].map(|uid| kept(&with_tokens, uid)), [true, false, true]);
}

#[test]
fn with_tokens_every_running_pod_can_request_credentials_and_an_address_is_no_news() {
    let kinds = [
        pod("a", "10.0.0.3"),
        Pod { addresses: vec![], ..pod("pending", "10.0.0.1") },
        Pod { host_network: true, ..pod("host", "10.0.0.2") },
        Pod { finished: true, ..pod("finished", "10.0.0.4") },
    ];
    for (mut world, can_ask, novelty) in [
        (listed(kinds.to_vec(), vec![]), [true, false, false, false], Novelty::News),
        (listed_with_tokens(kinds.to_vec(), vec![]), [true, true, true, false], Novelty::Known),
    ] {
        let found = kinds.clone().map(|pod| world.can_ask(world.pod(&pod.uid).unwrap()));
        assert_eq!(found, can_ask);
        assert!(world.pods().all(|pod| world.can_have_role(pod) || !world.can_ask(pod)));
        let reading = Reading { base: &base(), format: Format::Glob, pod_tokens: world.pod_tokens };
        let addressed = Event::Apply(Object::Pod(pod("pending", "10.0.0.1")));
        let change = apply_below(&mut world, Resource::Pods, addressed, reading);
        assert!(matches!(&change, Change::PodApplied(_, found) if *found == novelty), "{change:?}");
    }
}
