//! Links lead somewhere, contents lists list the contents, named files and tests exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::page::{self, Page, top};
use crate::tests_of_tree::TestsOfTree;

/// What a reader of the front page can take in.
const LONGEST_README: usize = 300;

#[test]
fn the_readme_is_a_front_page() {
    let lines = page::read("README.md").text.lines().count();
    assert!(lines <= LONGEST_README, "{lines} lines; the rest belongs under manifests/docs");
}

#[test]
fn links_and_their_anchors_lead_somewhere() {
    let pages: BTreeMap<String, Page> = page::all().into_iter().map(|page| (page.name.clone(), page)).collect();
    let mut dead = Vec::new();
    let mut count = 0;
    for page in pages.values() {
        for link in page.links().into_iter().filter(|link| !link.contains("://")) {
            count += 1;
            let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
            let name = if file.is_empty() { page.name.clone() } else { normal(&page.folder().join(file)) };
            let leads = match (pages.get(&name), anchor) {
                (Some(target), Some(anchor)) => target.anchors().iter().any(|known| known == anchor),
                (_, None) => top().join(&name).exists(),
                (None, Some(_)) => false,
            };
            if !leads {
                dead.push(format!("{}: {link}", page.name));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
    assert!(count > 50, "only {count} links were found");
}

/// The path without `.` and `..`.
fn normal(path: &Path) -> String {
    let mut parts: Vec<Component<'_>> = Vec::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::CurDir => {}
            other => parts.push(other),
        }
    }
    parts.iter().collect::<PathBuf>().to_str().unwrap().to_owned()
}

#[test]
fn every_page_begins_with_a_list_of_its_contents() {
    for page in page::all().iter().filter(|page| page.is_of_docs()) {
        let headings: Vec<&str> = page.headings().filter(|(depth, _)| *depth == 2).map(|(_, text)| text).collect();
        let listed = page.prose().take_while(|line| !line.starts_with("## "));
        let listed: Vec<&str> = listed.filter_map(|line| line.strip_prefix("- [")?.split(']').next()).collect();
        assert_eq!(listed, headings, "{}", page.name);
        assert!(listed.len() > 1, "{}", page.name);
    }
}

#[test]
fn every_page_is_reached_from_the_readme() {
    let readme = page::read("README.md");
    let linked: BTreeSet<&str> = readme.links().into_iter().map(|link| link.split('#').next().unwrap()).collect();
    for page in page::all().iter().filter(|page| page.name != "README.md" && !page.name.contains("/chart/")) {
        assert!(linked.contains(&*page.name), "{} is not linked", page.name);
    }
}

#[test]
fn files_that_pages_name_exist() {
    let mut missing = Vec::new();
    for page in page::all() {
        let named = page.code_spans().into_iter().map(|span| span.split([':', ' ']).next().unwrap_or(span));
        let named = named.filter(|name| {
            ["manifests/", "tests/", "src/", ".ci/", ".github/"].iter().any(|top| name.starts_with(top))
        });
        let named = named.filter(|name| !name.contains(['{', '*', '$', '<', '…']));
        missing.extend(named.filter(|name| !top().join(name).exists()).map(|name| format!("{}: {name}", page.name)));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// A name in backticks with this many words is that of a test.
const FEWEST_WORDS: usize = 4;

#[test]
fn every_test_that_pages_or_the_map_cite_exists() {
    let tests = TestsOfTree::find();
    let mut pages = page::all();
    pages.push(page::read("src/lib.rs"));
    let mut missing = Vec::new();
    let mut count = 0;
    for page in pages {
        for span in page.text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)) {
            let is_name = span.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if !is_name || span.split('_').count() < FEWEST_WORDS || span.starts_with("kube2iam_") {
                continue;
            }
            count += 1;
            if !tests.has(span) {
                missing.push(format!("{}: {span}", page.name));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(count > 60, "only {count} tests are cited");
}
