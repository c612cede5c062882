//! The rules of the house, as data: which room may use which, how large things may be, what stands where.

#![allow(clippy::unwrap_used, clippy::panic)]

mod circles;
mod cited;
mod names;
mod parameters;
mod public;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms in reading order, and the rooms that each may use. Arrows point down.
const ROOMS: &[(&str, &[&str])] = &[
    ("logic", &[]),
    ("config", &["logic"]),
    ("ports", &["logic"]),
    ("os", &["logic", "ports"]),
    ("state", &["logic", "ports"]),
    ("telemetry", &["logic", "config"]),
    ("server", &["logic", "ports", "os"]),
    ("clients", &["logic", "ports", "os"]),
    ("redirect", &["logic", "ports", "os"]),
    ("api", &["logic", "config", "ports", "os", "state", "telemetry"]),
    ("agent", &["logic", "config", "ports", "os", "state", "telemetry", "server", "clients", "redirect", "api"]),
    ("cli", &["logic", "config", "ports", "os", "clients", "redirect", "agent"]),
];

/// What `logic` may not do, and the words that would show it.
const NOT_IN_LOGIC: &[&str] = &[
    "std::net::Tcp",
    "std::net::Udp",
    "std::os",
    "std::thread",
    "std::fs",
    "std::env",
    "std::process",
    "Instant",
    "SystemTime",
    "Mutex",
    "RwLock",
    "Condvar",
    "OnceLock",
    "parking_lot",
    "crossbeam",
    "log::",
    "ureq",
    "aws_sigv4",
    "aws_credential_types",
    "rustix",
    "libc",
    "socket2",
    "SystemRandom",
];

/// The files in which `unsafe` may stand, each use with its proof.
const UNSAFE: &[&str] = &["src/os/memory.rs", "src/os/nss.rs", "src/os/peer.rs", "src/os/signals.rs"];

/// What may stand at the top; whatever begins with a dot is left alone.
const TOP: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile.scratch",
    "LICENSE",
    "README.md",
    "manifests",
    "src",
    "tests",
    "target",
    "vendor",
];

const LONGEST_FILE: usize = 350;
const LONGEST_FUNCTION: usize = 70;

/// A source file: its path from the top, its production text, and its whole text.
struct Source {
    path: String,
    production: String,
    whole: String,
}

fn sources(top: &str) -> Vec<Source> {
    let mut files = Vec::new();
    collect(&root().join(top), &mut files);
    files.sort();
    files.into_iter().map(|path| read(&path)).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn read(path: &Path) -> Source {
    let whole = fs::read_to_string(path).unwrap();
    let path = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
    let only_tests = path.contains("/tests") || path.ends_with("_tests.rs") || path.ends_with("stand_in.rs");
    let production = if only_tests { String::new() } else { without_tests(&whole) };
    Source { path, production, whole }
}

/// The text before the first test module, without comments.
fn without_tests(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn room_of(path: &str) -> &str {
    path.trim_start_matches("src/").split(['/', '.']).next().unwrap()
}

/// The rooms that a text names, as `crate::room`.
fn rooms_named(text: &str) -> BTreeSet<&str> {
    let names = text
        .split("crate::")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap());
    names.filter(|name| !name.is_empty()).collect()
}

fn complain(faults: &[String]) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_arrow_points_up() {
    let mut faults = Vec::new();
    for source in sources("src") {
        let room = room_of(&source.path);
        if ["lib", "main", "build", "for_tests"].contains(&room) {
            continue;
        }
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            faults.push(format!("{}: `{room}` is no room in the table", source.path));
            continue;
        };
        for used in rooms_named(&source.production) {
            if used != room && !allowed.contains(&used) {
                faults.push(format!("{}: `{room}` may not use `{used}`", source.path));
            }
        }
    }
    complain(&faults);
}

#[test]
fn every_room_is_in_the_map() {
    let map = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let missing = ROOMS.iter().filter(|(room, _)| !map.contains(&format!("\nmod {room};")));
    complain(&missing.map(|(room, _)| format!("src/lib.rs doesn't name `{room}`")).collect::<Vec<_>>());
}

