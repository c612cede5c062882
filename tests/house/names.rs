//! One name, one meaning: no type name stands for two things.

use std::collections::BTreeMap;

use crate::{complain, sources};

/// A name may stand twice only where the one module is the other's parent.
#[test]
fn no_two_types_have_one_name() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources("src") {
        for name in types_of(&source.production) {
            places.entry(name.to_owned()).or_default().push(source.path.clone());
        }
    }
    assert!(places.len() > 300, "only {} types were found", places.len());
    let mut faults = Vec::new();
    for (name, paths) in &places {
        for (at, path) in paths.iter().enumerate() {
            for other in paths[at + 1..].iter().filter(|other| !are_parent_and_child(path, other)) {
                faults.push(format!("`{name}` is a type of {path} and another of {other}"));
            }
        }
    }
    complain(&faults);
}

fn types_of(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("pub").map_or(line, |rest| rest.split_once(") ").map_or(rest, |(_, item)| item));
        let line = line.trim_start();
        let named = ["struct ", "enum ", "trait ", "union "].iter().find_map(|kind| line.strip_prefix(kind))?;
        named.split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|name| !name.is_empty())
    })
}

fn are_parent_and_child(one: &str, other: &str) -> bool {
    let module = |path: &str| path.trim_end_matches(".rs").trim_end_matches("/mod").to_owned();
    let (one, other) = (module(one), module(other));
    let is_child = |child: &str, parent: &str| child.rsplit_once('/').is_some_and(|(above, _)| above == parent);
    is_child(&one, &other) || is_child(&other, &one)
}

#[test]
fn types_are_found_and_parents_told_from_others() {
    let text = "struct A;\npub enum B {\n    pub(super) trait C<T> {\npub(in crate::x) union D {\nlet structure = 1;\n";
    assert_eq!(types_of(text).collect::<Vec<_>>(), ["A", "B", "C", "D"]);
    for (one, other, are) in [
        ("src/logic/sts.rs", "src/logic/sts/form.rs", true),
        ("src/api/metadata/mod.rs", "src/api/metadata/answer.rs", true),
        ("src/logic/sts.rs", "src/clients/sts.rs", false),
        ("src/logic/sts/form.rs", "src/logic/sts/answer.rs", false),
        ("src/logic/sts.rs", "src/logic/sts.rs", false),
    ] {
        assert_eq!(are_parent_and_child(one, other), are, "{one} {other}");
    }
}
