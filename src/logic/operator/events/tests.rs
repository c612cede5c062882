use super::*;
use crate::logic::cluster::kubernetes::Pod;
use crate::logic::cluster::world::tests::{listed, pod};
use serde_json::Value;

fn held(pod: Pod) -> Arc<HeldPod> {
    let uid = pod.uid.clone();
    listed(vec![pod], vec![]).pod(&uid).unwrap().clone()
}

fn keys() -> AnnotationKeys {
    AnnotationKeys {
        role: "example.org/role".into(),
        external_id: "e".into(),
        allowed_roles: "example.org/list".into(),
    }
}

fn book() -> EventBook {
    EventBook::new(keys(), "node-1".into(), Mono::default())
}

fn at(seconds: u64) -> Now {
    let wall = Wall::from_unix_seconds(1_800_000_000).after(Duration::from_secs(seconds));
    Now { mono: Mono::from_millis(seconds * 1_000), wall }
}

fn refused(uid: &str, reason: Reason) -> RefusedPod {
    RefusedPod { pod: held(pod(uid, "10.0.0.1")), reason, effect: Effect::Refused }
}

#[test]
fn an_event_names_pod_reason_and_fix() {
    let notice = book().note(&refused("a", Reason::RoleNotAllowed), at(0)).unwrap();
    let object: Value = serde_json::from_str(&notice.object).unwrap();
    for (pointer, value) in [
        ("/kind", "Event"),
        ("/involvedObject/kind", "Pod"),
        ("/involvedObject/name", "pod-a"),
        ("/involvedObject/uid", "a"),
        ("/metadata/namespace", "shop"),
        ("/type", "Warning"),
        ("/reason", "RoleNotAllowed"),
        ("/source/component", "kube2iam"),
        ("/source/host", "node-1"),
        ("/firstTimestamp", "2027-01-15T08:00:00Z"),
    ] {
        assert_eq!(object.pointer(pointer).and_then(Value::as_str), Some(value), "{pointer}");
    }
    let message = object["message"].as_str().unwrap();
    assert!(
        message.starts_with("role_not_allowed: the pod's namespace doesn't allow the role. To mend it, list `app`")
    );
    assert!(message.contains("`example.org/list`") && !message.contains("123456789012"), "{message}");
    assert!(notice.name.starts_with("pod-a.") && notice.name.len() == "pod-a.".len() + 16);
}

#[test]
fn an_event_about_a_malformed_role_mentions_the_base_that_is_set() {
    let mut book = book();
    book.set_base(Base::Set);
    let notice = book.note(&refused("a", Reason::RoleMalformed), at(0)).unwrap();
    assert!(notice.object.contains("behind the agent's base") && !notice.object.contains("--base-role-arn"));
}

#[test]
fn repetitions_are_counted_and_written_ten_minutes_later() {
    let mut book = book();
    let refused = refused("a", Reason::NoRole);
    let first = book.note(&refused, at(0)).unwrap();
    assert_eq!(first.count, 1);
    for second in 1..600 {
        assert_eq!(book.note(&refused, at(second)), None);
    }
    let again = book.note(&refused, at(600)).unwrap();
    assert_eq!((again.count, &again.name), (601, &first.name));
    assert!(
        again.change.contains("\"count\":601") && again.change.contains("\"lastTimestamp\":\"2027-01-15T08:10:00Z\"")
    );
    assert_eq!(book.note(&refused, at(601)), None);
}

#[test]
fn reasons_pods_and_effects_have_separate_events() {
    let mut book = book();
    let mut names = Vec::new();
    for (uid, reason, effect) in [
        ("a", Reason::NoRole, Effect::Refused),
        ("a", Reason::RoleNotAllowed, Effect::Refused),
        ("a", Reason::RoleNotAllowed, Effect::LetPass),
        ("b", Reason::NoRole, Effect::Refused),
    ] {
        let notice = book.note(&RefusedPod { effect, ..refused(uid, reason) }, at(0)).unwrap();
        assert_eq!(notice.object.contains("AuditRoleNotAllowed"), effect == Effect::LetPass);
        assert_eq!(notice.object.contains("policy=audit"), effect == Effect::LetPass);
        names.push(notice.name);
    }
    names.dedup();
    assert_eq!(names.len(), 4);
}

