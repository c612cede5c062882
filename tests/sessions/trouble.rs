//! STS in trouble: what the pod gets, what the log gets, and what is tried again.

use std::time::{Duration, Instant};

use super::standins::client;
use super::standins::sts::StsFault;
use super::standins::{Lab, Times};
use super::{BASE, arn, credentials, key_id, pod};

const fn refuse(status: u16, code: &'static str) -> StsFault {
    StsFault::Refuse { status, code, message: "for arn:aws:iam::123456789012:role/x" }
}

/// Fault, and what comes of it: status, reason, code.
const TROUBLES: [(&str, StsFault, u16, &str, &str); 13] = [
    ("denied", StsFault::ACCESS_DENIED, 403, "sts_refused", "AccessDenied"),
    ("disabled", StsFault::REGION_DISABLED, 403, "sts_refused", "RegionDisabledException"),
    ("packed", refuse(400, "PackedPolicyTooLarge"), 403, "sts_refused", "PackedPolicyTooLarge"),
    ("throttled", StsFault::THROTTLING, 503, "sts_throttled", "Throttling"),
    ("internal", StsFault::INTERNAL, 503, "sts_unavailable", "InternalFailure"),
    ("unavailable", StsFault::UNAVAILABLE, 503, "sts_unavailable", "ServiceUnavailable"),
    ("garbage", StsFault::Garbage, 503, "sts_unavailable", "Unreadable"),
    ("half", StsFault::HalfBody, 503, "sts_unavailable", "Unreadable"),
    ("closed", StsFault::Close, 503, "sts_unavailable", "Unreachable"),
    ("late", refuse(400, "RequestExpired"), 503, "sts_unavailable", "RequestExpired"),
    ("signature", refuse(403, "SignatureDoesNotMatch"), 500, "no_node_credentials", "SignatureDoesNotMatch"),
    ("expired", StsFault::EXPIRED_TOKEN, 500, "no_node_credentials", "ExpiredToken"),
    ("unknown-key", refuse(403, "InvalidClientTokenId"), 500, "no_node_credentials", "InvalidClientTokenId"),
];

#[test]
fn every_trouble_has_its_status_and_its_line() {
    let lab = Lab::start();
    for (index, (role, fault, ..)) in TROUBLES.iter().enumerate() {
        lab.kubernetes.add_pod(pod(&format!("pod-{role}"), &format!("127.0.1.{}", index + 1), role));
        lab.sts.fault(Some(&arn(role)), fault.clone(), Times::Always);
    }
    let agent = lab.agent(&[BASE]);
    for (index, (role, fault, status, reason, code)) in TROUBLES.iter().enumerate() {
        let answer = credentials(&agent, &format!("127.0.1.{}", index + 1), role);
        assert_eq!((answer.status, answer.text()), (*status, format!("{reason}\n")), "{role}");
        assert_eq!(answer.header("Retry-After"), (*status == 503).then_some("1"), "{role}");
        let line = agent.wait_for_log(&format!("pod.name=pod-{role}"));
        for part in [format!("reason={reason}"), format!("{code}: "), format!("params.iam.role=\"{}\"", arn(role))] {
            assert!(line.contains(&part), "`{part}` is not in: {line}");
        }
        if *status == 403 {
            let call = agent.wait_for_log(&format!("failed to assume `{}`", arn(role)));
            assert!(call.contains(&format!("code={code}")) && call.contains("purpose=request"), "{call}");
            assert!(call.contains("request.id=3f2b7a50"), "{call}");
        }
        if matches!(fault, StsFault::Refuse { .. }) {
            assert!(line.contains("request id 3f2b7a50"), "{line}");
        }
    }
    lab.assert_log_is_clean(&agent);
}

/// Ten roles, each asked for again and again, while STS is away.
#[test]
fn an_outage_of_sts_is_a_line_at_its_beginning_and_one_at_its_end() {
    let lab = Lab::start();
    let roles: Vec<String> = (0..10).map(|number| format!("role-{number}")).collect();
    for (number, role) in roles.iter().enumerate() {
        lab.kubernetes.add_pod(pod(role, &format!("127.0.2.{}", number + 1), role));
    }
    lab.sts.fault(None, refuse(503, "ServiceUnavailable"), Times::Always);
    let agent = lab.agent(&[BASE, "--iam-role-error-ttl=0"]);
    for _ in 0..5 {
        for (number, role) in roles.iter().enumerate() {
            assert_eq!(credentials(&agent, &format!("127.0.2.{}", number + 1), role).status, 503);
        }
    }
    lab.sts.clear_faults();
    key_id(&agent, "127.0.2.1", "role-0");
    let ended = agent.wait_for_log("STS answers again");
    assert!(ended.contains("outage=sts") && ended.contains("level=info"), "{ended}");
    let warnings: Vec<String> =
        agent.log().into_iter().filter(|line| line.contains("level=warning") && line.contains("STS")).collect();
    assert!(
        warnings[0].contains("calls to STS fail: ServiceUnavailable") || warnings[0].contains("own role"),
        "{warnings:#?}"
    );
    assert!(warnings.iter().filter(|line| line.contains("outage=sts")).count() <= 2, "{warnings:#?}");
}

