//! Sessions that come, are renewed, and go.

use std::time::Duration;

use super::standins::{Lab, client};
use super::{BASE, arn, key_id, metric, pod, wait_until};

#[test]
fn a_session_that_was_asked_for_is_renewed_in_the_background_and_counted() {
    let lab = Lab::start();
    lab.kubernetes.add_pod(pod("a", "127.0.1.1", "app"));
    // Of two seconds: renewed after half a second, since the last minute of a life is not handed out.
    lab.sts.grant_for(Duration::from_secs(2));
    let agent = lab.agent(&[BASE]);
    key_id(&agent, "127.0.1.1", "app");
    lab.sts.grant_for(Duration::from_secs(3_600));
    wait_until(Duration::from_secs(30), "it is renewed", || lab.sts.assumed(&arn("app")) == 2);
    key_id(&agent, "127.0.1.1", "app");
    let calls = |purpose: &str| {
        metric(&agent, &format!("kube2iam_sts_calls_total{{outcome=\"success\",purpose=\"{purpose}\"}}"))
    };
    wait_until(Duration::from_secs(30), "both calls are counted", || {
        calls("request") + calls("renewal") + calls("prefetch") > 1.5 && calls("request") > 0.5
    });
    let left = metric(&agent, "kube2iam_credentials_life_left_seconds");
    assert!((3_000.0..=3_600.0).contains(&left), "{left}");
    assert!(metric(&agent, "kube2iam_sts_queue_seconds_count{purpose=\"request\"}") > 0.5);
}

#[test]
fn what_no_pod_may_have_any_more_is_gone_within_a_minute() {
    let lab = Lab::start();
    lab.kubernetes.add_pod(pod("a", "127.0.1.1", "leaves"));
    lab.kubernetes.add_pod(pod("b", "127.0.1.2", "stays"));
    let agent = lab.agent(&[BASE]);
    key_id(&agent, "127.0.1.1", "leaves");
    key_id(&agent, "127.0.1.2", "stays");
    let metrics = || client::get_as_operator(agent.addr(), "/metrics").text();
    assert!(metrics().contains(&arn("leaves")) && metrics().contains("kube2iam_sessions{state=\"held\"} 2"));
    lab.kubernetes.delete_pod("default", "a");
    wait_until(Duration::from_secs(60), "the session is dropped", || {
        let text = metrics();
        text.contains("kube2iam_sessions{state=\"held\"} 1") && !text.contains(&arn("leaves"))
    });
    assert!(metrics().contains(&arn("stays")));
}
