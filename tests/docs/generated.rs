//! Parts of pages that code knows: written by these tests, and compared with what stands there.

use std::fs;

use kube2iam::for_tests::{AdviceNames, Reason, flag_table, meaning_of_reason, mend_of_reason};

use crate::page::{self, top};

/// Compares what stands between the marks of `part` with `wanted`, or writes it.
pub(crate) fn settle(name: &str, part: &str, wanted: &str) {
    let page = page::read(name);
    let (begin, end) = (format!("<!-- {part}: written by tests/docs -->\n"), format!("<!-- end of {part} -->"));
    let (before, rest) = page.text.split_once(&begin).unwrap_or_else(|| panic!("{name} has no place for {part}"));
    let (found, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{name}: {part} has no end"));
    if std::env::var_os("KUBE2IAM_WRITE_README").is_some() {
        fs::write(top().join(name), [before, &begin, wanted, &end, after].concat()).unwrap();
        return;
    }
    assert_eq!(found, wanted, "KUBE2IAM_WRITE_README=1 cargo test --test docs writes it anew");
}

#[test]
fn the_flags_are_those_of_the_binary() {
    settle("manifests/docs/flags.md", "flags", &flag_table());
}

#[test]
fn the_reasons_are_those_of_the_binary() {
    let mut statuses: Vec<u16> = Reason::ALL.iter().map(|reason| reason.status()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    let list = statuses.iter().map(|status| {
        let of_status = Reason::ALL.iter().filter(|reason| reason.status() == *status);
        let links: Vec<String> = of_status.map(|reason| format!("[`{0}`](#{0})", reason.word())).collect();
        format!("| {status} | {} |\n", links.join(", "))
    });
    settle(
        "manifests/docs/reasons.md",
        "list",
        &format!("| status | reasons |\n|---|---|\n{}", list.collect::<String>()),
    );
    settle("manifests/docs/reasons.md", "reasons", &Reason::ALL.iter().map(section).collect::<String>());
}

/// A heading of its own, so that Events and alerts can link to it.
fn section(reason: &Reason) -> String {
    let remedy = mend_of_reason(*reason, &AdviceNames::SAMPLE);
    format!(
        "### {}\n\nStatus {}: {}.\n\nRemedy: {remedy}.\n\n",
        reason.word(),
        reason.status(),
        meaning_of_reason(*reason)
    )
}

/// What a generated page says of flags, reasons and promises stands there alone.
#[test]
fn nothing_stands_twice_where_a_generated_page_has_it() {
    let generated = ["flags.md", "reasons.md", "metrics.md"];
    let mut twice = Vec::new();
    for page in page::all().iter().filter(|page| !generated.iter().any(|name| page.name.ends_with(name))) {
        for reason in Reason::ALL.iter().filter(|reason| page.text.contains(meaning_of_reason(**reason))) {
            twice.push(format!("{}: the meaning of {}", page.name, reason.word()));
        }
        for row in page.prose().filter_map(|line| line.strip_prefix("| `")) {
            let first = row.split(['`', '=']).next().unwrap();
            let is_reason = Reason::ALL.iter().any(|reason| reason.word() == first);
            if is_reason || first.starts_with("kube2iam_") {
                twice.push(format!("{}: a row about {first}", page.name));
            }
        }
        for row in flag_table().lines().skip(2).filter(|row| page.text.contains(*row)) {
            twice.push(format!("{}: {row}", page.name));
        }
    }
    assert!(twice.is_empty(), "{twice:#?}");
}
