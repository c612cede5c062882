//! The table of further clients in `manifests/docs/sdks.md`, made of what a run showed.

use std::fs;

use crate::Row;
use crate::asked::{text, version};
use crate::catalogue::{CLIENTS, Source};
use crate::kits::{PACKAGE, REQUIREMENTS};
use crate::tools::project;

/// Fails if the page says something else. With `KUBE2IAM_WRITE_README` set it writes the table.
pub fn compare(rows: &[Row]) {
    let path = project().join("manifests/docs/sdks.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for the table of clients");
    let (found, after) = rest.split_once(END).expect("the table of clients has an end");
    let table = render(rows);
    if std::env::var_os("KUBE2IAM_WRITE_README").is_some() {
        fs::write(&path, [before, BEGIN, &table, END, after].concat()).unwrap();
        return;
    }
    assert_eq!(found, table, "{AGAIN}");
}

fn render(rows: &[Row]) -> String {
    let mut table = HEAD.to_owned();
    for row in rows {
        let client = &CLIENTS[row.client];
        let cells =
            [client.name, &package(client.source), client.does, client.needs, version(&row.asked), &text(&row.asked)];
        table += &format!("| {} |\n", cells.join(" | "));
    }
    table
}

/// The package with its version.
fn package(source: Source) -> String {
    let pinned = |pins: &str, before: String, after: &str| {
        let version = pins.split_once(&before).and_then(|(_, rest)| rest.split(after).next());
        version.expect("a pinned version").to_owned()
    };
    match source {
        Source::Debian(package, version, _) => format!("Debian: {package} {version}"),
        Source::PyPi(package) => format!("PyPI: {package} {}", pinned(REQUIREMENTS, format!("{package}=="), "\n")),
        Source::Npm(package) => format!("npm: {package} {}", pinned(PACKAGE, format!("\"{package}\": \""), "\"")),
    }
}

const HEAD: &str =
    "\n| client | package | does | needs for it | IMDS | asks for, and gets |\n|---|---|---|---|---|---|\n";
const BEGIN: &str = "<!-- clients: written by tests/clients -->";
const END: &str = "<!-- end of clients -->";
const AGAIN: &str = "CI=true KUBE2IAM_WRITE_README=1 cargo test --test clients writes it anew";
