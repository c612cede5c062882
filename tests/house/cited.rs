//! Tests that the map and the documents cite exist.

use std::fs;
use std::path::Path;

use super::{complain, root, sources};

/// Where tests are cited: the map of the tree, and every page.
fn pages() -> Vec<(String, String)> {
    let mut paths = vec![root().join("src/lib.rs"), root().join("README.md"), root().join("CHANGELOG.md")];
    for folder in ["manifests/docs", ".github"] {
        let entries = fs::read_dir(root().join(folder)).into_iter().flatten();
        paths.extend(entries.map(|entry| entry.unwrap().path()).filter(|path| is_page(path)));
    }
    paths.into_iter().map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap())).collect()
}

fn is_page(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "md")
}

/// Words in backticks that are a sentence of four words or more. Names of metrics are none.
fn cited(page: &str) -> Vec<&str> {
    let is_name = |word: &&str| {
        let letters = word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        letters && word.matches('_').count() >= 3 && !word.starts_with("kube2iam_")
    };
    page.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).filter(is_name).collect()
}

#[test]
fn every_test_that_is_cited_exists() {
    let code: String = sources("src").into_iter().chain(sources("tests")).map(|source| source.whole).collect();
    let mut faults = Vec::new();
    let mut count = 0;
    for (path, page) in pages() {
        for name in cited(&page) {
            count += 1;
            if !code.contains(&format!("fn {name}(")) {
                faults.push(format!("{path}: there is no test `{name}`"));
            }
        }
    }
    complain(&faults);
    assert!(count > 30, "{count} tests are cited");
}
