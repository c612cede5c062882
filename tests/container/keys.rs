//! The keys of tokens: read, read anew, kept, and refused.

use std::time::{Duration, Instant};

use crate::standins::agent::Until;
use crate::standins::kubernetes::{IssuerDocument, On, Refusal};
use crate::standins::{PATIENCE, Times};
use crate::{BASE, POD, Site, ask, outcome};

const KEY_SET: On = On::Issuer(IssuerDocument::KeySet);
const CONFIGURATION: On = On::Issuer(IssuerDocument::Configuration);

/// Asked for keys at most once in ten seconds: until then a new key is unknown, from then on the old one is.
#[test]
fn a_rotated_key_is_learned_by_a_request_that_meets_it_and_soon_enough() {
    let site = Site::open();
    let agent = site.agent(&[]);
    let kubernetes = &site.lab.kubernetes;
    let old = kubernetes.token("shop", "web");
    assert_eq!(outcome(&ask(agent.addr(), &old, POD)), (200, "web".to_owned()));
    let read = Instant::now();
    kubernetes.rotate_key();
    let new = kubernetes.token("shop", "web");
    let mut asked = 0;
    while ask(agent.addr(), &new, POD).status == 401 {
        asked += 1;
        assert!(read.elapsed() < PATIENCE, "the new key stays unknown");
        // A pace at which SDKs ask again.
        agent.log_from(usize::MAX, Duration::from_millis(200));
    }
    assert!(asked > 0, "keys were read for each request");
    assert_eq!(kubernetes.count(KEY_SET), 2);
    assert_eq!(outcome(&ask(agent.addr(), &old, POD)), (401, "token_untrusted".to_owned()));
    assert_eq!(outcome(&ask(agent.addr(), &new, POD)), (200, "web".to_owned()));
    assert_eq!(kubernetes.count(KEY_SET), 2, "a key that is gone is not asked for at once");
}

#[test]
fn no_call_per_request_once_the_keys_are_known() {
    let site = Site::open();
    let agent = site.agent(&[]);
    let token = site.lab.kubernetes.token("shop", "web");
    assert_eq!(ask(agent.addr(), &token, POD).status, 200);
    let seen = site.lab.kubernetes.seen().len();
    for _ in 0..20 {
        assert_eq!(ask(agent.addr(), &token, POD).status, 200);
    }
    assert_eq!(site.lab.kubernetes.seen().len(), seen);
    assert_eq!((site.lab.kubernetes.count(KEY_SET), site.lab.kubernetes.count(CONFIGURATION)), (1, 1));
}

#[test]
fn an_agent_begins_with_the_keys_that_the_one_before_kept() {
    let site = Site::open();
    let dir = std::env::temp_dir().join(format!("kube2iam-issuer-{}", std::process::id()));
    let state = format!("--state-dir={}", dir.display());
    let mut first = site.agent(&[&state]);
    let token = site.lab.kubernetes.token("shop", "web");
    assert_eq!(ask(first.addr(), &token, POD).status, 200);
    first.stop();
    let refusal = Refusal::Status { code: 500, retry_after_s: None };
    site.lab.kubernetes.refuse(CONFIGURATION, refusal, Times::Always);
    let mut second = site.agent(&[&state]);
    assert_eq!(outcome(&ask(second.addr(), &token, POD)), (200, "web".to_owned()));
    second.wait_for_log("tokens are checked with the keys known before");
    second.stop();
    std::fs::write(dir.join("issuer-keys"), "planted").unwrap();
    let third = site.agent(&[&state]);
    third.wait_for_log("are to be read from the API server first");
    assert_eq!(outcome(&ask(third.addr(), &token, POD)), (503, "keys_unknown".to_owned()));
    site.lab.kubernetes.clear_refusals();
    third.wait_for_log("read the keys of ServiceAccount tokens: key-1");
    assert_eq!(outcome(&ask(third.addr(), &token, POD)), (200, "web".to_owned()));
    drop(third);
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn an_account_that_may_not_read_keys_is_told_which_rule_it_needs() {
    let site = Site::open();
    let refusal = Refusal::Status { code: 403, retry_after_s: None };
    site.lab.kubernetes.refuse(CONFIGURATION, refusal, Times::Always);
    let agent = site.lab.setup().flags(&["--container-credentials", BASE]).until(Until::Ready).start();
    let line = agent.wait_for_log("nonResourceURLs");
    assert!(line.contains("/openid/v1/jwks") && line.contains("keys_unknown"), "{line}");
    let answer = ask(agent.addr(), &site.lab.kubernetes.token("shop", "web"), POD);
    assert_eq!((outcome(&answer), answer.header("Retry-After")), ((503, "keys_unknown".to_owned()), Some("1")));
    // At the metadata routes nothing has changed.
    assert_eq!(
        crate::standins::client::get(agent.addr(), POD, "/latest/meta-data/iam/security-credentials/").text(),
        "web"
    );
    let warnings = agent.log().iter().filter(|line| line.contains("nonResourceURLs")).count();
    assert_eq!(warnings, 1, "once for a cause, not for each try");
}
