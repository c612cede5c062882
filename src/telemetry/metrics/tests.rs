use super::*;

#[test]
fn original_names_labels_and_buckets_are_kept() {
    let metrics = Metrics::new(&Build { version: "1", commit: "c", date: "d" }, "n").unwrap();
    metrics.request_seconds.with_label_values(&["200", "GET", "roleHandler"]).observe(0.003);
    let request = crate::logic::sessions::cache::tests::key("app");
    let (purpose, span) = (crate::logic::sessions::cache::CallPurpose::Request, std::time::Duration::from_millis(100));
    metrics.sessions.called(&crate::logic::sessions::cache::CallReport {
        request: &request,
        purpose,
        queued: span,
        took: span,
        failure: None,
    });
    metrics.sessions.cache_hit("arn");
    let text = String::from_utf8(metrics.render().unwrap()).unwrap();
    for line in [
        "# TYPE kube2iam_http_request_duration_seconds histogram",
        r#"kube2iam_http_request_duration_seconds_bucket{code="200",handler="roleHandler",method="GET",le="0.002"} 0"#,
        r#"kube2iam_http_request_duration_seconds_bucket{code="200",handler="roleHandler",method="GET",le="8.192"} 1"#,
        r#"kube2iam_iam_request_duration_seconds_count{code="Success",role_arn="arn:aws:iam::123456789012:role/app"} 1"#,
        r#"kube2iam_iam_cache_hits_total{role_arn="arn"} 1"#,
        "kube2iam_iam_k8s_dup_req_count 0",
        "kube2iam_iam_k8s_dup_req_success_count 0",
        "kube2iam_iam_k8s_pod_not_in_pod_cache 0",
        "kube2iam_healthcheck_status 0",
        r#"kube2iam_info{build_date="d",commit_hash="c",node="n",version="1"} 1"#,
        "process_open_fds",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn metrics_of_deleted_namespaces_are_dropped() {
    let metrics = Metrics::new(&Build { version: "1", commit: "c", date: "d" }, "n").unwrap();
    for namespace in ["stays", "goes", "goes-too"] {
        metrics.tokenless_requests.with_label_values(&[namespace]).inc();
    }
    metrics.retain_namespaces(|name| name == "stays");
    let text = String::from_utf8(metrics.render().unwrap()).unwrap();
    assert!(text.contains(r#"tokenless_requests_total{namespace="stays"} 1"#) && !text.contains("goes"), "{text}");
}
