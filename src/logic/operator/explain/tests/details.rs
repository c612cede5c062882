//! Details of explanations besides the decision.

use super::*;

#[test]
fn an_explanation_has_the_pod_and_the_address() {
    let world = listed(vec![pod("a", "10.0.0.1")], vec![]);
    for subject in ["shop/pod-a", "10.0.0.1"] {
        let story = story(&world, &rules(), subject);
        assert_eq!(story.peer, Some("10.0.0.1".parse().unwrap()), "{subject}");
        assert_eq!(story.pod.map(|pod| pod.uid.to_string()).as_deref(), Some("a"), "{subject}");
    }
}

#[test]
fn pods_that_hold_no_address_are_shown_with_the_reason() {
    let at = |uid: &str| pod(uid, "10.0.0.1");
    let pods = vec![
        Pod { finished: true, ..at("c") },
        Pod { host_network: true, ..at("b") },
        Pod { finished: true, ..at("a") },
    ];
    let text = check(pods, vec![], &rules(), "10.0.0.1");
    let line =
        "10.0.0.1 leads to no single pod: `shop/pod-a` (finished), `shop/pod-b` (hostNetwork), `shop/pod-c` (finished)";
    assert!(text.contains(line), "{text}");
    let host = check(vec![Pod { host_network: true, ..at("b") }], vec![], &rules(), "shop/pod-b");
    assert!(host.contains("remove `hostNetwork: true` from the pod"), "{host}");
}

#[test]
fn a_session_is_shown_with_tags_and_session_policy() {
    let tagged = || {
        let session =
            SessionAnnotations { policy_arns: Some("arn:aws:iam::aws:policy/A".into()), ..Default::default() };
        Pod { session: Some(Box::new(session)), ..pod("a", "10.0.0.1") }
    };
    let plain = check(vec![pod("a", "10.0.0.1")], vec![], &rules(), "shop/pod-a");
    assert!(!plain.contains("narrowed") && !plain.contains(", tags "), "{plain}");
    assert!(!plain.contains("proof_required"), "{plain}");
    let text = check(vec![tagged()], vec![], &rules(), "shop/pod-a");
    assert!(text.contains(", narrowed by a session policy"), "{text}");
    let tags = crate::logic::sessions::session::Tags::Pod {
        cluster: None,
        reach: crate::logic::sessions::session::TagReach::Session,
    };
    let mut tagging = rules();
    tagging.session.tags = tags;
    let text = check(vec![pod("a", "10.0.0.1")], vec![], &tagging, "shop/pod-a");
    assert!(text.contains(", tags ") && text.contains("=shop"), "{text}");
}

#[test]
fn at_most_twenty_entries_of_a_list_are_shown() {
    let list = |entries: usize| serde_json::to_string(&vec!["other"; entries]).unwrap();
    for (entries, more) in [(20, None), (21, Some("1 more entries")), (30, Some("10 more entries"))] {
        let namespaces = vec![namespace("shop", Some(&list(entries)))];
        let text = check(vec![pod("a", "10.0.0.1")], namespaces, &restricted(), "shop/pod-a");
        assert_eq!(text.matches("doesn't match").count(), 20, "{text}");
        assert_eq!(text.contains("more entries"), more.is_some(), "{text}");
        assert!(more.is_none_or(|more| text.contains(more)), "{text}");
    }
}

#[test]
fn pods_that_are_all_being_deleted_are_shown_as_such() {
    let going = |uid: &str| Pod { deleting: true, ..pod(uid, "10.0.0.1") };
    let text = check(vec![going("a"), going("b")], vec![], &rules(), "10.0.0.1");
    assert!(text.contains("`shop/pod-a` (being deleted), `shop/pod-b` (being deleted)"), "{text}");
}

#[test]
fn a_role_that_may_be_the_agents_own_is_shown_as_refused() {
    let sought = Rules { own_roles: OwnRoles::Sought(vec![]), ..rules() };
    let text = check(vec![pod("a", "10.0.0.1")], vec![], &sought, "shop/pod-a");
    assert!(text.starts_with("shop/pod-a: refused (not_ready)"), "{text}");
}
