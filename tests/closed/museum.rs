//! The museum of broken agents names its guards: here it is checked that they are on duty.

use std::fs;
use std::path::Path;

const MUSEUM: &str = include_str!("../../src/logic/known_vulnerabilities.rs");

#[test]
fn every_exhibit_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = String::new();
    for directory in ["src", "tests"] {
        gather(&root.join(directory), &mut sources);
    }
    let prose: String =
        MUSEUM.lines().filter_map(|line| line.strip_prefix("//!")).map(str::trim).collect::<Vec<_>>().join("\n");
    let exhibits: Vec<&str> = prose.split("\n- ").skip(1).collect();
    assert!(exhibits.len() >= 20, "{} exhibits", exhibits.len());
    for exhibit in exhibits {
        let names: Vec<&str> = exhibit.split('`').skip(1).step_by(2).filter(|word| is_test_name(word)).collect();
        assert!(!names.is_empty(), "an exhibit names no test: {exhibit}");
        for name in names {
            let tested = sources.contains(&format!("\nfn {name}(")) || sources.contains(&format!("\n    fn {name}("));
            assert!(tested, "there is no test `{name}`, but the museum names it");
        }
    }
}

/// A claim of several words; single words in backticks are something else.
fn is_test_name(word: &str) -> bool {
    word.matches('_').count() >= 2 && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn gather(directory: &Path, sources: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}
