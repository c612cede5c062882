//! What the node's operator is told: `status`, `doctor` and `explain`.

use std::path::PathBuf;

use crate::standins::Times;
use crate::standins::agent::{Outcome, Setup, test_binary};
use crate::standins::kubernetes::{IssuerDocument, On, Refusal};
use crate::{BASE, Site};

fn doctor(site: &Site, variables: &[(&str, &str)]) -> Outcome {
    let setup = site.lab.configure(Setup::of(test_binary()).flags(&["doctor"]));
    let setup = setup.flags(&[BASE, "--container-credentials"]);
    variables.iter().fold(setup, |setup, (name, value)| setup.set(name, value)).run()
}

#[track_caller]
fn assert_line(outcome: &Outcome, check: &str, parts: &[&str]) {
    let line = outcome.stdout.lines().find(|line| line.starts_with(&format!("{check}  ")));
    let line = line.unwrap_or_else(|| panic!("no line `{check}` in\n{}{}", outcome.stdout, outcome.stderr));
    assert!(parts.iter().all(|part| line.contains(part)), "{parts:?} in {line}");
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("kube2iam-{name}-{}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn the_doctor_reads_the_keys_checks_its_own_token_and_finds_pods_without_one() {
    let site = Site::open();
    let token = site.lab.kubernetes.token("shop", "web");
    let good = file("own-token", &format!("{token}\n"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}/v1/credentials", listener.local_addr().unwrap());
    let token_file = ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", good.to_str().unwrap());
    let outcome = doctor(&site, &[token_file, ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &uri)]);
    assert_line(&outcome, "token keys", &["ok", "issuer https://kubernetes.default.svc, keys key-1"]);
    assert_line(&outcome, "own token", &["ok", "proves `shop/web` until "]);
    assert_line(&outcome, "own endpoint", &["ok", "can be reached"]);
    assert_line(&outcome, "injection", &["warn", "4 pods name a role", "shop/web"]);
    assert!(!outcome.stdout.contains(&token[20..]) && !outcome.stderr.contains(&token[20..]));
    let mut other = site.lab.kubernetes.claims("shop", "web");
    other["aud"] = "other".into();
    std::fs::write(&good, site.lab.kubernetes.sign(&other)).unwrap();
    let outcome = doctor(&site, &[token_file]);
    assert_line(&outcome, "own token", &["FAIL", "none of the audiences kube2iam"]);
    std::fs::remove_file(good).unwrap();
}

#[test]
fn doctor_and_status_say_that_keys_may_not_be_read() {
    let site = Site::open();
    let refusal = Refusal::Status { code: 403, retry_after_s: None };
    site.lab.kubernetes.refuse(On::Issuer(IssuerDocument::Configuration), refusal, Times::Always);
    let outcome = doctor(&site, &[]);
    assert_line(&outcome, "token keys", &["FAIL", "nonResourceURLs `/openid/v1/jwks`"]);
    assert_eq!(outcome.code, Some(1));
    let socket = std::env::temp_dir().join(format!("kube2iam-container-{}/control.sock", std::process::id()));
    let agent = site.agent(&[&format!("--control-socket={}", socket.display())]);
    agent.wait_for_log("nonResourceURLs");
    let ask = |words: &[&str]| {
        Setup::of(test_binary()).flags(words).flags(&[&format!("--socket={}", socket.display())]).run().stdout
    };
    let status = ask(&["status"]);
    assert!(status.contains("token keys         not known yet: container credentials are refused"), "{status}");
    assert!(status.contains("; failing for ") && status.contains("403"), "{status}");
    let explained = ask(&["explain", "shop/host-1"]);
    assert!(explained.starts_with("shop/host-1: allowed\n"), "{explained}");
    drop(agent);
    let _ = std::fs::remove_dir_all(socket.parent().unwrap());
}
