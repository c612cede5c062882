//! Generates `manifests/docs/metrics.md` from the names, labels and help texts of the registered metrics.
//!
//! `KUBE2IAM_WRITE_README=1 cargo test --lib metrics_page` rewrites the page.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use prometheus::core::Collector;

use super::Metrics;
use crate::config::Build;

/// The description of a metric.
struct Described {
    kind: &'static str,
    labels: Vec<String>,
    help: String,
}

thread_local! {
    static NOTED: RefCell<BTreeMap<String, Described>> = const { RefCell::new(BTreeMap::new()) };
}

/// Records a metric at registration. Gathering from a registry would omit metrics without samples.
pub(super) fn note(collector: &dyn Collector) {
    let families = collector.collect();
    for (description, family) in collector.desc().into_iter().zip(families) {
        let kind = match family.get_field_type() {
            prometheus::proto::MetricType::COUNTER => "counter",
            prometheus::proto::MetricType::GAUGE => "gauge",
            prometheus::proto::MetricType::HISTOGRAM => "histogram",
            other => panic!("no metric here is a {other:?}"),
        };
        let described = Described { kind, labels: description.variable_labels.clone(), help: description.help.clone() };
        NOTED.with_borrow_mut(|noted| noted.insert(description.fq_name.clone(), described));
    }
}

/// The names used by dashboards for the original kube2iam.
const KUBE2IAM_NAMES: [&str; 8] = [
    "kube2iam_healthcheck_status",
    "kube2iam_http_request_duration_seconds",
    "kube2iam_iam_cache_hits_total",
    "kube2iam_iam_k8s_dup_req_count",
    "kube2iam_iam_k8s_dup_req_success_count",
    "kube2iam_iam_k8s_pod_not_in_pod_cache",
    "kube2iam_iam_request_duration_seconds",
    "kube2iam_info",
];

const BEGIN: &str = "<!-- metrics: written by src/telemetry/metrics_page.rs -->\n";
const END: &str = "<!-- end of metrics -->";

#[test]
fn page_describes_every_registered_metric() {
    let metrics = Metrics::new(&Build { version: "1", commit: "c", date: "d" }, "node").unwrap();
    let noted = NOTED.take();
    let shown = String::from_utf8(metrics.render().unwrap()).unwrap();
    for name in shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(noted.contains_key(name), "{name} was not registered through `add`");
    }
    assert!(KUBE2IAM_NAMES.iter().all(|name| noted.contains_key(*name)));
    let wanted: String = noted.iter().map(|(name, described)| section(name, described)).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/docs/metrics.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page has a marker where the metrics begin");
    let (found, after) = rest.split_once(END).expect("the page has a marker where the metrics end");
    if std::env::var_os("KUBE2IAM_WRITE_README").is_some() {
        std::fs::write(&path, [before, BEGIN, &wanted, END, after].concat()).unwrap();
        return;
    }
    assert_eq!(found, wanted, "KUBE2IAM_WRITE_README=1 cargo test --lib metrics_page rewrites it");
}

/// A separate heading per metric, so that alerts and panels can link to it.
fn section(name: &str, Described { kind, labels, help }: &Described) -> String {
    let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
    let labels = if labels.is_empty() { "none".to_owned() } else { labels.join(", ") };
    let old = if KUBE2IAM_NAMES.contains(&name) { " As in kube2iam." } else { "" };
    format!("### {name}\n\nType: {kind}. Labels: {labels}.{old}\n\n{help}\n\n")
}
