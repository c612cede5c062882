//! A token is a secret: no line, no body and no metric has a part of it.

use crate::standins::client::{self, Ask};
use crate::{POD, Site, ask, outcome, request};

#[test]
fn no_part_of_a_token_is_in_a_log_a_body_or_a_metric() {
    let site = Site::open();
    let mut agent = site.agent(&["--log-level=debug", "--events", "--debug"]);
    let kubernetes = &site.lab.kubernetes;
    let mut expired = kubernetes.claims("shop", "web");
    expired["exp"] = 1_000.into();
    let good = kubernetes.token("shop", "web");
    let forged = format!("{}A", &good[..good.len() - 1]);
    let tokens = [
        good.clone(),
        forged.clone(),
        kubernetes.sign(&expired),
        kubernetes.token("shop", "gone"),
        format!("Bearer {good}"),
        format!("Basic {good}"),
        format!("{good}.{good}"),
        good.replace('.', ""),
    ];
    let mut bodies = String::new();
    for token in &tokens {
        for from in [POD, crate::OTHER] {
            bodies.push_str(&ask(agent.addr(), token, from).text());
        }
        let elsewhere = Ask::get("/latest/meta-data/iam/security-credentials/").header("Authorization", token);
        bodies.push_str(&elsewhere.send(agent.addr(), POD).text());
    }
    let twice = request(&good).header("Authorization", &good).send(agent.addr(), POD);
    assert_eq!(outcome(&twice), (400, "token_malformed".to_owned()));
    let metrics = client::get_as_operator(agent.addr(), "/metrics").text();
    assert!(metrics.contains(r#"kube2iam_container_tokens_total{outcome="token_expired"} 2"#), "{metrics}");
    assert!(
        metrics.contains(r#"kube2iam_issuer_keys_age_seconds{issuer="https://kubernetes.default.svc"}"#),
        "{metrics}"
    );
    assert!(metrics.contains(r#"handler="containerCredentialsHandler""#), "{metrics}");
    agent.stop();
    let log = agent.log().join("\n");
    assert!(log.contains("way=container-credentials"), "{log}");
    for token in tokens {
        for part in token.split(['.', ' ']).filter(|part| part.len() > 20) {
            // The head of a token is the same for all, and says nothing; its end is what makes it good.
            let part = &part[part.len() - 20..];
            for (place, text) in [("log", &log), ("bodies", &bodies), ("metrics", &metrics)] {
                assert!(!text.contains(part), "{part} is in the {place}");
            }
        }
    }
    site.lab.assert_log_is_clean(&agent);
}

/// Real tokens have one or two thousand characters; a head has room for eight thousand.
#[test]
fn a_long_token_is_read_and_one_that_no_head_holds_is_malformed() {
    let site = Site::open();
    let agent = site.agent(&[]);
    let mut claims = site.lab.kubernetes.claims("shop", "web");
    claims["padding"] = "x".repeat(4_600).into();
    let long = site.lab.kubernetes.sign(&claims);
    assert!(long.len() > 6_000);
    assert_eq!(outcome(&ask(agent.addr(), &long, POD)), (200, "web".to_owned()));
    claims["padding"] = "x".repeat(8_000).into();
    let answer = ask(agent.addr(), &site.lab.kubernetes.sign(&claims), POD);
    assert_eq!(outcome(&answer), (400, "token_malformed".to_owned()));
    let broken = ask(agent.addr(), "eyJhbGciOiJSUzI1NiJ9.\u{1}.x", POD);
    assert_eq!(outcome(&broken), (400, "token_malformed".to_owned()));
    let elsewhere = Ask::get("/latest/").header("Authorization", &"x".repeat(9_000)).send(agent.addr(), POD);
    assert_eq!(elsewhere.status, 431);
    let metrics = client::get_as_operator(agent.addr(), "/metrics").text();
    assert!(metrics.contains(r#"kube2iam_container_tokens_total{outcome="token_malformed"} 2"#), "{metrics}");
}
