//! The README says what is: its flag table is made of the flags, its links lead somewhere, its reasons are all there.
//! `KUBE2IAM_WRITE_README=1 cargo test --test readme` writes its tables anew.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use kube2iam::config::{find_flag_table, flag_table};
use kube2iam::logic::advice::{Names, meaning, mend};
use kube2iam::logic::reason::Reason;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")
}

fn page() -> String {
    fs::read_to_string(path()).unwrap()
}

#[test]
fn the_flag_table_is_that_of_the_binary() {
    let page = page();
    let found = find_flag_table(&page).expect("the README has a flag table");
    if std::env::var_os("KUBE2IAM_WRITE_README").is_some() {
        fs::write(path(), page.replace(found, &flag_table())).unwrap();
        return;
    }
    assert_eq!(found, flag_table());
}

/// The reasons as a Markdown table.
fn reason_table() -> String {
    let row = |reason: &Reason| {
        let cells = [meaning(*reason).to_owned(), mend(*reason, &Names::SAMPLE)].map(|cell| cell.replace('|', "\\|"));
        format!("| `{}` | {} | {} |\n", reason.word(), reason.status(), cells.join(" | "))
    };
    REASONS.to_owned() + &Reason::ALL.iter().map(row).collect::<String>()
}

const REASONS: &str = "| reason | status | it means | to mend it |\n|---|---|---|---|\n";

#[test]
fn the_reason_table_is_that_of_the_binary() {
    let page = page();
    let table = &page[page.find(REASONS).expect("the README has a table of reasons")..];
    let found = table.split_once("\n\n").map_or(table, |(rows, _)| &table[..=rows.len()]);
    if std::env::var_os("KUBE2IAM_WRITE_README").is_some() {
        fs::write(path(), page.replace(found, &reason_table())).unwrap();
        return;
    }
    assert_eq!(found, reason_table());
}

#[test]
fn every_reason_is_explained() {
    let page = page();
    let missing: Vec<&str> =
        Reason::ALL.iter().map(|reason| reason.word()).filter(|word| !page.contains(&format!("`{word}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn links_within_the_page_lead_somewhere() {
    let page = page();
    let anchor = |heading: &str| -> String {
        let plain = heading.trim_start_matches('#').trim().to_lowercase();
        plain
            .chars()
            .filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-')
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    };
    let anchors: BTreeSet<String> = page.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
    let links = page.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap());
    let dead: Vec<&str> = links.filter(|link| !anchors.contains(*link)).collect();
    assert!(dead.is_empty(), "{dead:?}");
}

#[test]
fn files_that_the_page_names_exist() {
    let page = page();
    let named = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|text| text.starts_with("manifests/") && !text.contains(['{', '*', ' ']));
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let missing: Vec<&str> = named.filter(|name| !top.join(name).exists()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
