use super::*;

#[test]
fn spans_have_two_units() {
    for (seconds, text) in [(59, "59 s"), (61, "1 min 1 s"), (3_661, "1 h 1 min"), (90_000, "1 d 1 h")] {
        assert_eq!(span(seconds), text);
    }
}

#[test]
fn problems_come_first_with_server_cause_and_duration() {
    let trouble = |cause: &str| Some(ServerTrouble { since_s: 61, cause: cause.into() });
    let watching = |resource: &str, listed, failing| Watching { resource: resource.into(), listed, age_s: 90, failing };
    let mut status = AgentStatus {
        api_server: "https://10.96.0.1:443".into(),
        not_ready: Some("pods are not listed yet".into()),
        watches: vec![
            watching("pods", false, trouble("403 Forbidden")),
            watching("namespaces", true, trouble("timed out")),
            watching("serviceaccounts", true, None),
        ],
        undiscovered: trouble("no answer from the metadata service"),
        node_credentials: NodeKeys {
            source: "the instance role".into(),
            failing: trouble("404"),
            ..NodeKeys::default()
        },
        sts: trouble("Unreachable: no route"),
        token_keys: Some(TokenKeysStatus { failing: trouble("403 Forbidden"), ..TokenKeysStatus::default() }),
        redirect: Some(RedirectReport {
            whole: false,
            kept: true,
            connections: None,
            detail: "table inet kube2iam:\n missing".into(),
        }),
        ..AgentStatus::default()
    };
    status.problems = status.find_problems();
    let text = status.text();
    let problems: Vec<&str> = text.lines().skip(1).take_while(|line| line.starts_with("PROBLEM")).collect();
    let wanted = [
        "the redirect is not in place: table inet kube2iam: missing",
        "roles are not discovered, for 1 min 1 s: no answer from the metadata service",
        "pods were never listed from `https://10.96.0.1:443`, for 1 min 1 s: 403 Forbidden",
        "namespaces can't be watched at `https://10.96.0.1:443`, what is known is 1 min 30 s old, for 1 min 1 s: timed out",
        "no node credentials from the instance role, for 1 min 1 s: 404",
        "keys of ServiceAccount tokens can't be read, for 1 min 1 s: 403 Forbidden",
        "calls to STS fail, for 1 min 1 s: Unreachable: no route",
    ];
    assert_eq!(problems, wanted.map(|problem| format!("PROBLEM            {problem}")), "{text}");
    assert!(text.contains("\nready              no: pods are not listed yet\n"), "{text}");
}

#[test]
fn a_healthy_agent_has_no_problem() {
    let watches = vec![Watching { resource: "pods".into(), listed: true, ..Watching::default() }];
    let status = AgentStatus { roles: Some(Roles::default()), watches, ..AgentStatus::default() };
    assert_eq!(status.find_problems(), []);
}

/// Without NET_ADMIN the address is managed by other means, or the agent serves loopback only.
#[test]
fn an_address_not_managed_by_this_agent_is_shown_and_no_problem() {
    let report = |kept| RedirectReport { kept, detail: "not kept by this agent".into(), ..RedirectReport::default() };
    for (kept, problems) in [(true, 1), (false, 0)] {
        let status = AgentStatus {
            roles: Some(Roles::default()),
            credentials_address: Some(report(kept)),
            ..AgentStatus::default()
        };
        assert_eq!(status.find_problems().len(), problems);
        assert!(status.text().contains("address            not kept by this agent\n"), "{}", status.text());
    }
}

#[test]
fn every_fact_has_a_line() {
    let status = AgentStatus {
        version: "1.2.3".into(),
        taken_port: Some("port 8181 is held".into()),
        watches: vec![
            Watching { resource: "pods".into(), listed: true, age_s: 3, failing: None },
            Watching {
                resource: "namespaces".into(),
                failing: Some(ServerTrouble { since_s: 61, cause: "403 Forbidden".into() }),
                ..Watching::default()
            },
        ],
        limits: vec![Limit { name: "connections".into(), used: 3, most: 1_024 }],
        redirect: Some(RedirectReport {
            whole: true,
            kept: true,
            connections: Some(7),
            detail: "whole\n7 connections".into(),
        }),
        ..AgentStatus::default()
    };
    let text = status.text();
    assert!(text.contains("\nport               port 8181 is held\n"), "{text}");
    for part in [
        "pods: listed, last heard of 3 s ago",
        "namespaces: not listed yet; failing for 1 min 1 s: 403",
        "connections: 3 of 1024",
        "redirect           whole\n",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn token_keys_are_shown_with_age_and_failure() {
    let failing = Some(ServerTrouble { since_s: 61, cause: "403 Forbidden".into() });
    let unknown = TokenKeysStatus { failing: failing.clone(), ..TokenKeysStatus::default() };
    let keys = vec!["one".to_owned(), "two".to_owned()];
    let known = TokenKeysStatus { issuer: Some("https://a".into()), keys, age_s: Some(7), failing: None };
    for (keys, text) in [
        (&unknown, "refused (keys_unknown); failing for 1 min 1 s: 403 Forbidden"),
        (&known, "token keys         issuer https://a, keys one, two, read 7 s ago\n"),
    ] {
        let status = AgentStatus { token_keys: Some(keys.clone()), ..AgentStatus::default() };
        assert!(status.text().contains(text), "{}", status.text());
    }
}

#[test]
fn roles_credentials_and_sessions_have_a_line_each() {
    let status = AgentStatus {
        roles: Some(Roles {
            base_arn: "arn:aws:iam::1:role/".into(),
            default_role: None,
            namespace_restrictions: "glob".into(),
        }),
        node_credentials: NodeKeys {
            source: "the instance role".into(),
            caller: Some("arn:aws:sts::1:assumed-role/node/i".into()),
            expires: Some("2026-11-23T05:42:04Z".into()),
            ..NodeKeys::default()
        },
        sessions: Sessions { held: 1, refused: 2, queued: 3, in_flight: 4, budget: 5.0, budget_burst: 6.0 },
        ..AgentStatus::default()
    };
    let text = status.text();
    for line in [
        "base arn:aws:iam::1:role/, default none, namespace restrictions glob\n",
        "the instance role, as arn:aws:sts::1:assumed-role/node/i, valid until 2026-11-23T05:42:04Z\n",
        "1 held, 2 refused, 3 queued, 4 in flight; budget for renewals 5 of 6\n",
    ] {
        assert!(text.contains(line), "{line} {text}");
    }
}
