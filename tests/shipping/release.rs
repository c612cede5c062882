//! The static file, built twice: here from the registry's crates, and in a clean copy from vendored crates with an empty
//! cargo home and no network. One commit, the same bytes.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::tools;

/// Set to anything, it asks for the tests that need release builds.
pub(crate) const WISH: &str = "KUBE2IAM_RELEASE_TESTS";
/// The promise: 4.75 MiB.
const LARGEST: u64 = 4_980_736;
/// The machine this was compiled for; the file is built for the same.
pub(crate) const TARGET: &str =
    if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };

/// The static file from this tree; `None` if the test is to be skipped.
pub(crate) fn file() -> Option<&'static Path> {
    // A failure is kept too, so that it is not repeated by every test.
    static BUILT: OnceLock<Option<Result<PathBuf, String>>> = OnceLock::new();
    let wished = tools::must_not_skip() || std::env::var_os(WISH).is_some();
    let built = BUILT.get_or_init(|| {
        if !wished {
            tools::skip(&format!("release builds (set {WISH}=1)"));
            return None;
        }
        let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("static");
        Some(build(tools::project(), &target_dir, Crates::Registry))
    });
    built.as_ref().map(|built| built.as_deref().unwrap())
}

/// Where the sources of the dependencies are.
enum Crates {
    Registry,
    /// In `vendor/`, with nothing else: no cargo home, no network.
    Vendored,
}

/// Builds by the script that releases are built by.
fn build(top: &Path, target_dir: &Path, crates: Crates) -> Result<PathBuf, String> {
    let mut script = Command::new(top.join(".ci/build"));
    if let Crates::Vendored = crates {
        script.env("CARGO_NET_OFFLINE", "true").env("CARGO_HOME", tools::empty_dir("empty-cargo-home"));
    }
    tools::run(script.arg(TARGET).arg(target_dir))?;
    Ok(target_dir.join(TARGET).join("release/kube2iam"))
}

/// Cargo without what the outer cargo told this test.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new("cargo");
    let told = |(name, _): &(OsString, OsString)| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_") && name != "CARGO_HOME" || name.starts_with("RUSTFLAGS")
    };
    for (name, _) in std::env::vars_os().filter(told) {
        cargo.env_remove(name);
    }
    cargo
}

fn registry_sources() -> Vec<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.unwrap_or_else(|| std::env::home_dir().unwrap().join(".cargo"));
    fs::read_dir(home.join("registry/src")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// A clone of this tree's commit with this tree's uncommitted changes on top.
pub(crate) fn copy_of_the_tree(name: &str) -> PathBuf {
    let copy = tools::empty_dir(name);
    tools::run(Command::new("git").args(["clone", "--quiet", "--shared"]).arg(tools::project()).arg(&copy)).unwrap();
    let git = |words: &[&str]| tools::stdout_of(Command::new("git").arg("-C").arg(tools::project()).args(words));
    for path in git(&["ls-files", "--modified", "--others", "--exclude-standard"]).lines() {
        let (from, to) = (tools::project().join(path), copy.join(path));
        if from.exists() {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(from, to).unwrap();
        } else if to.exists() {
            fs::remove_file(to).unwrap();
        }
    }
    copy
}

/// Such a copy with the crates it needs in `vendor/`.
fn vendored_copy() -> PathBuf {
    let copy = copy_of_the_tree("vendored");
    let config =
        tools::stdout_of(cargo().current_dir(&copy).args(["vendor", "--locked", "--versioned-dirs", "vendor"]));
    fs::create_dir_all(copy.join(".cargo")).unwrap();
    fs::write(copy.join(".cargo/config.toml"), config).unwrap();
    copy
}

/// One crate a line, as `NAME vVERSION ...`.
pub(crate) fn linked_crates(target: &str) -> String {
    let words =
        ["tree", "--offline", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none", "--target", target];
    tools::stdout_of(cargo().current_dir(tools::project()).args(words))
}

#[test]
fn a_second_build_from_vendored_crates_without_a_network_is_the_same_bytes() {
    let Some(first) = file() else { return };
    let copy = vendored_copy();
    let second = build(&copy, &copy.join("target"), Crates::Vendored).unwrap();
    assert_eq!(fs::metadata(first).unwrap().len(), fs::metadata(&second).unwrap().len());
    assert!(fs::read(first).unwrap() == fs::read(&second).unwrap(), "{first:?} and {second:?} differ");
    fs::remove_dir_all(copy).unwrap();
}

#[test]
fn the_file_needs_nothing_of_the_machine_it_runs_on() {
    let Some(file) = file() else { return };
    let Some(readelf) = tools::find("readelf", "Debian: binutils") else { return };
    let told =
        tools::stdout_of(Command::new(readelf).args(["--wide", "--file-header", "--segments", "--dynamic"]).arg(file));
    assert!(told.contains("DYN (Position-Independent Executable file)"), "not position-independent:\n{told}");
    assert!(!told.contains("INTERP"), "wants a dynamic linker:\n{told}");
    assert!(!told.contains("(NEEDED)"), "wants a library:\n{told}");
}

#[test]
fn the_file_is_small_and_stripped_and_does_not_tell_who_built_it() {
    let Some(file) = file() else { return };
    let bytes = fs::read(file).unwrap();
    assert!(bytes.len() as u64 <= LARGEST, "{} bytes, more than {LARGEST}", bytes.len());
    let Some(readelf) = tools::find("readelf", "Debian: binutils") else { return };
    let sections = tools::stdout_of(Command::new(readelf).args(["--wide", "--sections"]).arg(file));
    for left in [".symtab", ".debug_info"] {
        assert!(!sections.contains(left), "{left} is still there");
    }
    let here = tools::project().to_str().unwrap().to_owned();
    for path in registry_sources().iter().map(|path| path.to_str().unwrap().to_owned()).chain([here]) {
        assert!(!bytes.windows(path.len()).any(|part| part == path.as_bytes()), "names {path}");
    }
}
