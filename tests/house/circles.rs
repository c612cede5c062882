//! Which file uses which, read from the paths in the code, and whether files of different folders use each other in a
//! circle. `x.rs` and the files of its folder `x` may.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Source, complain, sources};

/// A module's path below the crate.
type Module = Vec<String>;

#[test]
fn no_circle_between_files_of_different_folders() {
    let uses = uses(&sources("src"));
    let reach: BTreeMap<&Module, BTreeSet<&Module>> =
        uses.keys().map(|module| (module, reached(&uses, module))).collect();
    let mut faults = Vec::new();
    for (module, used) in &uses {
        for other in used.iter().filter(|other| are_apart(other, module)) {
            if reach.get(other).is_some_and(|back| back.contains(module)) {
                faults.push(format!("{} uses {}, and that leads back", module.join("::"), other.join("::")));
            }
        }
    }
    complain(&faults);
}

#[test]
fn the_reader_of_paths_sees_what_a_file_uses() {
    let text =
        "use crate::a::{b::{self, C}, d as e};\nuse super::f;\nfn g() { super::super::h::i(); crate::j::K::l(); }";
    let here = module(&["m", "n", "o"]);
    let seen = targets(text, &here);
    for path in [&["a", "b"][..], &["a", "b", "C"], &["a", "d"], &["m", "n", "f"], &["m", "h", "i"], &["j", "K", "l"]] {
        assert!(seen.contains(&module(path)), "{path:?} is missing from {seen:?}");
    }
}

/// Whether two files stand in different folders, and neither is `x.rs`, the front of the folder `x` that the other is in.
fn are_apart(one: &Module, other: &Module) -> bool {
    let folder = |module: &Module| module[..module.len() - 1].to_vec();
    folder(one) != folder(other) && !one.starts_with(other) && !other.starts_with(one)
}

fn uses(sources: &[Source]) -> BTreeMap<Module, BTreeSet<Module>> {
    let sources: BTreeMap<Module, &Source> = sources
        .iter()
        .filter(|source| !source.production.is_empty())
        .map(|source| (module_of(&source.path), source))
        .filter(|(module, _)| !module.is_empty())
        .collect();
    let file_of = |path: &Module| {
        (1..=path.len()).rev().map(|length| path[..length].to_vec()).find(|module| sources.contains_key(module))
    };
    let used = |(here, source): (&Module, &&Source)| {
        let files = targets(&source.production, here).iter().filter_map(file_of).filter(|file| file != here).collect();
        (here.clone(), files)
    };
    sources.iter().map(used).collect()
}

/// All that can be reached from `start` in one step or more.
fn reached<'u>(uses: &'u BTreeMap<Module, BTreeSet<Module>>, start: &Module) -> BTreeSet<&'u Module> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&Module> = uses[start].iter().collect();
    while let Some(module) = next.pop() {
        if seen.insert(module) {
            next.extend(uses.get(module).into_iter().flatten());
        }
    }
    seen
}

/// `src/a/b.rs` is `a::b`; the roots of the crate and its build script have no path.
fn module_of(path: &str) -> Module {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    if ["lib", "main", "build"].contains(&path) { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// The paths that a text names in `here`, from the top of the crate.
fn targets(text: &str, here: &[String]) -> BTreeSet<Module> {
    let mut found = BTreeSet::new();
    for start in ["crate::", "super::"] {
        for (at, _) in text.match_indices(start) {
            let inside = text[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
            if !inside {
                leaves(&text[at..], &[], &mut |path| found.extend(absolute(path, here)));
            }
        }
    }
    found
}

/// Calls `each` with every path of the tree that `text` begins with, and returns what follows it.
fn leaves<'t>(text: &'t str, before: &[&'t str], each: &mut dyn FnMut(&[&str])) -> &'t str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let path: Vec<&str> = before.iter().copied().chain([&text[..end]]).collect();
    let rest = &text[end..];
    let Some(rest) = rest.strip_prefix("::") else {
        each(&path);
        return rest;
    };
    let Some(mut rest) = rest.strip_prefix('{') else {
        return if rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            leaves(rest, &path, each)
        } else {
            each(&path); // a glob, or the generics of a type
            rest
        };
    };
    loop {
        rest = rest.trim_start_matches([' ', '\n', ',']);
        if rest.is_empty() {
            return rest;
        }
        if let Some(after) = rest.strip_prefix('}') {
            return after;
        }
        let after = leaves(rest, &path, each);
        let next = after.find([',', '}']).unwrap_or(after.len());
        rest = &after[next..];
    }
}

fn absolute(path: &[&str], here: &[String]) -> Option<Module> {
    let ups = path.iter().take_while(|word| **word == "super").count();
    let base = if path.first() == Some(&"crate") { &[] } else { here.get(..here.len().checked_sub(ups)?)? };
    let rest = path[ups.max(1)..].iter().filter(|word| **word != "self");
    Some(base.iter().cloned().chain(rest.map(|word| (*word).to_owned())).collect())
}

fn module(path: &[&str]) -> Module {
    path.iter().map(|word| (*word).to_owned()).collect()
}
