use std::time::Duration;

use super::*;
use crate::logic::base::time::Mono;
use crate::logic::policy::pattern::list::MOST_EXPRESSIONS;
use crate::logic::policy::tests::rules;

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
