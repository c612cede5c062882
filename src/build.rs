//! Passes the commit and its date to the compiler as `KUBE2IAM_COMMIT` and `KUBE2IAM_BUILD_DATE`, which `--version`
//! prints. The date is the commit's, not the time of the build, so that two builds of a commit are byte-identical.
//!
//! - Packagers without git set `KUBE2IAM_COMMIT` and `SOURCE_DATE_EPOCH`
//!   (<https://reproducible-builds.org/specs/source-date-epoch/>). These variables take precedence over git.
//! - Outside a checkout of this project: the commit recorded by `cargo package`, else `unknown`. The build never fails.
//! - Reruns only after a commit or a checkout, not on every edit.
#![allow(clippy::print_stdout)] // build scripts pass instructions to cargo on stdout

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

#[allow(dead_code, unreachable_pub, clippy::disallowed_methods)] // only its calendar is used here
#[path = "logic/base/time.rs"]
mod time;

/// Sets linker options for a static binary.
fn shrink() {
    let has = |name: &str, wanted: &str| {
        env::var_os(name).is_some_and(|value| value.to_string_lossy().split(',').any(|word| word == wanted))
    };
    if !has("CARGO_CFG_TARGET_ENV", "gnu") || !has("CARGO_CFG_TARGET_FEATURE", "crt-static") {
        return;
    }
    println!("cargo:rustc-link-arg-bins={PACK_RELOCATIONS}");
}

/// A static position-independent binary has 6,000 relocations, all relative: packed they take 2 KB instead of 140 KB
/// (DT_RELR; supported by glibc since 2.36). A linker without this option warns and doesn't pack them.
const PACK_RELOCATIONS: &str = "-Wl,-z,pack-relative-relocs";
/// The file in which cargo records the commit of a packaged crate.
const PACKAGE_NOTE: &str = ".cargo_vcs_info.json";
/// Git's files that change with every commit or checkout: branch name, reflog, packed refs.
const GIT_TRACES: [&str; 3] = ["HEAD", "logs/HEAD", "packed-refs"];

fn main() {
    println!("cargo:rerun-if-changed=src/build.rs");
    println!("cargo:rerun-if-changed=src/logic/base/time.rs");
    shrink();
    let root = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let (mut commit, mut made_at) = checkout(&root).unwrap_or_else(|| (packed_commit(&root), None));
    if let Some(said) = said("KUBE2IAM_COMMIT") {
        commit = Some(said);
    }
    if let Some(said) = said("SOURCE_DATE_EPOCH") {
        made_at = said.parse().ok();
    }
    if let Some(commit) = commit {
        println!("cargo:rustc-env=KUBE2IAM_COMMIT={commit}");
    }
    if let Some(seconds) = made_at {
        println!("cargo:rustc-env=KUBE2IAM_BUILD_DATE={}", time::Wall::from_unix_seconds(seconds).rfc3339());
    }
}

/// A value given by the packager in an environment variable.
fn said(name: &str) -> Option<String> {
    println!("cargo:rerun-if-env-changed={name}");
    env::var_os(name)?.into_string().ok().filter(|value| !value.is_empty())
}

/// The commit and its date in seconds since the epoch, if `root` is the top of a checkout: a copy of this project
/// inside another repository must not get that repository's commit.
fn checkout(root: &Path) -> Option<(Option<String>, Option<i64>)> {
    let top = git(root, &["rev-parse", "--show-toplevel"])?;
    if fs::canonicalize(top).ok()? != fs::canonicalize(root).ok()? {
        return None;
    }
    for trace in GIT_TRACES {
        let path = git(root, &["rev-parse", "--git-path", trace]).map(|path| root.join(path));
        // A nonexistent path would make cargo rerun this script every time.
        if let Some(path) = path.filter(|path| path.exists()) {
            println!("cargo:rerun-if-changed={}", path.display());
        }
    }
    let facts = git(root, &["log", "-1", "--no-show-signature", "--format=%H %ct"])?;
    let (commit, seconds) = facts.split_once(' ')?;
    Some((Some(commit.to_owned()), seconds.parse().ok()))
}

fn git(root: &Path, words: &[&str]) -> Option<String> {
    let answer = Command::new("git").arg("-C").arg(root).args(words).output().ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    answer.status.success().then(|| text.trim_end().to_owned())
}

/// The commit that `cargo package` recorded in the crate. The file has only one such field, so no JSON parser is
/// needed.
fn packed_commit(root: &Path) -> Option<String> {
    let note = fs::read_to_string(root.join(PACKAGE_NOTE)).ok()?;
    let hash = note.split_once("\"sha1\": \"")?.1.split('"').next()?;
    hash.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| hash.to_owned())
}
