use super::*;
use crate::config::Build;
use crate::telemetry::Metrics;

#[test]
fn redirect_metrics_are_absent_without_a_redirect() {
    let metrics = Metrics::new(&Build { version: "1", commit: "c", date: "d" }, "n").unwrap();
    let text = || String::from_utf8(metrics.render().unwrap()).unwrap();
    assert!(!text().contains("kube2iam_redirect_whole"));
    assert!(text().contains("kube2iam_redirect_repairs_total 0\n"));
    metrics.redirect.set(InPlace::No);
    assert!(text().contains("kube2iam_redirect_whole 0\n"));
    metrics.redirect.set(InPlace::Yes);
    assert!(text().contains("kube2iam_redirect_whole 1\n"));
    assert!(!text().contains("kube2iam_credentials_address_in_place"));
    metrics.redirect.set_address(InPlace::No);
    assert!(text().contains("kube2iam_credentials_address_in_place 0\n"));
    metrics.redirect.set_address(InPlace::Yes);
    assert!(text().contains("kube2iam_credentials_address_in_place 1\n"));
}