#[test]
fn events_of_many_pods_are_rate_limited_and_bounded() {
    let mut book = book();
    let all: Vec<RefusedPod> = (0..100).map(|n| refused(&format!("u{n}"), Reason::StsRefused)).collect();
    assert_eq!(all.iter().filter_map(|refused| book.note(refused, at(0))).count(), 25);
    assert_eq!(all.iter().filter_map(|refused| book.note(refused, at(10))).count(), 5);
    for n in 0..2_000 {
        book.note(&refused(&format!("v{n}"), Reason::StsRefused), at(100 + 2 * n));
    }
    assert!(book.written.len() <= MOST_WRITTEN, "{}", book.written.len());
    assert!(book.note(&refused("w", Reason::StsRefused), at(10_000)).is_some(), "the hour of the oldest has passed");
}

#[test]
fn temporary_refusals_get_no_event() {
    for reason in Reason::ALL.iter().filter(|reason| reason.is_passing()) {
        assert!(!is_for_owner(*reason), "{reason:?}");
        assert_eq!(book().note(&refused("a", *reason), at(0)), None);
    }
}

#[test]
fn names_and_messages_are_within_their_limits() {
    let long = Pod { name: format!("{}.x", "n".repeat(251)), role: Some("r".repeat(5_000)), ..pod("a", "10.0.0.1") };
    let refused = RefusedPod { pod: held(long), ..refused("a", Reason::StsRefused) };
    let notice = book().note(&refused, at(0)).unwrap();
    assert!(notice.name.len() <= 253, "{}", notice.name.len());
    let object: Value = serde_json::from_str(&notice.object).unwrap();
    assert!(object["message"].as_str().unwrap().len() <= 1_024);
}

#[test]
fn an_event_has_the_fields_of_the_core_v1_api() {
    let notice = book().note(&refused("a", Reason::NoRole), at(0)).unwrap();
    let object: Value = serde_json::from_str(&notice.object).unwrap();
    for (pointer, value) in [
        ("/apiVersion", "v1"),
        ("/involvedObject/apiVersion", "v1"),
        ("/involvedObject/namespace", "shop"),
        ("/reportingComponent", "kube2iam"),
        ("/reportingInstance", "node-1"),
        ("/lastTimestamp", "2027-01-15T08:00:00Z"),
    ] {
        assert_eq!(object.pointer(pointer).and_then(Value::as_str), Some(value), "{pointer}");
    }
    assert_eq!(object["count"], 1);
}

#[test]
fn a_trial_is_an_event_about_the_doctor_itself() {
    let trial = Notice::trial();
    let object: Value = serde_json::from_str(&trial.object).unwrap();
    for (pointer, value) in [
        ("/apiVersion", "v1"),
        ("/kind", "Event"),
        ("/metadata/name", "kube2iam-doctor"),
        ("/metadata/namespace", "default"),
        ("/involvedObject/kind", "Pod"),
        ("/involvedObject/name", "kube2iam-doctor"),
        ("/involvedObject/namespace", "default"),
        ("/type", "Normal"),
        ("/reason", "Trial"),
        ("/message", "a trial"),
    ] {
        assert_eq!(object.pointer(pointer).and_then(Value::as_str), Some(value), "{pointer}");
    }
    assert_eq!((trial.namespace.as_str(), trial.name.as_str()), ("default", "kube2iam-doctor"));
}

/// The hash is FNV-1a over uid, reason and effect: agents of any version write to the same Event.
#[test]
fn an_event_has_the_same_name_for_ever_and_the_whole_name_of_its_pod() {
    let notice = book().note(&refused("a", Reason::NoRole), at(0)).unwrap();
    assert_eq!(notice.name, "pod-a.50318bf3388b48b0");
    let long = Pod { name: "n".repeat(100), ..pod("a", "10.0.0.1") };
    let notice = book().note(&RefusedPod { pod: held(long), ..refused("a", Reason::NoRole) }, at(0)).unwrap();
    assert!(notice.name.starts_with(&format!("{}.", "n".repeat(100))), "{}", notice.name);
}

#[test]
fn events_written_an_hour_ago_make_room() {
    let mut book = book();
    for number in 0..MOST_WRITTEN {
        let written = at(if number % 2 == 0 { 0 } else { 1 });
        let key = (format!("u{number}").into(), Reason::NoRole, Effect::Refused);
        book.written.insert(key, WrittenNotice { first: written.wall, written: written.mono, count: 1 });
    }
    assert_eq!(book.note(&refused("late", Reason::NoRole), at(3_599)), None);
    assert!(book.note(&refused("late", Reason::NoRole), at(3_600)).is_some());
    assert_eq!(book.written.len(), MOST_WRITTEN / 2 + 1);
}
