use super::*;
use crate::logic::cluster::kubernetes::{Event, Namespace, Object, Pod, Resource, ServiceAccount};
use crate::logic::cluster::world::tests::{apply_event, listed, namespace, pod};
use crate::logic::policy::AccountRoles;
use crate::logic::policy::pattern::Format;
use crate::logic::policy::tests::rules;

fn apply(world: &mut World, resource: Resource, event: Event) -> Change {
    apply_event(world, resource, event, Format::Glob)
}

/// The roles to prefetch after `object` was applied.
fn check(world: &mut World, rules: &Rules, object: Object) -> Vec<String> {
    let resource = match object {
        Object::Pod(_) => Resource::Pods,
        Object::Namespace(_) => Resource::Namespaces,
        Object::ServiceAccount(_) => Resource::ServiceAccounts,
    };
    let change = apply(world, resource, Event::Apply(object));
    names(ahead(world, rules, &change))
}

fn names(permitted: Vec<Permitted>) -> Vec<String> {
    let mut names: Vec<_> = permitted.into_iter().map(|permitted| permitted.request().role.name().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_reachable_pod_is_prefetched_once_and_again_when_its_call_changes() {
    let mut world = listed(vec![], vec![namespace("shop", None)]);
    let fresh = pod("a", "10.0.0.1");
    let session = Some(Box::new(crate::logic::cluster::kubernetes::SessionAnnotations {
        policy: Some("{}".into()),
        ..Default::default()
    }));
    for (pod, fetched) in [
        (Pod { addresses: vec![], ..fresh.clone() }, vec![]),
        (fresh.clone(), vec!["app"]),
        (fresh.clone(), vec![]),
        (Pod { v2_required: true, ..fresh.clone() }, vec![]),
        (Pod { role: Some("other".into()), ..fresh.clone() }, vec!["other"]),
        (Pod { external_id: Some("id".into()), ..fresh.clone() }, vec!["app"]),
        (Pod { session, ..fresh.clone() }, vec!["app"]),
        (Pod { deleting: true, ..fresh.clone() }, vec![]),
        (Pod { finished: true, ..fresh.clone() }, vec![]),
        (Pod { host_network: true, ..pod("h", "10.0.0.9") }, vec![]),
        (Pod { role: None, ..pod("n", "10.0.0.3") }, vec![]),
        (Pod { role: Some("not a role".into()), ..pod("m", "10.0.0.4") }, vec![]),
    ] {
        assert_eq!(check(&mut world, &rules(), Object::Pod(pod.clone())), fetched, "{pod:?}");
    }
}

#[test]
fn pods_are_prefetched_when_their_namespace_starts_to_allow_their_role() {
    let restricted = Rules { restrictions: Some(Format::Glob), ..rules() };
    let mut world = listed(vec![], vec![namespace("shop", None)]);
    assert!(check(&mut world, &restricted, Object::Pod(pod("a", "10.0.0.1"))).is_empty());
    let open = namespace("shop", Some(r#"["app"]"#));
    assert_eq!(check(&mut world, &restricted, Object::Namespace(open.clone())), ["app"]);
    assert!(check(&mut world, &restricted, Object::Namespace(open)).is_empty());
    assert!(check(&mut world, &restricted, Object::Namespace(namespace("other", Some(r#"["*"]"#)))).is_empty());
    let with_default = Namespace { default_role: Some("app".into()), ..namespace("shop", Some(r#"["app"]"#)) };
    assert_eq!(check(&mut world, &restricted, Object::Namespace(with_default)), ["app"]);
}

#[test]
fn pods_are_prefetched_when_their_service_account_gets_a_role() {
    let reading = Rules { account_roles: AccountRoles::Read, ..rules() };
    let bare = Pod { role: None, ..pod("a", "10.0.0.1") };
    let mut world = listed(vec![bare], vec![namespace("shop", None)]);
    let account = |name: &str, role: &str| {
        let (uid, namespace) = ("u".into(), "shop".into());
        Object::ServiceAccount(ServiceAccount { uid, namespace, name: name.into(), role: Some(role.into()) })
    };
    assert!(check(&mut world, &reading, account("other", "x")).is_empty());
    assert_eq!(check(&mut world, &reading, account("app", "x")), ["x"]);
    assert!(check(&mut world, &reading, account("app", "x")).is_empty());
    assert_eq!(check(&mut world, &reading, account("app", "y")), ["y"]);
}

/// The order in which the first lists complete differs between starts.
#[test]
fn nothing_is_prefetched_before_the_lists_are_complete_and_everything_then() {
    for [first, last] in [[Resource::Pods, Resource::Namespaces], [Resource::Namespaces, Resource::Pods]] {
        let mut world = World::default();
        let mut fetched = Vec::new();
        for resource in [first, last] {
            let objects = match resource {
                Resource::Pods => vec![Object::Pod(pod("a", "10.0.0.1")), Object::Pod(pod("b", "10.0.0.2"))],
                _ => vec![Object::Namespace(namespace("shop", None))],
            };
            let events = objects.into_iter().map(Event::InitApply);
            for event in std::iter::once(Event::Init).chain(events).chain([Event::InitDone]) {
                let change = apply(&mut world, resource, event);
                fetched.push(names(ahead(&world, &rules(), &change)));
            }
        }
        let all = fetched.pop().unwrap();
        assert_eq!(all, ["app", "app"]);
        assert!(fetched.iter().all(Vec::is_empty), "{first} first");
        for event in [Event::Init, Event::InitApply(Object::Pod(pod("a", "10.0.0.1"))), Event::InitDone] {
            let change = apply(&mut world, Resource::Pods, event);
            assert!(ahead(&world, &rules(), &change).is_empty(), "a relist brings nothing new");
        }
    }
}

#[test]
fn many_pods_are_prefetched_in_the_order_of_their_uids() {
    let pods = (10..60).map(|uid| pod(&uid.to_string(), &format!("10.0.0.{uid}"))).rev().collect();
    let world = listed(pods, vec![]);
    let permitted = ahead(&world, &rules(), &Change::Listed(Resource::Pods, Novelty::News));
    let uids: Vec<String> = permitted.iter().map(|permitted| permitted.pod().uid.to_string()).collect();
    assert!(uids.len() == 50 && uids.is_sorted(), "{uids:?}");
}

#[test]
fn an_evaluated_list_prefetches_the_pods_of_its_namespace() {
    let elsewhere = Pod { namespace: "other".into(), ..pod("b", "10.0.0.2") };
    let world = listed(vec![pod("a", "10.0.0.1"), elsewhere], vec![namespace("shop", None), namespace("other", None)]);
    let fetched = ahead(&world, &rules(), &Change::ListEvaluated("shop".into()));
    let uids: Vec<&str> = fetched.iter().map(|permitted| &*permitted.pod().uid).collect();
    assert_eq!(uids, ["a"]);
}

#[test]
fn an_account_prefetches_only_pods_of_its_namespace() {
    let reading = Rules { account_roles: AccountRoles::Read, ..rules() };
    let bare = |uid: &str, namespace: &str, account: &str| Pod {
        role: None,
        namespace: namespace.into(),
        service_account: account.into(),
        ..pod(uid, &format!("10.0.0.{uid}"))
    };
    let pods = vec![bare("1", "shop", "app"), bare("2", "other", "app"), bare("3", "shop", "web")];
    let mut world = listed(pods, vec![namespace("shop", None), namespace("other", None)]);
    for (namespace, name) in [("other", "app"), ("shop", "web"), ("shop", "app")] {
        let account = ServiceAccount {
            uid: "u".into(),
            namespace: namespace.into(),
            name: name.into(),
            role: Some(format!("{namespace}-{name}")),
        };
        let event = Event::Apply(Object::ServiceAccount(account));
        let change = apply(&mut world, Resource::ServiceAccounts, event);
        assert_eq!(names(ahead(&world, &reading, &change)), [format!("{namespace}-{name}")]);
    }
}
