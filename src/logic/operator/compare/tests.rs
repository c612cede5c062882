use super::*;
use crate::logic::cluster::kubernetes::{Event, Object, Pod, Resource};
use crate::logic::cluster::world::tests::{apply_event, listed, namespace, pod};
use crate::logic::policy::tests::rules;
use crate::logic::policy::{DefaultObeys, DefaultOrigin, DefaultRole};

const NOON: Wall = Wall::from_unix_seconds(1_800_000_000);

/// Compares a pod at 10.0.0.1 with kube2iam's entry there.
fn check(ours: Option<Pod>, store: &str, rules: &Rules, list: &str) -> Vec<String> {
    let mut world = listed(ours.into_iter().collect(), vec![]);
    let event = Event::Apply(Object::Namespace(namespace("shop", Some(list))));
    let format = rules.restrictions.unwrap_or(Format::Glob);
    apply_event(&mut world, Resource::Namespaces, event, format);
    let theirs = their_answers(&Store::read(store.as_bytes()).unwrap(), rules);
    let comparison = compare(&world, rules, &TokenKeys::new(&[1; 32], NOON), &theirs, NOON);
    let different = comparison.rows.iter().filter(|row| row.outcome != Agreement::Alike);
    different.map(|row| format!("{}: {}", row.outcome.word(), row.text)).collect()
}

fn store(role: &str, list: &str) -> String {
    format!(
        r#"{{"rolesByIP":{{"10.0.0.1":"{role}"}},"namespaceByIP":{{"10.0.0.1":"shop"}},"rolesByNamespace":{{"shop":{list},"empty":null}}}}"#
    )
}

#[test]
fn differences_show_both_answers() {
    let app = || Some(pod("a", "10.0.0.1"));
    let bare = || Some(Pod { role: None, ..pod("a", "10.0.0.1") });
    let role = DefaultRole {
        role: rules().base.role("fallback").unwrap(),
        origin: DefaultOrigin::Given,
        obeys: DefaultObeys::Nothing,
    };
    let default = Rules { default_role: Some(role), ..rules() };
    let glob = Rules { restrictions: Some(Format::Glob), ..rules() };
    let regexp = Rules { restrictions: Some(Format::Regexp), ..rules() };
    let nothing = r#"{"rolesByIP":{},"namespaceByIP":{},"rolesByNamespace":{}}"#;
    for (ours, store, rules, list, differences) in [
        (app(), store("app", "null"), &rules(), "[]", vec![]),
        (bare(), store("", "null"), &rules(), "[]", vec![]),
        (bare(), store("", "null"), &default, "[]", vec![]),
        (app(), store("app", r#"["a*"]"#), &glob, r#"["a*"]"#, vec![]),
        (app(), store("app", r#"["x"]"#), &glob, r#"["x"]"#, vec![]),
        (None, nothing.to_owned(), &rules(), "[]", vec![]),
        (
            app(),
            store("web", "null"),
            &rules(),
            "[]",
            vec![
                "other_role: kube2iam gives `arn:aws:iam::123456789012:role/web`, this agent would give `arn:aws:iam::123456789012:role/app`",
            ],
        ),
        (
            None,
            store("app", "null"),
            &rules(),
            "[]",
            vec![
                "only_theirs: kube2iam gives `arn:aws:iam::123456789012:role/app`, this agent would refuse (unknown_pod); hostNetwork pods and finished ones have no role here",
            ],
        ),
        (
            app(),
            nothing.to_owned(),
            &rules(),
            "[]",
            vec![
                "only_ours: kube2iam refuses (it knows no pod there), this agent would give `arn:aws:iam::123456789012:role/app`",
            ],
        ),
        (
            app(),
            store("app", r#"["ap"]"#),
            &regexp,
            r#"["ap"]"#,
            vec![
                "only_theirs: kube2iam gives `arn:aws:iam::123456789012:role/app`, this agent would refuse (role_not_allowed); expressions match the whole ARN here, --namespace-restriction-format=regexp-unanchored is kube2iam's way",
            ],
        ),
        (
            app(),
            store("app", "null"),
            &glob,
            r#"["app"]"#,
            vec![
                "only_ours: kube2iam refuses (the namespace doesn't allow the role), this agent would give `arn:aws:iam::123456789012:role/app`",
            ],
        ),
    ] {
        assert_eq!(check(ours, &store, rules, list), differences, "{store}");
    }
}

#[test]
fn other_pages_than_a_store_are_rejected() {
    for page in ["<html>404</html>", "[]", r#"{"rolesByIP":3}"#, ""] {
        assert!(Store::read(page.as_bytes()).unwrap_err().starts_with("it is not kube2iam's store"), "{page}");
    }
}

fn row(address: &str, outcome: Agreement, text: &str) -> Row {
    Row { address: address.parse().unwrap(), pod: None, outcome, text: text.to_owned() }
}

#[test]
fn a_difference_must_be_found_by_two_comparisons() {
    let first = Comparison {
        rows: vec![row("10.0.0.1", Agreement::OnlyOurs, "a"), row("10.0.0.2", Agreement::OtherRole, "b")],
    };
    let alike = row("10.0.0.2", Agreement::Alike, "c");
    let lasting = row("10.0.0.1", Agreement::OnlyOurs, "a");
    let fresh = row("10.0.0.3", Agreement::OnlyTheirs, "d");
    let other = row("10.0.0.1", Agreement::OnlyOurs, "another role");
    for (second, kept) in [
        (vec![lasting.clone(), fresh.clone(), alike.clone()], vec![lasting.clone(), alike.clone()]),
        (vec![other, alike.clone()], vec![alike]),
        (vec![], vec![]),
    ] {
        assert_eq!(first.confirmed_by(Comparison { rows: second }), Comparison { rows: kept });
    }
}

#[test]
fn the_table_has_differences_first_and_a_summary() {
    let mut world = listed(vec![pod("a", "10.0.0.1"), pod("b", "10.0.0.2")], vec![]);
    apply_event(
        &mut world,
        Resource::Namespaces,
        Event::Apply(Object::Namespace(namespace("shop", None))),
        Format::Glob,
    );
    let page = r#"{"rolesByIP":{"10.0.0.1":"app","10.0.0.2":"web"},"namespaceByIP":{},"rolesByNamespace":{}}"#;
    let theirs = their_answers(&Store::read(page.as_bytes()).unwrap(), &rules());
    let text = compare(&world, &rules(), &TokenKeys::new(&[1; 32], NOON), &theirs, NOON).text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("ADDRESS   POD") && lines[0].ends_with("OUTCOME     REASON"), "{text}");
    assert!(lines[1].starts_with("10.0.0.2  ") && lines[1].contains("  other_role  kube2iam gives `"), "{text}");
    assert!(lines[2].starts_with("10.0.0.1  ") && lines[2].contains("  alike       arn:aws:iam::"), "{text}");
    assert_eq!(lines[3..], ["", "1 addresses alike, 1 different"]);
}

#[test]
fn differences_are_counted() {
    let row = |outcome| Row { address: "10.0.0.1".parse().unwrap(), pod: None, outcome, text: String::new() };
    let outcomes = [Agreement::Alike, Agreement::OtherRole, Agreement::Alike, Agreement::OnlyOurs, Agreement::Alike];
    let comparison = Comparison { rows: outcomes.map(row).to_vec() };
    assert_eq!(comparison.different(), 2);
    assert!(comparison.text().ends_with("\n3 addresses alike, 2 different\n"), "{}", comparison.text());
}
