mod newcomers;

use std::time::Duration;

use super::*;
use crate::logic::base::time::Mono;
use crate::logic::cluster::kubernetes::{Event, Namespace, Object, Pod};
use crate::logic::cluster::world::ParsedEvent;
use crate::logic::cluster::world::tests::{namespace, pod};
use crate::logic::policy::pattern::list::MOST_EXPRESSIONS;
use crate::logic::policy::tests::rules;
use crate::logic::policy::{DefaultObeys, DefaultOrigin, DefaultRole};

fn role(name: &str) -> RoleArn {
    rules().base.role(name).unwrap()
}

fn about(namespace: &str, serial: u64, list: &str, format: Format, about: About) -> ListQuestion {
    ListQuestion { namespace: namespace.into(), list: Arc::new(RoleList::parse(list, format)), serial, about }
}

fn about_role(namespace: &str, serial: u64, name: &str) -> ListQuestion {
    about(namespace, serial, r#"["app"]"#, Format::Glob, About::Role(role(name)))
}

/// The namespace whose turn it is, with its roles, or `rest until`/`nothing`.
fn next(queue: &mut EvaluationQueue, now: u64) -> String {
    match queue.next(Mono::from_millis(now), &rules().base) {
        NextEvaluation::Evaluate(evaluation) => {
            let roles: Vec<&str> = evaluation.roles.iter().map(|(role, _)| role.name()).collect();
            let text = format!("{} {}", evaluation.namespace, roles.join(" "));
            queue.finish(&evaluation.namespace, evaluation.serial, Duration::ZERO, Mono::from_millis(now));
            text
        }
        NextEvaluation::Rest(until) => format!("rest until {}", until.micros() / 1_000),
        NextEvaluation::Nothing => "nothing".to_owned(),
    }
}

fn evaluate(question: ListQuestion) -> ListResults {
    let mut queue = EvaluationQueue::default();
    queue.ask(question);
    let NextEvaluation::Evaluate(mut evaluation) = queue.next(Mono::default(), &rules().base) else {
        panic!("nothing to do")
    };
    while evaluation.step(&rules().base) == EvaluationProgress::More {}
    evaluation.into_results()
}

/// The findings about the entries of a list.
fn findings(format: Format, list: &str) -> Vec<String> {
    let results = evaluate(about("shop", 1, list, format, About::Entries));
    results.findings.unwrap().into_iter().map(String::from).collect()
}

#[test]
fn an_evaluation_finds_the_first_entry_that_allows_a_role() {
    let list = r#"["(", "other", "a.*", "app"]"#;
    for format in [Format::Glob, Format::Regexp, Format::RegexpUnanchored] {
        for name in ["app", "other", "web"] {
            let results = evaluate(about("shop", 1, list, format, About::Role(role(name))));
            let expected = RoleList::parse(list, format).first_match(&role(name), &rules().base);
            assert_eq!(results.matches, [(role(name), expected)], "{format:?} {name}");
        }
    }
}

#[test]
fn entries_that_allow_more_than_they_seem_to_are_reported() {
    for (format, list, named) in [
        (Format::Glob, r#"["app", "team/*"]"#, vec![]),
        (Format::Glob, r#"["*"]"#, vec!["`*` allows every role below the base"]),
        (Format::Glob, r#"["arn:*"]"#, vec!["`arn:*` allows every role of every account"]),
        (Format::Regexp, r#"["app"]"#, vec![]),
        (Format::Regexp, r#"[".*"]"#, vec!["`.*` allows every role below the base"]),
        (Format::Regexp, r#"["arn:.*"]"#, vec!["`arn:.*` allows every role of every account"]),
        (Format::RegexpUnanchored, r#"["app$"]"#, vec![]),
        (Format::RegexpUnanchored, r#"["app"]"#, vec!["`app` has no `$` at its end: it also allows any suffix"]),
        (Format::RegexpUnanchored, r#"[""]"#, vec!["`` allows every role below the base"]),
    ] {
        assert_eq!(findings(format, list), named, "{format:?} {list}");
    }
    let torn = findings(Format::Regexp, r#"["(", "app"]"#);
    assert!(torn.len() == 1 && torn[0].starts_with("the pattern `(` allows nothing"), "{torn:?}");
}

#[test]
fn findings_about_a_list_are_limited() {
    let named = findings(Format::Glob, &format!("[{}\"*\"]", "\"*\",".repeat(99)));
    assert_eq!((named.len(), named.last().map(String::as_str)), (9, Some("92 more of its entries are doubtful")));
}

#[test]
fn namespaces_take_turns_and_a_role_is_queued_once() {
    let mut queue = EvaluationQueue::default();
    for (namespace, name) in [("a", "x"), ("a", "y"), ("b", "x"), ("a", "y"), ("c", "z")] {
        queue.ask(about_role(namespace, 1, name));
    }
    let turns: Vec<String> = (0..4).map(|_| next(&mut queue, 0)).collect();
    assert_eq!(turns, ["a x y", "b x", "c z", "nothing"]);
}

#[test]
fn a_slow_list_does_not_delay_other_namespaces() {
    let mut queue = EvaluationQueue::default();
    queue.ask(about_role("slow", 1, "x"));
    let NextEvaluation::Evaluate(evaluation) = queue.next(Mono::default(), &rules().base) else {
        panic!("nothing to do")
    };
    queue.put_back(*evaluation, Duration::from_millis(10), Mono::from_millis(10));
    queue.ask(about_role("shop", 1, "app"));
    queue.ask(about_role("slow", 2, "y"));
    let turns: Vec<String> = [11, 12, 49, 50].into_iter().map(|now| next(&mut queue, now)).collect();
    assert_eq!(turns, ["shop app", "rest until 50", "rest until 50", "slow y"]);
}

/// Two watches add questions, so a question about an earlier list may come after one about a later list.
#[test]
fn questions_about_an_earlier_list_are_dropped() {
    let mut queue = EvaluationQueue::default();
    for (serial, name) in [(1, "early"), (2, "new"), (1, "late")] {
        queue.ask(about_role("shop", serial, name));
    }
    assert_eq!([next(&mut queue, 0), next(&mut queue, 0)], ["shop new", "nothing"]);
}

#[test]
fn a_full_queue_drops_questions_of_the_namespace_with_the_most() {
    let mut queue = EvaluationQueue::default();
    queue.ask(about_role("shop", 1, "app"));
    for number in 0..9_000 {
        queue.ask(about_role("crowd", 1, &format!("r{number}")));
    }
    assert_eq!(next(&mut queue, 0), "shop app");
    let turns = std::iter::from_fn(|| Some(next(&mut queue, 0)).filter(|turn| turn != "nothing"));
    assert_eq!(turns.map(|turn| turn.split(' ').count() - 1).sum::<usize>(), 8_191);
}

/// Even for the slowest list, each step is one match of one expression, and the number of steps is bounded.
#[test]
fn the_worst_list_is_evaluated_in_steps() {
    let entry = "((((.{0,9}){0,9})*)*)*z";
    let list = format!("[{}\"app\"]", format!("\"{entry}\",").repeat(MOST_EXPRESSIONS - 1));
    let mut queue = EvaluationQueue::default();
    queue.ask(about("shop", 1, &list, Format::Regexp, About::Role(role("app"))));
    let NextEvaluation::Evaluate(mut evaluation) = queue.next(Mono::default(), &rules().base) else {
        panic!("nothing to do")
    };
    let steps =
        std::iter::from_fn(|| (evaluation.step(&rules().base) == EvaluationProgress::More).then_some(())).count();
    assert_eq!(steps, 3 * MOST_EXPRESSIONS);
    assert_eq!(evaluation.into_results().matches, [(role("app"), Some(99))]);
}

/// A World with unevaluated lists.
fn unevaluated(pods: Vec<Pod>, namespaces: Vec<Namespace>, rules: &Rules) -> World {
    let mut world = World::default();
    for (resource, objects) in [
        (Resource::Pods, pods.into_iter().map(Object::Pod).collect::<Vec<_>>()),
        (Resource::Namespaces, namespaces.into_iter().map(Object::Namespace).collect()),
    ] {
        let events = objects.into_iter().map(Event::InitApply);
        for event in std::iter::once(Event::Init).chain(events).chain([Event::InitDone]) {
            world.apply(resource, ParsedEvent::new(event, rules.reading()));
        }
    }
    world
}

fn restricted() -> Rules {
    Rules { restrictions: Some(Format::Glob), ..rules() }
}

/// The questions after a change: the namespace, and the role or `entries`.
fn asked(world: &World, rules: &Rules, change: &Change) -> Vec<String> {
    let text = |question: ListQuestion| match question.about {
        About::Role(role) => format!("{} {}", question.namespace, role.name()),
        About::Entries => format!("{} entries", question.namespace),
    };
    questions(world, rules, change).into_iter().map(text).collect()
}

#[test]
fn a_change_opens_questions_once_the_world_is_ready() {
    let lists = [("shop", r#"["app"]"#), ("other", r#"["*"]"#), ("void", "[]")];
    let namespaces: Vec<Namespace> = lists.into_iter().map(|(name, list)| namespace(name, Some(list))).collect();
    let namespaces = [namespaces, vec![namespace("none", None)]].concat();
    let mut world = unevaluated(vec![pod("a", "10.0.0.1")], namespaces, &restricted());
    let listed = Change::Listed(Resource::Namespaces, Novelty::News);
    assert_eq!(asked(&world, &restricted(), &listed), ["other entries", "shop entries", "shop app"]);
    let held = world.pods().next().unwrap().clone();
    assert_eq!(asked(&world, &restricted(), &Change::PodApplied(held.clone(), Novelty::News)), ["shop app"]);
    assert!(asked(&world, &restricted(), &Change::Nothing).is_empty());
    let late = Event::Apply(Object::Namespace(namespace("shop", Some(r#"["web"]"#))));
    let change = world.apply(Resource::Namespaces, ParsedEvent::new(late, restricted().reading()));
    assert_eq!(asked(&world, &restricted(), &change), ["shop entries", "shop app"]);
    // nothing restricts, or nothing can be decided yet
    assert!(asked(&world, &rules(), &listed).is_empty());
    assert!(asked(&World::default(), &restricted(), &Change::PodApplied(held, Novelty::News)).is_empty());
}

#[test]
fn evaluated_roles_are_not_queued_again() {
    let namespaces = vec![namespace("shop", Some(r#"["app"]"#))];
    let mut world = unevaluated(vec![pod("a", "10.0.0.1")], namespaces, &restricted());
    let all = Change::Listed(Resource::Pods, Novelty::News);
    for question in questions(&world, &restricted(), &all) {
        world.record(evaluate(question));
    }
    assert!(asked(&world, &restricted(), &all).is_empty());
}

#[test]
fn an_exempt_role_is_not_queued() {
    let fallback = DefaultRole { role: role("app"), origin: DefaultOrigin::Given, obeys: DefaultObeys::Nothing };
    let exempting = Rules { default_role: Some(fallback), ..restricted() };
    let world = unevaluated(vec![pod("a", "10.0.0.1")], vec![namespace("shop", Some(r#"["web"]"#))], &exempting);
    let held = world.pods().next().unwrap();
    assert!(question(&world, &exempting, held).is_none() && question(&world, &restricted(), held).is_some());
}

#[test]
fn everything_open_about_roles_is_answered_at_once_where_nothing_waits() {
    let names: Vec<String> = (0..150).map(|number| format!("r{number}")).collect();
    let pods = names
        .iter()
        .enumerate()
        .map(|(number, name)| Pod { role: Some(name.clone()), ..pod(name, &format!("10.0.1.{number}")) });
    let mut world = unevaluated(pods.collect(), vec![namespace("shop", Some(r#"["x", "r1*"]"#))], &restricted());
    evaluate_all(&mut world, &restricted());
    let held = world.namespace("shop").unwrap().allowed_roles.as_ref().unwrap();
    for name in names {
        let expected = name.starts_with("r1").then_some(1);
        assert_eq!(held.first_match(&role(&name)), Some(expected), "{name}");
    }
}

#[test]
fn without_a_base_an_entry_that_anything_may_come_before_is_named() {
    let doubts = |base: &BaseArn, list: &str| {
        let mut queue = EvaluationQueue::default();
        queue.ask(about("shop", 1, list, Format::RegexpUnanchored, About::Entries));
        let NextEvaluation::Evaluate(mut evaluation) = queue.next(Mono::default(), base) else { panic!("no turn") };
        while evaluation.step(base) == EvaluationProgress::More {}
        evaluation.into_results().findings.unwrap().len()
    };
    for (base, list, doubtful) in [
        (BaseArn::default(), r#"["arn:aws:iam::123456789012:role/app$"]"#, 1),
        (BaseArn::default(), r#"["^arn:aws:iam::123456789012:role/app$"]"#, 0),
        (rules().base, r#"["app$"]"#, 0),
    ] {
        assert_eq!(doubts(&base, list), doubtful, "{list}");
    }
}

/// Takes the next evaluation.
fn begin(queue: &mut EvaluationQueue, now: u64) -> Evaluation {
    match queue.next(Mono::from_millis(now), &rules().base) {
        NextEvaluation::Evaluate(evaluation) => *evaluation,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_evaluation_is_resumed_unless_its_list_was_replaced() {
    let mut queue = EvaluationQueue::default();
    queue.ask(about_role("shop", 1, "app"));
    let begun = begin(&mut queue, 0);
    queue.put_back(begun, Duration::ZERO, Mono::default());
    assert_eq!(next(&mut queue, 1), "shop app");
    queue.ask(about_role("shop", 1, "app"));
    let begun = begin(&mut queue, 2);
    queue.ask(about_role("shop", 2, "web"));
    queue.put_back(begun, Duration::ZERO, Mono::default());
    assert_eq!([next(&mut queue, 3), next(&mut queue, 3)], ["shop web", "nothing"]);
}

#[test]
fn a_role_is_queued_again_only_after_its_evaluation() {
    let mut queue = EvaluationQueue::default();
    queue.ask(about_role("shop", 1, "app"));
    let begun = begin(&mut queue, 0);
    queue.ask(about_role("shop", 1, "app"));
    queue.finish("shop", 2, Duration::ZERO, Mono::default());
    queue.ask(about_role("shop", 1, "app"));
    assert_eq!(next(&mut queue, 0), "nothing");
    queue.ask(about_role("shop", 1, "app"));
    let begun_again = begin(&mut queue, 0);
    queue.finish("shop", 1, Duration::ZERO, Mono::default());
    queue.ask(about_role("shop", 1, "app"));
    assert_eq!(next(&mut queue, 0), "shop app");
    assert_eq!(begun.roles, begun_again.roles);
}

/// Roles that were taken, replaced or dropped don't count as waiting any more.
#[test]
fn only_waiting_roles_count_towards_the_limit() {
    let fill = |queue: &mut EvaluationQueue, serial: u64, names: std::ops::Range<usize>| {
        names.for_each(|number| queue.ask(about_role("crowd", serial, &format!("r{number}"))));
    };
    let drained = |queue: &mut EvaluationQueue| {
        let turns = std::iter::from_fn(|| Some(next(queue, 0)).filter(|turn| turn != "nothing"));
        turns.map(|turn| turn.split(' ').count() - 1).sum::<usize>()
    };
    let mut queue = EvaluationQueue::default();
    fill(&mut queue, 1, 0..5_000);
    fill(&mut queue, 2, 0..8_000);
    assert_eq!(drained(&mut queue), 8_000, "a list was replaced");
    fill(&mut queue, 2, 0..9_000);
    assert_eq!(next(&mut queue, 0).split(' ').count(), 65);
    fill(&mut queue, 2, 20_000..20_064);
    assert_eq!(drained(&mut queue), 8_192, "some were dropped, some taken out");
}

#[test]
fn roles_and_entries_are_evaluated_together() {
    let mut queue = EvaluationQueue::default();
    for subject in [About::Role(role("app")), About::Entries, About::Role(role("web"))] {
        queue.ask(about("shop", 1, r#"["a*", "*"]"#, Format::Glob, subject));
    }
    let mut evaluation = begin(&mut queue, 0);
    while evaluation.step(&rules().base) == EvaluationProgress::More {}
    let results = evaluation.into_results();
    assert_eq!(results.matches, [(role("app"), Some(0)), (role("web"), Some(1))]);
    assert_eq!(results.findings.unwrap(), [Box::<str>::from("`*` allows every role below the base")]);
}
