use super::*;

#[test]
fn missing_permissions_are_named() {
    let failure = |kind| KubernetesFailure { kind, cause: "403 Forbidden: no".into() };
    let found = of_kubernetes("watch", "pods", &failure(KubernetesFailureKind::Forbidden));
    assert_eq!(found, Finding::fail("403 Forbidden: no; let the agent's ClusterRole `watch` `pods`"));
    let found = of_kubernetes("list", "pods", &failure(KubernetesFailureKind::Unauthorized));
    assert!(found.text.contains("doesn't know the agent's token"));
    let kind = KubernetesFailureKind::Unavailable { retry_after_s: Some(1) };
    let of = |cause: &str| of_kubernetes("list", "pods", &KubernetesFailure { kind, cause: cause.into() }).text;
    let busy = of("failed to list `pods`: 429 Too Many Requests: slow down");
    assert!(busy.contains("it is busy") && !busy.contains("certificate"), "{busy}");
    assert!(of("failed to list `pods`: 500 Internal Server Error: 429 of them").contains("certificate"));
}

#[test]
fn a_denial_names_the_policy_that_lacks_a_permission() {
    let caller = "arn:aws-cn:sts::123456789012:assumed-role/node/i-0abc";
    for (message, advice) in [
        (
            "User: x is not authorized to perform: sts:AssumeRole on resource: y",
            "either the trust policy of `R` must name `arn:aws-cn:iam::123456789012:role/node` as principal, or the",
        ),
        ("... because no identity-based policy allows the sts:AssumeRole action", "; the policies of `arn:aws-cn"),
        ("... because no resource-based policy allows the action", "; the trust policy of `R` must name"),
        ("... not authorized to perform: sts:TagSession on resource", "need sts:TagSession"),
        ("... with an explicit deny in a service control policy", "a policy denies it explicitly"),
    ] {
        let failure = StsFailure {
            kind: StsFailureKind::Refused,
            code: "AccessDenied".into(),
            message: message.into(),
            request_id: None,
        };
        let found = of_denied_role("R", Some(caller), &failure);
        assert!(found.mark == Mark::Fail && found.text.contains(advice), "{}", found.text);
    }
    assert_eq!(own_role("arn:aws:iam::1:user/x"), "arn:aws:iam::1:user/x");
}

#[test]
fn a_clock_is_judged_by_its_skew() {
    let at = Wall::from_unix_seconds;
    for (now, theirs, mark, text) in [
        (100, 100, Mark::Ok, "agrees"),
        (100, 110, Mark::Ok, "10 s behind STS"),
        (200, 100, Mark::Warn, "100 s ahead of STS; "),
    ] {
        let found = of_clock(at(now), at(theirs));
        assert!(found.mark == mark && found.text.starts_with(text), "{found:?}");
    }
}

#[test]
fn each_combination_of_versions_has_a_finding() {
    assert_eq!(of_versions(ServedVersions::OnlyWithToken).mark, Mark::Ok);
    assert_eq!(of_versions(ServedVersions::OnlyWithoutToken).mark, Mark::Warn);
    assert_eq!(of_versions(ServedVersions::Neither).mark, Mark::Fail);
}

#[test]
fn pods_that_can_show_no_token_are_named_up_to_a_few() {
    let pods = |count: usize| Ok((0..count).map(|number| format!("shop/p{number}")).collect::<Vec<_>>());
    assert_eq!(of_uninjected(pods(0)).mark, Mark::Ok);
    let few = of_uninjected(pods(MOST_PODS_SHOWN));
    assert!(few.mark == Mark::Warn && few.text.starts_with(&format!("{MOST_PODS_SHOWN} pods")), "{}", few.text);
    assert!(few.text.ends_with(&format!("shop/p{}", MOST_PODS_SHOWN - 1)), "{}", few.text);
    let many = of_uninjected(pods(MOST_PODS_SHOWN + 1)).text;
    assert!(many.ends_with(", ...") && !many.contains(&format!("shop/p{MOST_PODS_SHOWN}")), "{many}");
    let kind = KubernetesFailureKind::Forbidden;
    assert_eq!(of_uninjected(Err(KubernetesFailure { kind, cause: "403".into() })), Finding::warn("403"));
}

#[test]
fn marks_are_printed_as_words() {
    assert_eq!([Mark::Ok, Mark::Warn, Mark::Fail].map(Mark::word), ["ok", "warn", "FAIL"]);
}
