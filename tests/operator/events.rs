//! Events on refused pods.

use super::standins::client::get;
use super::standins::kubernetes::{On, Refusal};
use super::standins::sts::StsFault;
use super::standins::{Lab, Times};
use super::{Site, WEB, wait_for, web};

const LIST: &str = "/latest/meta-data/iam/security-credentials/";
const CREDENTIALS: &str = "/latest/meta-data/iam/security-credentials/app";

fn restricted(list: &str, flags: &[&str]) -> Site {
    let lab = Lab::start();
    lab.kubernetes.add_namespace("shop", &[("iam.amazonaws.com/allowed-roles", list)]);
    lab.kubernetes.add_pod(web().node("node-1"));
    Site::open(lab, &[&["--events", "--namespace-restrictions", "--node=node-1", "--prefetch=false"], flags].concat())
}

fn metric(site: &Site, line: &str) -> Option<f64> {
    let text = super::standins::client::get_as_operator(site.agent.addr(), "/metrics").text();
    text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
}

#[test]
fn a_refused_pod_gets_one_event_however_often_it_asks() {
    let site = restricted(r#"["other"]"#, &[]);
    for _ in 0..20 {
        assert_eq!(get(site.agent.addr(), WEB, LIST).status, 404);
    }
    let event = site.lab.kubernetes.wait_for_event("RoleNotAllowed");
    for (pointer, value) in [
        ("/involvedObject/kind", "Pod"),
        ("/involvedObject/namespace", "shop"),
        ("/involvedObject/name", "web-1"),
        ("/source/component", "kube2iam"),
        ("/source/host", "node-1"),
        ("/type", "Warning"),
    ] {
        assert_eq!(event.pointer(pointer).unwrap(), value, "{pointer}");
    }
    let message = event["message"].as_str().unwrap();
    assert!(
        message.starts_with("role_not_allowed: ") && message.contains("`iam.amazonaws.com/allowed-roles`"),
        "{message}"
    );
    wait_for("the others to be counted", || {
        metric(&site, r#"kube2iam_events_total{outcome="counted"}"#).filter(|count| *count >= 19.0)
    });
    assert_eq!(site.lab.kubernetes.count(On::Event), 1);
}

#[test]
fn a_pod_whose_role_sts_refuses_is_told_without_a_word_of_awss() {
    let site = restricted(r#"["app"]"#, &[]);
    site.lab.sts.fault(None, StsFault::ACCESS_DENIED, Times::Always);
    assert_eq!(get(site.agent.addr(), WEB, CREDENTIALS).status, 403);
    let event = site.lab.kubernetes.wait_for_event("StsRefused");
    let message = event["message"].as_str().unwrap();
    assert!(message.contains("sts_refused") && message.contains("trust policy of `app`"), "{message}");
    assert!(!message.contains("arn:") && !message.contains("123456789012"), "{message}");
}

#[test]
fn nothing_is_written_while_all_is_well() {
    let site = restricted(r#"["app"]"#, &[]);
    assert_eq!(get(site.agent.addr(), WEB, CREDENTIALS).status, 200);
    assert_eq!(get(site.agent.addr(), WEB, "/latest/meta-data/nothing-there").status, 404);
    assert_eq!(get(site.agent.addr(), WEB, "/latest/user-data").status, 403);
    // a refusal of another pod comes behind them in the same queue
    site.lab.kubernetes.add_pod(super::PodSpec::new("shop", "web-2").ip("127.0.0.8").role("other").node("node-1"));
    wait_for("the refusal of the other", || {
        (get(site.agent.addr(), "127.0.0.8", LIST).text().contains("role_not_allowed")).then_some(())
    });
    site.lab.kubernetes.wait_for_event("RoleNotAllowed");
    let events = site.lab.kubernetes.events();
    assert!(events.iter().all(|event| event["involvedObject"]["name"] == "web-2"), "{events:#?}");
}

#[test]
fn without_the_flag_nothing_is_written() {
    let lab = Lab::start();
    lab.kubernetes.add_namespace("shop", &[]);
    lab.kubernetes.add_pod(web().without_annotation("iam.amazonaws.com/role"));
    let site = Site::open(lab, &[]);
    assert_eq!(get(site.agent.addr(), WEB, LIST).status, 404);
    assert_eq!((site.lab.kubernetes.count(On::Event), metric(&site, "kube2iam_events_total")), (0, None));
}

#[test]
fn an_event_of_an_earlier_agent_is_counted_up() {
    let first = restricted(r#"["other"]"#, &[]);
    assert_eq!(get(first.agent.addr(), WEB, LIST).status, 404);
    first.lab.kubernetes.wait_for_event("RoleNotAllowed");
    let Site { agent, lab, .. } = first;
    drop(agent);
    let second = Site::open(lab, &["--events", "--namespace-restrictions", "--node=node-1"]);
    assert_eq!(get(second.agent.addr(), WEB, LIST).status, 404);
    // created once, then tried to be created again, then changed
    second.lab.kubernetes.wait_for(On::Event, 3);
    assert_eq!(second.lab.kubernetes.events().len(), 1);
    assert!(second.agent.log().iter().all(|line| !line.contains("failed to write")));
}

#[test]
fn a_missing_permission_is_said_once_and_costs_no_request() {
    let lab = Lab::start();
    lab.kubernetes.refuse(On::Event, Refusal::Status { code: 403, retry_after_s: None }, Times::Always);
    lab.kubernetes.add_namespace("shop", &[]);
    lab.kubernetes.add_pod(web().without_annotation("iam.amazonaws.com/role"));
    lab.kubernetes.add_pod(super::PodSpec::new("shop", "web-2").ip("127.0.0.8"));
    let site = Site::open(lab, &["--events"]);
    for address in [WEB, "127.0.0.8", WEB] {
        assert!(get(site.agent.addr(), address, LIST).text().contains("no_role"));
    }
    let line = site.agent.wait_for_log("failed to write `events`");
    assert!(line.contains("see the RBAC that --events needs"), "{line}");
    wait_for("the others to be held back", || {
        metric(&site, r#"kube2iam_events_total{outcome="held_back"}"#).filter(|count| *count >= 2.0)
    });
    assert_eq!(site.lab.kubernetes.count(On::Event), 1);
}
