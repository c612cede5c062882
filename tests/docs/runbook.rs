//! Each alert has a heading in the runbook, and each heading an alert.

use crate::page::{self, top};

#[test]
fn every_alert_has_a_heading_in_the_runbook() {
    let rules = std::fs::read_to_string(top().join("manifests/monitoring/alerts.yaml")).unwrap();
    let mut alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let page = page::read("manifests/docs/operate.md");
    let mut headings: Vec<&str> = page
        .headings()
        .filter(|(depth, text)| *depth == 3 && text.starts_with("Kube2iam"))
        .map(|(_, text)| text)
        .collect();
    alerts.sort_unstable();
    headings.sort_unstable();
    assert!(alerts.len() > 10, "{alerts:?}");
    assert_eq!(headings, alerts);
}
