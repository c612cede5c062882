//! What comes along with the binary: licences, bans and advisories by cargo-deny, a bill of materials by cargo-cyclonedx.
//! All of it without a network.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::release::{TARGET, cargo, linked_crates};
use crate::tools;

/// The directory in which cargo-deny keeps the RustSec database: the name is its own, made from the database's URL.
const ADVISORY_DIR: &str = "advisory-db-3157b0e258782691";
/// An advisory against a crate that is in the tree, in RustSec's format.
const MADE_UP_ADVISORY: &str = r#"```toml
[advisory]
id = "RUSTSEC-2099-0001"
package = "httparse"
date = "2026-01-01"

[versions]
patched = []
```

# Made up

Shows that an advisory is noticed.
"#;

fn deny(words: &[&str]) -> Option<Result<std::process::Output, String>> {
    tools::find("cargo-deny", "cargo install cargo-deny")?;
    let mut command = cargo();
    command.current_dir(tools::project()).args(["deny", "--offline", "--locked"]).args(words);
    Some(tools::run(&mut command))
}

#[test]
fn licences_bans_and_sources_are_as_agreed() {
    let Some(judged) = deny(&["check", "licenses", "bans", "sources"]) else { return };
    assert!(judged.is_ok(), "{}", judged.unwrap_err());
}

/// A ban that can't fail bans nothing: with the two that may bring tokio taken from the list, it must be refused.
#[test]
fn a_banned_crate_is_noticed() {
    let agreed = fs::read_to_string(tools::project().join(".deny.toml")).unwrap();
    let allowed = r#"wrappers = ["aws-smithy-async", "aws-smithy-runtime-api"]"#;
    assert!(agreed.contains(allowed));
    let config = tools::empty_dir("deny-banned").join("deny.toml");
    fs::write(&config, agreed.replace(allowed, r#"wrappers = ["ureq"]"#)).unwrap();
    let Some(judged) = deny(&["--config", config.to_str().unwrap(), "check", "bans"]) else { return };
    let told = judged.unwrap_err();
    assert!(told.contains("tokio"), "{told}");
}

#[test]
fn an_advisory_in_a_local_database_is_noticed() {
    let dir = tools::empty_dir("advisories");
    let origin = dir.join("origin");
    fs::create_dir_all(origin.join("crates/httparse")).unwrap();
    fs::write(origin.join("crates/httparse/RUSTSEC-2099-0001.md"), MADE_UP_ADVISORY).unwrap();
    let git = |at: &Path, words: &[&str]| {
        let who = ["-c", "user.name=test", "-c", "user.email=test@invalid"];
        tools::run(Command::new("git").arg("-C").arg(at).args(who).args(words)).unwrap();
    };
    for words in [["init", "--quiet", "."].as_slice(), &["add", "."], &["commit", "--quiet", "--message", "one"]] {
        git(&origin, words);
    }
    let agreed = fs::read_to_string(tools::project().join(".deny.toml")).unwrap();
    let database = dir.join("databases");
    let config = dir.join("deny.toml");
    let place = format!("[advisories]\ndb-path = {database:?}");
    fs::write(&config, agreed.replace("[advisories]", &place)).unwrap();
    git(&dir, &["clone", "--quiet", origin.to_str().unwrap(), database.join(ADVISORY_DIR).to_str().unwrap()]);
    git(&database.join(ADVISORY_DIR), &["fetch", "--quiet"]);
    let Some(judged) = deny(&["--config", config.to_str().unwrap(), "check", "advisories"]) else { return };
    let told = judged.unwrap_err();
    assert!(told.contains("RUSTSEC-2099-0001"), "{told}");
}

/// One command, offline; the same every time; valid by CycloneDX' own schema; every crate of the binary and none of the
/// tests'.
#[test]
fn the_bill_of_materials_names_what_is_in_the_file() {
    let Some(python) = tools::python() else { return };
    if tools::find("cargo-cyclonedx", "cargo install cargo-cyclonedx").is_none() {
        return;
    }
    let [first, second] = ["sbom-1", "sbom-2"].map(bill_of_materials);
    assert_eq!(first, second);
    let faults = tools::run_python(&python, "tests/shipping/sbom.py", &first);
    assert_eq!(faults.trim(), "", "not CycloneDX");
    let bill: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(bill["metadata"]["component"]["name"], env!("CARGO_PKG_NAME"));
    let listed: Vec<&str> =
        bill["components"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    for line in linked_crates(TARGET).lines() {
        let name = line.split(' ').next().unwrap();
        assert!(name == env!("CARGO_PKG_NAME") || listed.contains(&name), "{name} isn't listed");
    }
    assert!(!listed.contains(&"proptest"), "a crate of the tests is listed");
}

/// Runs the documented command on a copy, since it writes beside the manifest.
fn bill_of_materials(dir: &str) -> String {
    let copy = tools::empty_dir(dir);
    let parts = ["Cargo.toml", "Cargo.lock", "src"].map(|part| tools::project().join(part));
    tools::run(Command::new("cp").arg("-r").args(parts).arg(&copy)).unwrap();
    let words =
        ["--format", "json", "--spec-version", "1.5", "--target", TARGET, "--override-filename", "kube2iam.cdx"];
    let mut command = cargo();
    command
        .current_dir(&copy)
        .env("CARGO_NET_OFFLINE", "true")
        .env("SOURCE_DATE_EPOCH", "0")
        .arg("cyclonedx")
        .args(words);
    tools::run(&mut command).unwrap();
    let bill = fs::read_to_string(copy.join("kube2iam.cdx.json")).unwrap();
    let here = copy.to_str().unwrap();
    bill.replace(here, "")
}

/// What `cargo publish` would upload: all that a build needs, nothing of this workshop.
#[test]
fn the_package_holds_what_a_build_needs() {
    let list = ["package", "--list", "--allow-dirty", "--offline"];
    let list = tools::stdout_of(cargo().current_dir(tools::project()).args(list));
    let files: Vec<&str> = list.lines().collect();
    for needed in ["Cargo.lock", "Cargo.toml", "CHANGELOG.md", "LICENSE", "README.md", "src/build.rs", "src/main.rs"] {
        assert!(files.contains(&needed), "{needed} is missing");
    }
    for kept_back in [".ci/", "target/", "vendor/", "tests/fixtures/"] {
        assert!(!files.iter().any(|file| file.starts_with(kept_back)), "{kept_back} is in it");
    }
}