#[test]
fn logic_only_decides() {
    let mut faults = Vec::new();
    for source in sources("src/logic") {
        for word in NOT_IN_LOGIC.iter().filter(|word| source.production.contains(**word)) {
            faults.push(format!("{}: `{word}` has no place in logic", source.path));
        }
    }
    complain(&faults);
}

#[test]
fn files_and_functions_stay_small() {
    let mut faults = Vec::new();
    for source in sources("src").into_iter().chain(sources("tests")) {
        let lines = source.whole.lines().count();
        if lines > LONGEST_FILE {
            faults.push(format!("{}: {lines} lines, at most {LONGEST_FILE}", source.path));
        }
        for (name, length) in functions(&source.whole).into_iter().filter(|(_, length)| *length > LONGEST_FUNCTION) {
            faults.push(format!("{}: `{name}` has {length} lines, at most {LONGEST_FUNCTION}", source.path));
        }
    }
    complain(&faults);
}

/// Functions and their lengths, told by rustfmt's indentation.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let bare = line.trim_start();
        let starts = ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "const fn ", "pub const fn "];
        if !starts.iter().any(|start| bare.starts_with(start)) || bare.ends_with(';') {
            continue;
        }
        let close = format!("{}}}", &line[..line.len() - bare.len()]);
        let length = lines[at..].iter().position(|line| *line == close).map_or(0, |end| end + 1);
        found.push((bare.to_owned(), length));
    }
    found
}

#[test]
fn unsafe_code_and_sleeps_stay_where_they_may() {
    let mut faults = Vec::new();
    for source in sources("src") {
        let may = UNSAFE.iter().any(|place| source.path.starts_with(place));
        if source.production.contains("unsafe ") && !may {
            faults.push(format!("{}: unsafe code", source.path));
        }
        if source.production.matches("unsafe {").count() > source.whole.matches("SAFETY:").count() {
            faults.push(format!("{}: unsafe code without its proof", source.path));
        }
        for word in ["thread::sleep", "todo!", "unimplemented!", "dbg!"] {
            if source.production.contains(word) {
                faults.push(format!("{}: `{word}`", source.path));
            }
        }
    }
    for source in sources("tests") {
        if source.path != "tests/house/main.rs" && source.whole.contains("#[ignore") {
            faults.push(format!("{}: an ignored test", source.path));
        }
    }
    complain(&faults);
}

/// In `x/tests.rs`, and beside it in `x/tests/`; what is short may stand at the end of `x.rs` instead, all of it.
#[test]
fn unit_tests_of_a_module_stand_in_one_place() {
    let mut faults = Vec::new();
    for source in sources("src") {
        let module = source.path.trim_end_matches("/mod.rs").trim_end_matches(".rs");
        let elsewhere = [format!("{module}/tests.rs"), format!("{module}/tests")].map(|path| root().join(path));
        let is_test = source.path.ends_with("tests.rs") || source.path.contains("/tests/");
        let is_inline = !is_test && source.whole.contains("#[test]");
        if is_inline && elsewhere.iter().any(|path| path.exists()) {
            faults.push(format!("{}: tests here and in `{module}/tests`", source.path));
        }
    }
    complain(&faults);
}

#[test]
fn the_top_holds_what_it_should() {
    let entries = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let strange: Vec<String> = entries.filter(|name| !name.starts_with('.') && !TOP.contains(&name.as_str())).collect();
    complain(&strange);
}

/// `x.rs` beside the folder `x/`, never `x/mod.rs`: a file's name says what it is.
#[test]
fn a_folder_has_its_file_beside_it() {
    complain(
        &sources("src")
            .into_iter()
            .map(|source| source.path)
            .filter(|path| path.ends_with("/mod.rs"))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent =
        sources("src").into_iter().filter(|source| !source.production.is_empty() && !source.whole.starts_with("//!"));
    complain(&silent.map(|source| format!("{} begins without a word about itself", source.path)).collect::<Vec<_>>());
}
