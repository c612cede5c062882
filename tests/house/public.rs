//! What the crate lets out: `run`, and in `for_tests` what tests use, item by item. Whatever else nobody uses, the compiler
//! sees.

use std::fs;

use crate::{complain, root, sources};

/// A public room would hide its unused items from the compiler.
#[test]
fn no_room_is_public() {
    let map = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let public: Vec<&str> = map.lines().filter(|line| line.starts_with("pub ")).collect();
    assert_eq!(public, ["pub mod for_tests;", "pub use cli::command::run;"]);
}

/// So would a whole module.
#[test]
fn no_module_is_let_out_whole() {
    let text = let_out();
    assert!(!text.contains('*') && !text.contains("mod "), "for_tests lets items out, one by one");
    let code: String = sources("src").into_iter().map(|source| source.production).collect();
    let is_function = |item: &str| ["(", "<"].iter().any(|end| code.contains(&format!("fn {item}{end}")));
    let small = items(&text).into_iter().map(|(item, _)| item).filter(|item| item.starts_with(char::is_lowercase));
    let modules = small.filter(|item| !is_function(item));
    complain(&modules.map(|item| format!("for_tests lets the module `{item}` out")).collect::<Vec<_>>());
}

/// And an item that no test uses would never be seen to be unused.
#[test]
fn every_item_that_is_let_out_is_used_by_tests() {
    let code: String = sources("tests").into_iter().map(|source| source.whole).collect();
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let words: std::collections::HashSet<&str> = code.split(|c| !is_part(c)).collect();
    let text = let_out();
    let items = items(&text);
    assert!(items.len() > 100, "{} items", items.len());
    let unused = items.into_iter().filter(|(_, name)| !words.contains(name));
    complain(&unused.map(|(_, name)| format!("no test uses `{name}` of for_tests")).collect::<Vec<_>>());
}

fn let_out() -> String {
    fs::read_to_string(root().join("src/for_tests.rs")).unwrap()
}

/// Each item's own name, and the name by which tests have it.
fn items(text: &str) -> Vec<(&str, &str)> {
    let paths = text.split("use crate::").skip(1).flat_map(|path| path.split(';').next().unwrap().split(['{', ',']));
    let last = paths.map(|path| path.trim().trim_end_matches('}').trim_end().rsplit("::").next().unwrap());
    let items = last.filter(|item| !item.is_empty());
    items.map(|item| item.split_once(" as ").unwrap_or((item, item))).collect()
}
