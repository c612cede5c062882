//! Passes on to the compiler which commit is built and when it was made: `KUBE2IAM_COMMIT` and `KUBE2IAM_BUILD_DATE`, which
//! `--version` prints. The date is the commit's, never the clock's, so two builds of one commit are the same bytes.
//!
//! - Who packs without git says them himself: `KUBE2IAM_COMMIT`, and `SOURCE_DATE_EPOCH`
//!   (<https://reproducible-builds.org/specs/source-date-epoch/>). What is said wins over what git knows.
//! - Outside a checkout of this project: the commit that `cargo package` noted, else `unknown`. Never a failed build.
//! - Runs again only when a commit was made or checked out, not with every edit.
#![allow(clippy::print_stdout)] // a build script speaks to cargo in this way

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

#[allow(dead_code, unreachable_pub, clippy::disallowed_methods)] // only its calendar is used here
#[path = "logic/base/time.rs"]
mod time;

/// What the linker is to do to a static file beside linking it.
fn shrink() {
    let has = |name: &str, wanted: &str| {
        env::var_os(name).is_some_and(|value| value.to_string_lossy().split(',').any(|word| word == wanted))
    };
    if !has("CARGO_CFG_TARGET_ENV", "gnu") || !has("CARGO_CFG_TARGET_FEATURE", "crt-static") {
        return;
    }
    println!("cargo:rustc-link-arg-bins={PACK_RELOCATIONS}");
}

/// A static position-independent file carries 6,000 relocations, all of one kind: packed they take 2 KB instead of 140
/// (DT_RELR; glibc reads it since 2.36). A linker that doesn't know the word warns and leaves them as they are.
const PACK_RELOCATIONS: &str = "-Wl,-z,pack-relative-relocs";
/// Where cargo notes the commit inside a packed crate.
const PACKAGE_NOTE: &str = ".cargo_vcs_info.json";
/// What of git changes with every commit and checkout: the branch's name, its log of moves, packed branches.
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

/// A fact handed in by whoever builds.
fn said(name: &str) -> Option<String> {
    println!("cargo:rerun-if-env-changed={name}");
    env::var_os(name)?.into_string().ok().filter(|value| !value.is_empty())
}

/// The commit and its date in seconds since the epoch, if `root` is the top of a checkout: a copy of this project
/// inside another repository must not carry that one's commit.
fn checkout(root: &Path) -> Option<(Option<String>, Option<i64>)> {
    let top = git(root, &["rev-parse", "--show-toplevel"])?;
    if fs::canonicalize(top).ok()? != fs::canonicalize(root).ok()? {
        return None;
    }
    for trace in GIT_TRACES {
        let path = git(root, &["rev-parse", "--git-path", trace]).map(|path| root.join(path));
        // A path that doesn't exist would make cargo run this every time.
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

/// The commit that `cargo package` wrote into the crate. The file has one such field, so it is not worth a parser.
fn packed_commit(root: &Path) -> Option<String> {
    let note = fs::read_to_string(root.join(PACKAGE_NOTE)).ok()?;
    let hash = note.split_once("\"sha1\": \"")?.1.split('"').next()?;
    hash.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| hash.to_owned())
}
