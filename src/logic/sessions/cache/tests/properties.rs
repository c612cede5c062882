//! Requests that differ in any field never share a session.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::*;
use crate::logic::sts::{SessionPolicy, TokenSubject, form_body};

/// Few values, so that equal ones are common, including values that would collide if fields were concatenated.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(""), Just("a"), Just("b"), Just("ab"), Just("a&b=c"), Just("{}"), Just("%26"), Just("a b")]
        .prop_map(str::to_owned)
}

fn request() -> impl Strategy<Value = AssumeRole> {
    let role = prop_oneof![Just("a"), Just("b"), Just("p/a")];
    let duration_s = prop_oneof![Just(900), Just(3_600)];
    let tags = vec((text(), text()), 0..3);
    let call = (role, text(), of(text()), duration_s, of(text()), vec(text(), 0..3), tags, vec(text(), 0..3));
    (call, of((text(), text()))).prop_map(
        |((role, session_name, external_id, duration_s, policy, policy_arns, tags, transitive_tags), subject)| {
            AssumeRole {
                role: key(role).role,
                session_name,
                external_id,
                duration_s,
                policy: policy.and_then(|policy| SessionPolicy::new(&policy)),
                policy_arns,
                tags,
                transitive_tags,
                subject: subject.map(|(namespace, account)| TokenSubject {
                    namespace: namespace.into(),
                    service_account: account.into(),
                }),
            }
        },
    )
}

/// Changes the value of one field.
fn changed(request: &AssumeRole, field: usize) -> AssumeRole {
    let mut other = request.clone();
    match field {
        0 => other.role = key("changed").role,
        1 => other.session_name.push('x'),
        2 => other.external_id = Some(format!("{}x", other.external_id.unwrap_or_default())),
        3 => other.duration_s += 1,
        4 => {
            other.policy =
                SessionPolicy::new(&format!("{}x", other.policy.map(|policy| policy.text()).unwrap_or_default()))
        }
        5 => other.policy_arns.push("x".into()),
        6 => other.tags.push(("x".into(), String::new())),
        7 => other.transitive_tags.push("x".into()),
        8 => {
            let account = other.subject.map_or_else(String::new, |subject| subject.service_account.to_string());
            other.subject = Some(TokenSubject { namespace: "x".into(), service_account: format!("{account}x").into() });
        }
        _ => {
            let namespace = other.subject.map_or_else(String::new, |subject| subject.namespace.to_string());
            other.subject =
                Some(TokenSubject { namespace: format!("{namespace}x").into(), service_account: "x".into() });
        }
    }
    other
}

fn check(one: &AssumeRole, other: &AssumeRole) {
    let mut cache = cache();
    assert!(matches!(cache.ask(one, Start::Allowed, None, at(0)), CacheAnswer::Wait(1)));
    assert!(matches!(cache.next(at(0)), NextCall::Call(due) if *due.request == *one));
    cache.finish(one, Ok((1, HOUR)), at(0), 0);
    let shared = matches!(cache.ask(other, Start::Allowed, None, at(1)), CacheAnswer::Serve(_));
    // Sessions are separated by what STS receives and whose token is used, not by a hash.
    let asked = |request: &AssumeRole| (form_body(request), request.subject.clone());
    assert_eq!(shared, asked(one) == asked(other), "{one:?} {other:?}");
    assert_eq!(shared, one == other, "{one:?} {other:?}");
}

proptest! {
    #[test]
    fn requests_that_differ_anywhere_never_share_a_session(one in request(), other in request(), field in 0..10_usize) {
        check(&one, &other);
        check(&one, &one.clone());
        check(&one, &changed(&one, field));
    }
}
