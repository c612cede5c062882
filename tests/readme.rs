//! The README says what is: its flag table is made of the flags, its links lead somewhere, its reasons are all there.
//! `KUBE2IAM_WRITE_README=1 cargo test --test readme` writes its tables anew.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use kube2iam::config::{find_flag_table, flag_table};
use kube2iam::logic::operator::advice::{AdviceNames, meaning, mend};
use kube2iam::logic::policy::reason::Reason;

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
        let cells =
            [meaning(*reason).to_owned(), mend(*reason, &AdviceNames::SAMPLE)].map(|cell| cell.replace('|', "\\|"));
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

/// A promise without a test is a wish.
#[test]
fn every_promise_names_a_test_or_bench_that_exists() {
    let page = page();
    let section = page.split("\n## Promises\n").nth(1).expect("the README has promises").split("\n#").next().unwrap();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with('|')).skip(2).collect();
    assert!(rows.len() > 15, "{} promises", rows.len());
    let code = ["src", "tests"].map(|top| code_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join(top))).concat();
    let code = code.split_whitespace().collect::<Vec<_>>().join(" ");
    for row in rows {
        let keepers: Vec<&str> = row.rsplit('|').nth(1).unwrap().split('`').skip(1).step_by(2).collect();
        assert!(!keepers.is_empty(), "nothing keeps it: {row}");
        for keeper in keepers {
            let sought = match keeper.strip_prefix("cargo bench -- ") {
                Some(scene) => format!("(\"{scene}\", {scene}::run)"),
                // Indented inside of macros.
                None => format!("#[test] fn {keeper}("),
            };
            assert!(code.contains(&sought), "there is no `{keeper}`: {row}");
        }
    }
}

fn code_below(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| match path.extension() {
            _ if path.is_dir() && !path.ends_with("target") => code_below(&path),
            Some(extension) if extension == "rs" => fs::read_to_string(&path).unwrap(),
            _ => String::new(),
        })
        .collect()
}
