use super::*;
use crate::logic::cluster::kubernetes::{Event, Object};
use crate::logic::cluster::world::tests::{apply_all, listed, namespace, pod};
use crate::logic::cluster::world::{Change, World};

fn results(world: &World, matches: Vec<(RoleArn, Option<u16>)>) -> ListResults {
    let serial = world.namespace("shop").unwrap().allowed_roles.as_ref().unwrap().serial();
    ListResults { namespace: "shop".into(), serial, matches, findings: None }
}

fn role(name: &str) -> RoleArn {
    RoleArn::parse(&format!("arn:aws:iam::123456789012:role/{name}")).unwrap()
}

/// The result for a role in the list of `shop`.
fn known(world: &World, name: &str) -> Option<Option<u16>> {
    world.namespace("shop").unwrap().allowed_roles.as_ref().unwrap().first_match(&role(name))
}

#[test]
fn results_are_kept_until_the_list_changes() {
    let mut world = listed(vec![], vec![namespace("shop", Some(r#"["a"]"#))]);
    let late = results(&world, vec![(role("a"), None)]);
    world.record(results(&world, vec![(role("a"), Some(0)), (role("b"), None)]));
    assert_eq!((known(&world, "a"), known(&world, "b"), known(&world, "c")), (Some(Some(0)), Some(None), None));
    apply_all(&mut world, [Event::Apply(Object::Namespace(namespace("shop", Some(r#"["a"]"#))))]);
    assert_eq!(known(&world, "a"), Some(Some(0)), "the same list");
    apply_all(&mut world, [Event::Apply(Object::Namespace(namespace("shop", Some(r#"["b"]"#))))]);
    assert_eq!(known(&world, "a"), None);
    assert!(matches!(world.record(late), Change::Nothing), "found out about the list before");
    assert_eq!(known(&world, "a"), None);
}

/// A pod that keeps changing its role leaves no more results than its namespace's pods can need.
#[test]
fn results_are_limited_by_the_pods_of_the_namespace() {
    let pods = (0..20).map(|uid| pod(&uid.to_string(), "10.0.0.1")).collect();
    for (pods, most) in [(vec![], 16), (pods, 40)] {
        let mut world = listed(pods, vec![namespace("shop", Some(r#"["a"]"#))]);
        for number in 0..1_000 {
            world.record(results(&world, vec![(role(&format!("r{number}")), None)]));
            assert_eq!(known(&world, &format!("r{number}")), Some(None));
            let held = (0..=number).filter(|other| known(&world, &format!("r{other}")).is_some()).count();
            assert!(held <= most, "{held}");
        }
    }
}

#[test]
fn findings_about_a_list_are_kept_with_its_results() {
    let mut world = listed(vec![], vec![namespace("shop", Some(r#"["*"]"#))]);
    let found = |world: &World| {
        let list = world.namespace("shop").unwrap().allowed_roles.as_ref().unwrap();
        list.findings().map(|findings| findings.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(found(&world), None);
    world.record(ListResults { findings: Some(vec!["a doubt".into()]), ..results(&world, vec![]) });
    assert_eq!(found(&world), Some(vec!["a doubt".to_owned()]));
    world.record(results(&world, vec![(role("a"), None)]));
    assert_eq!(found(&world), Some(vec!["a doubt".to_owned()]), "roles were asked about later");
}

#[test]
fn there_is_room_for_two_results_of_each_pod() {
    let pods = (0..20).map(|uid| pod(&uid.to_string(), "10.0.0.1")).collect();
    let mut world = listed(pods, vec![namespace("shop", Some(r#"["a"]"#))]);
    let before = usize::from(known(&world, "app").is_some()) + usize::from(known(&world, "fallback").is_some());
    let names: Vec<String> = (before..40).map(|number| format!("r{number}")).collect();
    world.record(results(&world, names.iter().map(|name| (role(name), None)).collect()));
    assert!(names.iter().all(|name| known(&world, name).is_some()));
}
