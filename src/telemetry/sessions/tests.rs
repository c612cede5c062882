use super::*;
use crate::logic::sessions::cache::CallPurpose;
use crate::logic::sessions::cache::tests::key;
use crate::logic::sts::StsFailure;
use prometheus::{Encoder, TextEncoder};

fn check(registry: &Registry) -> Vec<String> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let lines = text.lines().filter(|line| line.contains("_count") || line.contains("_total"));
    lines.filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn failures_without_an_aws_code_are_labelled_unknown_error() {
    let registry = Registry::new();
    let metrics = SessionMetrics::new(&registry).unwrap();
    let (request, took) = (key("app"), Duration::from_millis(30));
    for code in ["AccessDenied", "Timeout", "Unreachable", "Unreadable", "NoInstanceRole"] {
        let kind = StsFailureKind::Unavailable;
        let failure = StsFailure { kind, code: code.into(), message: String::new(), request_id: None };
        let purpose = CallPurpose::Request;
        metrics.called(&CallReport { request: &request, purpose, queued: took, took, failure: Some(&failure) });
    }
    let counts: Vec<String> = check(&registry).into_iter().filter(|line| line.contains("code=")).collect();
    assert_eq!(
        counts,
        [
            r#"kube2iam_iam_request_duration_seconds_count{code="AccessDenied",role_arn="arn:aws:iam::123456789012:role/app"} 1"#,
            r#"kube2iam_iam_request_duration_seconds_count{code="UnknownError",role_arn="arn:aws:iam::123456789012:role/app"} 4"#,
        ]
    );
}

#[test]
fn metrics_of_unused_roles_are_dropped() {
    let registry = Registry::new();
    let metrics = SessionMetrics::new(&registry).unwrap();
    for role in ["stays", "goes"] {
        let request = key(role);
        let took = Duration::from_millis(30);
        metrics.called(&CallReport {
            request: &request,
            purpose: CallPurpose::Renewal,
            queued: took,
            took,
            failure: None,
        });
        metrics.cache_hit(request.role.as_str());
    }
    let stays = key("stays");
    metrics.retain_roles(&HashSet::from([stays.role]));
    assert_eq!(
        check(&registry),
        [
            r#"kube2iam_iam_cache_hits_total{role_arn="arn:aws:iam::123456789012:role/stays"} 1"#,
            r#"kube2iam_iam_request_duration_seconds_count{code="Success",role_arn="arn:aws:iam::123456789012:role/stays"} 1"#,
            r#"kube2iam_sts_calls_total{outcome="success",purpose="renewal"} 2"#,
            r#"kube2iam_sts_queue_seconds_count{purpose="renewal"} 2"#,
        ]
    );
    metrics.retain_roles(&HashSet::new());
    assert!(!check(&registry).iter().any(|line| line.contains("role_arn")));
}
