//! Credentials fetched before anybody asks.

use super::standins::client;
use super::standins::kubernetes::{Kind, PodSpec};
use super::standins::sts::StsFault;
use super::standins::{Lab, Times};
use super::{BASE, arn, credentials, key_id, metric, pod};

/// Waits until a pod that appears now has been fetched for: what came before it has been seen, too.
fn wait_for_another(lab: &Lab, number: u8) {
    let role = format!("last-{number}");
    lab.kubernetes.add_pod(pod(&role, &format!("127.0.9.{number}"), &role));
    super::wait_until(super::standins::PATIENCE, "the last pod is fetched for", || lab.sts.assumed(&arn(&role)) == 1);
}

#[test]
fn a_pod_is_fetched_for_when_it_appears_and_when_it_changes() {
    let lab = Lab::start();
    lab.kubernetes.add_pod(pod("early", "127.0.1.1", "early"));
    let agent = lab.agent(&[BASE, "--node=node-1"]);
    lab.kubernetes.add_pod(PodSpec::new("default", "a").role("app").phase("Pending"));
    wait_for_another(&lab, 1);
    assert_eq!((lab.sts.assumed(&arn("early")), lab.sts.assumed(&arn("app"))), (1, 0), "no address, no call");
    lab.kubernetes.update_pod("default", "a", |pod| pod.ip("127.0.1.2").phase("Running"));
    wait_for_another(&lab, 2);
    assert_eq!(lab.sts.assumed(&arn("app")), 1);
    key_id(&agent, "127.0.1.2", "app");
    assert_eq!(lab.sts.assumed(&arn("app")), 1);
    let hit = format!("kube2iam_iam_cache_hits_total{{role_arn=\"{}\"}}", arn("app"));
    assert_eq!(metric(&agent, &hit).total_cmp(&1.0), std::cmp::Ordering::Equal);
    lab.kubernetes.update_pod("default", "a", |pod| pod.role("other"));
    lab.kubernetes.update_pod("default", "early", |pod| pod.annotation("iam.amazonaws.com/external-id", "customer-1"));
    wait_for_another(&lab, 3);
    assert_eq!((lab.sts.assumed(&arn("other")), lab.sts.assumed(&arn("early"))), (1, 2));
}

#[test]
fn the_policy_comes_before_the_fetch() {
    let lab = Lab::start();
    let listed = |roles: &str| lab.kubernetes.add_namespace("default", &[("iam.amazonaws.com/allowed-roles", roles)]);
    listed(r#"["last-*"]"#);
    lab.kubernetes.add_pod(pod("a", "127.0.1.1", "app"));
    let _agent = lab.agent(&[BASE, "--node=node-1", "--namespace-restrictions"]);
    wait_for_another(&lab, 1);
    assert_eq!(lab.sts.assumed(&arn("app")), 0);
    listed(r#"["last-*", "app"]"#);
    super::wait_until(super::standins::PATIENCE, "the opened role is fetched", || lab.sts.assumed(&arn("app")) == 1);
}

#[test]
fn a_fetch_that_failed_is_not_repeated_until_somebody_asks() {
    let lab = Lab::start();
    lab.sts.fault(Some(&arn("app")), StsFault::UNAVAILABLE, Times::Next(1));
    lab.kubernetes.add_pod(pod("a", "127.0.1.1", "app"));
    let agent = lab.agent(&[BASE, "--node=node-1", "--iam-role-error-ttl=0", "--verbose"]);
    agent.wait_for_log("purpose=prefetch");
    lab.kubernetes.add_pod(pod("b", "127.0.1.2", "app"));
    lab.kubernetes.update_pod("default", "a", |pod| pod.annotation("some/other", "annotation"));
    wait_for_another(&lab, 1);
    assert_eq!(lab.sts.assumed(&arn("app")), 1);
    key_id(&agent, "127.0.1.1", "app");
    assert_eq!(lab.sts.assumed(&arn("app")), 2);
}

#[test]
fn nothing_is_fetched_ahead_for_a_whole_cluster_or_when_it_is_turned_off() {
    for flags in [vec![BASE], vec![BASE, "--node=node-1", "--prefetch=false"]] {
        let lab = Lab::start();
        lab.kubernetes.add_pod(pod("a", "127.0.1.1", "app"));
        let agent = lab.agent(&flags);
        lab.kubernetes.wait_for_watch(Kind::Pod);
        lab.kubernetes.add_pod(pod("b", "127.0.1.2", "other"));
        assert_eq!(credentials(&agent, "127.0.1.2", "other").status, 200, "{flags:?}");
        assert_eq!(lab.sts.assumed(&arn("app")), 0, "{flags:?}");
    }
}

/// Each change asks for a session of its own, and STS gives none: what others hold is not to make room for them.
#[test]
fn a_pod_that_is_patched_all_day_costs_nobody_a_session() {
    let lab = Lab::start();
    let quiet: Vec<(String, String)> = (1..=8).map(|n| (format!("127.0.2.{n}"), format!("quiet-{n}"))).collect();
    for (address, role) in &quiet {
        lab.kubernetes.add_pod(pod(role, address, role));
    }
    let agent = lab.agent(&[BASE, "--node=node-1"]);
    let held = || quiet.iter().map(|(address, role)| key_id(&agent, address, role)).collect::<Vec<_>>();
    let before = held();
    lab.sts.fault(None, StsFault::UNAVAILABLE, Times::Always);
    lab.kubernetes.add_pod(pod("restless", "127.0.3.1", "r0"));
    // More than twice what the cache holds: a sweep that comes in between leaves enough on one side of it.
    for patch in 1..=12_000 {
        lab.kubernetes.update_pod("default", "restless", |pod| pod.role(&format!("r{patch}")));
    }
    super::wait_until(super::standins::PATIENCE * 3, "the last patch has arrived", || {
        client::get(agent.addr(), "127.0.3.1", "/latest/meta-data/iam/security-credentials/").text() == "r12000"
    });
    let queued = metric(&agent, "kube2iam_sessions{state=\"queued\"}");
    assert!(queued <= 1.0, "{queued} calls wait");
    assert_eq!(held(), before);
}