#[test]
fn a_call_that_hangs_is_a_503_after_five_seconds_and_goes_on_for_the_next() {
    let lab = Lab::start();
    lab.kubernetes.add_pod(pod("a", "127.0.1.1", "app"));
    let agent = lab.agent(&[BASE]);
    lab.sts.hold();
    let begin = Instant::now();
    let answer = credentials(&agent, "127.0.1.1", "app");
    assert_eq!((answer.status, answer.text().as_str()), (503, "sts_timeout\n"));
    assert_eq!(answer.header("Retry-After"), Some("1"));
    assert!((4_900..9_000).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    lab.sts.release();
    key_id(&agent, "127.0.1.1", "app");
}

#[test]
fn clocks_and_keys_that_were_wrong_are_looked_at_again_once() {
    let lab = Lab::start();
    let troubles = [
        ("late", refuse(400, "RequestExpired")),
        ("signature", refuse(403, "SignatureDoesNotMatch")),
        ("expired", StsFault::EXPIRED_TOKEN),
        ("cut", StsFault::Close),
    ];
    for (role, fault) in &troubles {
        lab.sts.fault(Some(&arn(role)), fault.clone(), Times::Next(1));
    }
    let agent = lab.agent(&[BASE]);
    for (index, (role, _)) in troubles.iter().enumerate() {
        let address = format!("127.0.1.{}", index + 1);
        lab.kubernetes.add_pod(pod(role, &address, role));
        key_id(&agent, &address, role);
        assert_eq!(lab.sts.assumed(&arn(role)), 2, "{role}");
    }
}

#[test]
fn instance_credentials_that_aws_no_longer_takes_are_read_anew() {
    let lab = Lab::start();
    lab.kubernetes.add_pod(pod("a", "127.0.1.1", "app"));
    let node = lab.setup().unset("AWS_ACCESS_KEY_ID").unset("AWS_SECRET_ACCESS_KEY").flags(&[BASE]);
    let agent = node.start();
    agent.wait_for_log("the node's credentials come from the instance's role");
    lab.sts.wait_for_calls(1);
    let document = "/latest/meta-data/iam/security-credentials/node-role";
    let read_before = lab.metadata.count("GET", document);
    lab.sts.fault(Some(&arn("app")), StsFault::EXPIRED_TOKEN, Times::Next(1));
    key_id(&agent, "127.0.1.1", "app");
    assert_eq!(lab.metadata.count("GET", document), read_before + 1);
    lab.assert_log_is_clean(&agent);
}

#[test]
fn a_region_without_an_endpoint_is_named_and_nobody_is_asked() {
    let lab = Lab::start();
    lab.kubernetes.add_pod(pod("a", "127.0.1.1", "arn:mars:iam::123456789012:role/rover"));
    let agent = lab.setup().unset("AWS_ENDPOINT_URL_STS").set("AWS_REGION", "mars-north-1").start();
    let answer = credentials(&agent, "127.0.1.1", "arn:mars:iam::123456789012:role/rover");
    assert_eq!((answer.status, answer.text().as_str()), (500, "no_region\n"));
    let line = agent.wait_for_log("pod.name=a");
    assert!(line.contains("no endpoint of STS is known for region `mars-north-1`"), "{line}");
}

#[test]
fn failures_are_remembered_unless_told_otherwise() {
    for (flags, calls) in [(vec![BASE], 1), (vec![BASE, "--iam-role-error-ttl=0"], 3)] {
        let lab = Lab::start();
        lab.kubernetes.add_pod(pod("a", "127.0.1.1", "denied"));
        lab.sts.fault(Some(&arn("denied")), StsFault::ACCESS_DENIED, Times::Always);
        let agent = lab.agent(&flags);
        for _ in 0..3 {
            assert_eq!(credentials(&agent, "127.0.1.1", "denied").status, 403);
        }
        assert_eq!(lab.sts.assumed(&arn("denied")), calls, "{flags:?}");
    }
}

#[test]
fn what_is_held_is_served_while_sts_is_away() {
    let lab = Lab::start();
    lab.kubernetes.add_pod(pod("a", "127.0.1.1", "app"));
    lab.kubernetes.add_pod(pod("b", "127.0.1.2", "other"));
    let agent = lab.agent(&[BASE]);
    let before = key_id(&agent, "127.0.1.1", "app");
    lab.sts.wire().go_down();
    assert_eq!(credentials(&agent, "127.0.1.2", "other").status, 503);
    assert_eq!(key_id(&agent, "127.0.1.1", "app"), before);
    let list = client::get(agent.addr(), "127.0.1.2", "/latest/meta-data/iam/security-credentials/");
    assert_eq!((list.status, list.text().as_str()), (200, "other"));
    lab.sts.wire().come_back();
    super::wait_until(Duration::from_secs(20), "STS is asked again", || {
        credentials(&agent, "127.0.1.2", "other").status == 200
    });
}
