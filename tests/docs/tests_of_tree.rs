//! The tests and benches of the tree, by name, and how each is run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::page::top;

pub(crate) struct TestsOfTree {
    /// The file of each, from the top of the project
    files: BTreeMap<String, String>,
}

impl TestsOfTree {
    pub(crate) fn find() -> Self {
        let mut files = BTreeMap::new();
        for folder in ["src", "tests"] {
            collect(&top().join(folder), &mut files);
        }
        assert!(files.len() > 500, "only {} tests were found", files.len());
        Self { files }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// The word behind `cargo test`: `--lib`, or `--test` with the name of a program.
    pub(crate) fn program_of(&self, name: &str) -> Option<String> {
        let file = self.files.get(name)?;
        Some(match file.strip_prefix("tests/") {
            Some(rest) => format!("--test {}", rest.split(['/', '.']).next().unwrap()),
            None => "--lib".to_owned(),
        })
    }
}

fn collect(folder: &Path, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let name = path.strip_prefix(top()).unwrap().to_str().unwrap().to_owned();
            files.extend(tests_in(&text).map(|test| (test, name.clone())));
        }
    }
}

/// The functions with `#[test]` before them, and whatever else stands between.
fn tests_in(text: &str) -> impl Iterator<Item = String> {
    text.split("#[test]").skip(1).filter_map(|rest| {
        let (_, rest) = rest.split_once("fn ")?;
        Some(rest.split('(').next()?.trim().to_owned())
    })
}
