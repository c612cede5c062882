//! `kube2iam explain` against a running agent: it says what a request gets.

use super::standins::client::get;
use super::standins::kubernetes::PodSpec;
use super::standins::sts::StsFault;
use super::standins::{Lab, Times};
use super::{Site, WEB, web};

const CREDENTIALS: &str = "/latest/meta-data/iam/security-credentials/app";
const ROLE: &str = "arn:aws:iam::123456789012:role/app";

fn restricted() -> Site {
    let lab = Lab::start();
    lab.kubernetes.add_namespace("shop", &[("iam.amazonaws.com/allowed-roles", r#"["app", "team/*"]"#)]);
    lab.kubernetes.add_namespace("closed", &[]);
    lab.kubernetes.add_pod(web());
    lab.kubernetes.add_pod(PodSpec::new("closed", "web-2").ip("127.0.0.8").role("app"));
    lab.kubernetes.add_pod(PodSpec::new("shop", "plain").ip("127.0.0.9"));
    lab.kubernetes.add_pod(PodSpec::new("shop", "host").ip("127.0.1.1").role("app").host_network());
    lab.kubernetes.add_pod(PodSpec::new("shop", "done").ip("127.0.0.10").role("app").phase("Succeeded"));
    lab.kubernetes.add_pod(PodSpec::new("shop", "twin-a").ip("127.0.0.11").role("app"));
    lab.kubernetes.add_pod(PodSpec::new("shop", "twin-b").ip("127.0.0.11").role("app"));
    let odd = ("iam.amazonaws.com/external-id", "a b");
    lab.kubernetes.add_pod(PodSpec::new("shop", "odd").ip("127.0.0.12").role("app").annotation(odd.0, odd.1));
    Site::open(lab, &["--namespace-restrictions"])
}

#[test]
fn an_explanation_agrees_with_the_request() {
    let site = restricted();
    for (subject, address, decision, reason) in [
        ("shop/web-1", WEB, "allowed", None),
        ("closed/web-2", "127.0.0.8", "refused", Some("role_not_allowed")),
        ("shop/plain", "127.0.0.9", "refused", Some("no_role")),
        ("shop/host", "127.0.1.1", "refused", Some("unknown_pod")),
        ("shop/done", "127.0.0.10", "refused", Some("unknown_pod")),
        ("shop/twin-a", "127.0.0.11", "refused", Some("ambiguous_address")),
        ("shop/odd", "127.0.0.12", "refused", Some("external_id_malformed")),
        ("127.0.0.99", "127.0.0.99", "refused", Some("unknown_pod")),
    ] {
        let told = site.explained(subject, |_| true);
        assert_eq!((told["decision"].as_str(), told["reason"].as_str()), (Some(decision), reason), "{told}");
        let answer = get(site.agent.addr(), address, CREDENTIALS);
        assert_eq!(answer.status == 200, decision == "allowed", "{subject}: {}", answer.text());
        if let Some(reason) = reason {
            assert!(answer.text().contains(reason), "{subject}: {}", answer.text());
        }
        let by_address = site.explained(address, |_| true);
        assert_eq!(by_address["decision"], told["decision"], "{address}");
    }
    assert_eq!(site.lab.sts.assumed(ROLE), 1, "explaining asks STS for nothing");
}

#[test]
fn the_text_names_what_decided_and_how_to_mend_it() {
    let site = restricted();
    for (subject, parts) in [
        ("shop/web-1", &["shop/web-1: allowed", ROLE, "`app` in `iam.amazonaws.com/allowed-roles` of `shop`"][..]),
        (
            "closed/web-2",
            &["closed/web-2: refused (role_not_allowed)", ROLE, "iam.amazonaws.com/allowed-roles", "fix: list `app`"],
        ),
        (
            "shop/plain",
            &["refused (no_role)", "the pod has no annotation `iam.amazonaws.com/role`", "fix: name a role"],
        ),
        (
            "shop/host",
            &["refused (unknown_pod)", "iam.amazonaws.com/role", "hostNetwork", "fix: remove `hostNetwork: true` from"],
        ),
        ("shop/done", &["refused (unknown_pod)", "iam.amazonaws.com/role", "phase", "Succeeded"]),
        ("shop/twin-a", &["refused (ambiguous_address)", ROLE, "2 running pods claim the address", "fix: wait until"]),
        ("127.0.0.11", &["refused (ambiguous_address)", "`shop/twin-a`, `shop/twin-b`"]),
        (
            "shop/odd",
            &["refused (external_id_malformed)", ROLE, "external ID", "fix: write `iam.amazonaws.com/external-id`"],
        ),
        ("shop/nobody", &["refused (unknown_pod)", "not found"]),
        ("127.0.0.99", &["refused (unknown_pod)", "not found"]),
    ] {
        let outcome = site.ask(&["explain", subject]);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{subject}");
        for part in parts {
            assert!(outcome.stdout.contains(part), "{part} is not in\n{}", outcome.stdout);
        }
    }
}

#[test]
fn an_explanation_follows_the_policy_as_it_changes() {
    let site = restricted();
    site.explained("closed/web-2", |told| told["decision"] == "refused");
    site.lab.kubernetes.add_namespace("closed", &[("iam.amazonaws.com/allowed-roles", r#"["app"]"#)]);
    let told = site.explained("closed/web-2", |told| told["decision"] == "allowed");
    assert_eq!((told["role"].as_str(), &told["fix"]), (Some(ROLE), &serde_json::Value::Null));
    assert_eq!((&told["pod"], &told["namespace"]), (&"web-2".into(), &"closed".into()));
}

#[test]
fn the_state_of_the_credentials_is_told() {
    let lab = Lab::start();
    lab.kubernetes.add_pod(web());
    lab.sts.fault(Some(ROLE), StsFault::ACCESS_DENIED, Times::Next(1));
    let site = Site::open(lab, &["--iam-role-error-ttl=0"]);
    let told = site.explained("shop/web-1", |_| true);
    assert_eq!((&told["credentials"]["state"], &told["decision"]), (&"none".into(), &"allowed".into()));
    assert_eq!(get(site.agent.addr(), WEB, CREDENTIALS).status, 403);
    let told = site.explained("shop/web-1", |told| told["credentials"]["state"] == "refused");
    assert_eq!((&told["decision"], &told["reason"]), (&"refused".into(), &"sts_refused".into()));
    assert_eq!(told["credentials"]["code"], "AccessDenied");
    assert!(told["credentials"]["at"].as_str().unwrap().ends_with('Z'), "{told}");
    assert!(told["fix"].as_str().unwrap().contains("trust policy of `app`"), "{told}");
    let (text, at) = (site.ask(&["explain", "shop/web-1"]).stdout, told["credentials"]["at"].as_str().unwrap());
    assert!(text.contains(&format!("credentials: refused, STS said AccessDenied at {at}: ")), "{text}");
    assert_eq!(get(site.agent.addr(), WEB, CREDENTIALS).status, 200);
    let told = site.explained("shop/web-1", |told| told["credentials"]["state"] == "fresh");
    assert!(told["credentials"]["expires"].is_string() && told["credentials"]["code"].is_null(), "{told}");
    site.lab.sts.hold();
    site.lab.assert_log_is_clean(&site.agent);
    let text = site.ask(&["explain", "shop/web-1"]).stdout;
    assert!(text.contains("credentials: fresh, valid until "), "{text}");
    for secret in site.lab.secrets() {
        assert!(!text.contains(&secret) && !told.to_string().contains(&secret));
    }
}

#[test]
fn before_the_lists_are_in_nobody_is_called_unknown() {
    use super::standins::agent::Until;
    use super::standins::kubernetes::{Kind, On, Refusal};
    let lab = Lab::start();
    lab.kubernetes.refuse(On::List(Kind::Pod), Refusal::Stall, Times::Always);
    let socket = super::socket();
    let agent = lab.setup().flags(&[super::BASE, &super::flag(&socket)]).until(Until::Listening).start();
    let outcome = super::ask(&socket, &["explain", "shop/web-1"]);
    assert!(outcome.stdout.contains("refused (not_ready)"), "{outcome:?}");
    assert!(outcome.stdout.contains("pods aren't listed yet"), "{outcome:?}");
    drop(agent);
}

/// A tenant writes the role, whoever mends the pod runs what is printed.
#[test]
fn a_printed_command_gives_kubectl_what_is_meant_and_runs_nothing_else() {
    let lab = Lab::start();
    let listed = r#"["it's", "$(touch owned)", "`touch owned`\u202e"]"#;
    lab.kubernetes.add_namespace("closed", &[("iam.amazonaws.com/allowed-roles", listed)]);
    let roles =
        ["a'$(touch${IFS}owned)'/b", "a`touch${IFS}owned`/b", "a\"$(touch${IFS}owned)\"/b", "a';touch${IFS}owned;'/b"];
    for (index, role) in roles.iter().enumerate() {
        let pod = PodSpec::new("closed", &format!("pod-{index}")).ip(&format!("127.0.2.{}", index + 1)).role(role);
        lab.kubernetes.add_pod(pod);
    }
    let site = Site::open(lab, &["--namespace-restrictions"]);
    for (index, role) in roles.iter().enumerate() {
        let fix = site.explained(&format!("closed/pod-{index}"), |_| true)["fix"].as_str().unwrap().to_owned();
        let (_, command) = fix.split_once(": `").unwrap();
        let given = run_with_a_kubectl_that_writes_its_words_down(command.strip_suffix('`').unwrap());
        let (words, annotation) = given.split_at(given.len() - 1);
        assert_eq!(words, ["annotate", "namespace", "closed", "--overwrite"], "{command}");
        let list: Vec<String> =
            serde_json::from_str(annotation[0].strip_prefix("iam.amazonaws.com/allowed-roles=").unwrap()).unwrap();
        assert_eq!(list, ["it's", "$(touch owned)", "`touch owned`\u{202e}", role], "{command}");
    }
}

/// The words that a shell gives to kubectl; nothing else may have happened.
fn run_with_a_kubectl_that_writes_its_words_down(command: &str) -> Vec<String> {
    use std::os::unix::fs::PermissionsExt;
    let dir = super::socket().parent().unwrap().with_extension("shell");
    std::fs::create_dir_all(&dir).unwrap();
    let kubectl = dir.join("kubectl");
    std::fs::write(&kubectl, "#!/bin/sh\nprintf '%s\\n' \"$@\" > words\n").unwrap();
    std::fs::set_permissions(&kubectl, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", dir.display());
    let mut shell = std::process::Command::new("/bin/sh");
    let status = shell.args(["-c", command]).current_dir(&dir).env("PATH", path).status().unwrap();
    let words = std::fs::read_to_string(dir.join("words")).unwrap();
    let made: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(status.success() && made.len() == 2, "{command}: {made:?}");
    words.lines().map(str::to_owned).collect()
}
