//! Audit mode, and the doubts about namespaces' lists.

use super::standins::Lab;
use super::standins::client::{get, get_as_operator};
use super::standins::kubernetes::PodSpec;
use super::{Site, WEB, web};

const LIST: &str = "/latest/meta-data/iam/security-credentials/";

#[test]
fn would_be_denials_pass_and_are_logged_counted_and_evented() {
    let lab = Lab::start();
    lab.kubernetes.add_namespace("shop", &[("iam.amazonaws.com/allowed-roles", r#"["other"]"#)]);
    lab.kubernetes.add_pod(web());
    let site = Site::open(lab, &["--namespace-restrictions", "--policy-mode=audit", "--events"]);
    let list = get(site.agent.addr(), WEB, LIST);
    assert_eq!((list.status, list.text().as_str()), (200, "app"));
    assert_eq!(get(site.agent.addr(), WEB, &format!("{LIST}app")).status, 200);
    let line = site.agent.wait_for_log("security-credentials/app ");
    for part in ["policy=audit", "reason=role_not_allowed", "res.status=200", "pod.name=web-1"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    let metrics = get_as_operator(site.agent.addr(), "/metrics").text();
    let counted = r#"kube2iam_policy_audited_total{namespace="shop",reason="role_not_allowed"} 2"#;
    assert!(metrics.contains(counted) && !metrics.contains("refusals_total{"), "{metrics}");
    let event = site.lab.kubernetes.wait_for_event("AuditRoleNotAllowed");
    assert!(event["message"].as_str().unwrap().starts_with("policy=audit, would be refused, role_not_allowed: "));
    let told = site.explained("shop/web-1", |_| true);
    assert_eq!((&told["decision"], &told["policy"]), (&"allowed".into(), &"audit".into()));
    assert!(site.ask(&["status"]).stdout.contains("namespace restrictions audit"));
}

#[test]
fn what_the_policy_allows_bears_no_mark_in_audit_mode() {
    let lab = Lab::start();
    lab.kubernetes.add_namespace("shop", &[("iam.amazonaws.com/allowed-roles", r#"["app"]"#)]);
    lab.kubernetes.add_pod(web());
    let site = Site::open(lab, &["--namespace-restrictions", "--policy-mode=audit"]);
    assert_eq!(get(site.agent.addr(), WEB, LIST).status, 200);
    assert!(!site.agent.wait_for_log("GET ").contains("policy="));
    assert!(!get_as_operator(site.agent.addr(), "/metrics").text().contains("policy_audited_total{"));
}

#[test]
fn audit_mode_never_loosens_what_isnt_the_namespaces_list() {
    let lab = Lab::start();
    lab.kubernetes.add_namespace("shop", &[]);
    lab.kubernetes.add_pod(web().role("arn:aws:iam::210987654321:role/app"));
    lab.kubernetes.add_pod(PodSpec::new("shop", "own").ip("127.0.0.8").role("node-role"));
    let flags = ["--namespace-restrictions", "--policy-mode=audit", "--allowed-accounts=123456789012"];
    let site = Site::open(lab, &flags);
    assert!(get(site.agent.addr(), WEB, LIST).text().contains("account_not_allowed"));
    site.agent.wait_for_log("calls to STS are made as");
    assert!(get(site.agent.addr(), "127.0.0.8", LIST).text().contains("own_role"));
}

#[test]
fn doubtful_lists_are_named_at_start_and_when_they_change() {
    let lab = Lab::start();
    lab.kubernetes.add_namespace("wide", &[("iam.amazonaws.com/allowed-roles", r#"["*"]"#)]);
    lab.kubernetes.add_namespace("torn", &[("iam.amazonaws.com/allowed-roles", "app")]);
    lab.kubernetes.add_namespace("shop", &[("iam.amazonaws.com/allowed-roles", r#"["app"]"#)]);
    lab.kubernetes.add_pod(web());
    let site = Site::open(lab, &["--namespace-restrictions"]);
    let line = site.agent.wait_for_log("allows every role below the base");
    assert!(line.contains("level=warning") && line.contains("ns.name=wide") && line.contains("lint=policy"), "{line}");
    assert!(site.agent.wait_for_log("namespace `torn`: the list is not a JSON array").contains("lint=policy"));
    assert!(!site.agent.log().iter().any(|line| line.contains("ns.name=shop")));
    site.lab.kubernetes.add_namespace("shop", &[("iam.amazonaws.com/allowed-roles", r#"["apps"]"#)]);
    let line = site.agent.wait_for_log("no entry allows `app`, which pod `web-1` names");
    assert!(line.contains("ns.name=shop"), "{line}");
    let told = |part: &str| site.agent.log().iter().filter(|line| line.contains(part)).count();
    assert_eq!(told("allows every role below the base"), 1, "a doubt is told once");
}
