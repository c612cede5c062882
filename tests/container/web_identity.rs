//! `--sts=web-identity`: STS is shown the token that the pod has shown, and nothing is done in the node's name.

use std::collections::BTreeSet;

use crate::standins::agent::{Agent, Outcome, Setup, test_binary};
use crate::standins::client;
use crate::standins::kubernetes::PodSpec;
use crate::standins::sts::StsFault;
use crate::standins::{ENVIRONMENT_SECRET, Times, metadata};
use crate::{BASE, NODE, OTHER, POD, Site, ask, outcome};

const LIST: &str = "/latest/meta-data/iam/security-credentials/";

/// Two pods of the ServiceAccount `cart`, one of `thief`, all with the role `cart`, which trusts the first alone.
fn site(audiences: &[&str]) -> Site {
    let site = Site::open();
    for (name, account, address) in
        [("cart-1", "cart", "127.0.9.11"), ("cart-2", "cart", "127.0.9.12"), ("thief", "thief", "127.0.9.13")]
    {
        site.lab.kubernetes.add_pod(PodSpec::new("shop", name).ip(address).service_account(account).role("cart"));
    }
    let tagged = PodSpec::new("shop", "vendor").ip("127.0.9.14").service_account("cart").role("cart");
    site.lab.kubernetes.add_pod(tagged.annotation("iam.amazonaws.com/external-id", "customer-7"));
    let host = PodSpec::new("shop", "host-3").ip(NODE).service_account("cart").role("cart").host_network();
    site.lab.kubernetes.add_pod(host);
    site.lab.take_only_tokens(audiences, &[("cart", "cart"), ("web", "default"), ("other", "default")]);
    site
}

/// As on a node whose role may do nothing, and whose agent was given nothing.
fn setup(site: &Site) -> Setup {
    let setup = site.lab.setup().flags(&["--container-credentials", "--sts=web-identity", BASE]);
    setup.unset("AWS_ACCESS_KEY_ID").unset("AWS_SECRET_ACCESS_KEY")
}

fn got(site: &Site, agent: &Agent, pod: &str, from: &str) -> (u16, String) {
    outcome(&ask(agent.addr(), &site.lab.kubernetes.token("shop", pod), from))
}

/// The one promise: whatever pods ask for, STS sees no call that the node signed.
fn assert_nothing_is_signed(site: &Site, agent: &Agent) {
    for call in site.lab.sts.calls() {
        assert_eq!(call.action, "AssumeRoleWithWebIdentity");
        assert_eq!((&call.authorization, &call.security_token), (&None, &None), "{call:?}");
    }
    let credentials = site.lab.metadata.seen().into_iter().filter(|seen| seen.path().contains("credentials"));
    assert_eq!(credentials.count(), 0, "the node's credentials were looked for");
    site.lab.assert_log_is_clean(agent);
    let log = agent.log().join("\n");
    assert!(!log.contains(metadata::NODE_CANARY) && !log.contains(ENVIRONMENT_SECRET), "{log}");
}

#[test]
fn sts_is_shown_the_pods_token_and_nothing_of_the_nodes() {
    let site = site(&["kube2iam"]);
    let agent = setup(&site).flags(&["--log-level=debug", "--node=node-1"]).start();
    agent.wait_for_log("calls to STS carry the pods' own tokens; the node needs no permission");
    let key = |pod: &str, from: &str| {
        let answer = ask(agent.addr(), &site.lab.kubernetes.token("shop", pod), from);
        assert_eq!(outcome(&answer), (200, "cart".to_owned()), "{pod}");
        answer.json()["AccessKeyId"].as_str().unwrap().to_owned()
    };
    let keys: BTreeSet<String> =
        [key("cart-1", "127.0.9.11"), key("cart-2", "127.0.9.12"), key("host-3", NODE)].into_iter().collect();
    assert_eq!(keys.len(), 1, "pods of one ServiceAccount share a session");
    assert_eq!(got(&site, &agent, "web", POD), (200, "web".to_owned()));
    let calls = site.lab.sts.calls();
    assert_eq!(calls.len(), 2, "one call for each session, and none ahead of them: {calls:?}");
    assert_eq!(calls[0].field("RoleArn"), "arn:aws:iam::123456789012:role/cart");
    assert_eq!((calls[0].field("RoleSessionName"), calls[0].field("DurationSeconds")), ("node-1-cart", "3600"));
    assert!(site.lab.kubernetes.issued_tokens().contains(&calls[0].field("WebIdentityToken").to_owned()));
    assert_nothing_is_signed(&site, &agent);
}

#[test]
fn another_service_account_neither_shares_the_session_nor_gets_its_own() {
    let site = site(&["kube2iam"]);
    let agent = setup(&site).start();
    assert_eq!(got(&site, &agent, "cart-1", "127.0.9.11"), (200, "cart".to_owned()));
    assert_eq!(got(&site, &agent, "thief", "127.0.9.13"), (403, "sts_token_untrusted".to_owned()));
    assert_eq!(got(&site, &agent, "vendor", "127.0.9.14"), (404, "external_id_unsupported".to_owned()));
    assert_eq!(site.lab.sts.calls().len(), 2);
    assert_nothing_is_signed(&site, &agent);
}

#[test]
fn an_address_is_no_proof_and_other_metadata_is_served() {
    let site = site(&["kube2iam"]);
    let agent = setup(&site).start();
    for path in [LIST.to_owned(), LIST.trim_end_matches('/').to_owned(), format!("{LIST}web")] {
        let answer = client::get(agent.addr(), POD, &path);
        assert_eq!((answer.status, answer.text().as_str()), (403, "proof_required\n"), "{path}");
    }
    let info = client::get(agent.addr(), POD, "/latest/meta-data/iam/info");
    assert_eq!((info.status, &info.json()["Code"]), (200, &"Success".into()));
    assert_eq!(client::get(agent.addr(), POD, "/latest/meta-data/placement/region").status, 200);
    assert_eq!(site.lab.sts.calls().len(), 0);
    assert_nothing_is_signed(&site, &agent);
}

#[test]
fn what_sts_has_against_a_token_reaches_the_pod_as_a_reason_of_its_own() {
    let site = site(&["sts.amazonaws.com"]);
    let agent = setup(&site).flags(&["--iam-role-error-ttl=0"]).start();
    assert_eq!(got(&site, &agent, "cart-1", "127.0.9.11"), (403, "sts_token_invalid".to_owned()));
    let refuse = |status, code| StsFault::Refuse { status, code, message: "because" };
    for (status, code, calls, expected) in [
        (400, "InvalidIdentityToken", 1, (403, "sts_token_invalid")),
        (403, "IDPRejectedClaim", 1, (403, "sts_claim_rejected")),
        (400, "IDPCommunicationError", 2, (503, "sts_issuer_unreachable")),
        (400, "ExpiredTokenException", 1, (503, "sts_token_expired")),
        (403, "AccessDenied", 1, (403, "sts_token_untrusted")),
        (400, "PackedPolicyTooLarge", 1, (403, "sts_refused")),
        (503, "ServiceUnavailable", 1, (503, "sts_unavailable")),
    ] {
        let before = site.lab.sts.calls().len();
        site.lab.sts.fault(None, refuse(status, code), Times::Next(calls));
        let answer = ask(agent.addr(), &site.lab.kubernetes.token("shop", "other"), OTHER);
        assert_eq!(outcome(&answer), (expected.0, expected.1.to_owned()), "{code}");
        assert_eq!(answer.header("Retry-After").is_some(), expected.0 == 503, "{code}");
        assert_eq!(site.lab.sts.calls().len() - before, usize::try_from(calls).unwrap(), "{code}");
    }
    assert_nothing_is_signed(&site, &agent);
}

/// Whoever asks next isn't held to the token of the one before.
#[test]
fn after_an_expired_token_the_next_request_brings_a_fresh_one() {
    let site = site(&["kube2iam"]);
    let agent = setup(&site).flags(&["--iam-role-error-ttl=0"]).start();
    // Half a minute of leeway here, none at STS.
    let mut claims = site.lab.kubernetes.claims("shop", "cart-1");
    claims["exp"] = (claims["iat"].as_i64().unwrap() - 2).into();
    let late = site.lab.kubernetes.sign(&claims);
    let answer = ask(agent.addr(), &late, "127.0.9.11");
    assert_eq!(outcome(&answer), (503, "sts_token_expired".to_owned()));
    assert_eq!(got(&site, &agent, "cart-1", "127.0.9.11"), (200, "cart".to_owned()));
    assert_nothing_is_signed(&site, &agent);
}

#[test]
fn the_operator_is_told_that_the_node_needs_no_permission() {
    let site = site(&["kube2iam"]);
    let socket = std::env::temp_dir().join(format!("kube2iam-web-identity-{}/control.sock", std::process::id()));
    let agent = setup(&site).flags(&[&format!("--control-socket={}", socket.display())]).start();
    let run = |words: &[&str]| -> Outcome {
        Setup::of(test_binary()).flags(words).flags(&[&format!("--socket={}", socket.display())]).run()
    };
    let needs_none = "none: calls to STS carry the pods' own tokens; the node needs no permission";
    let status = run(&["status"]).stdout;
    assert!(status.contains(&format!("node credentials   {needs_none}\n")), "{status}");
    assert_eq!(got(&site, &agent, "thief", "127.0.9.13"), (403, "sts_token_untrusted".to_owned()));
    for (subject, parts) in [
        ("shop/cart-1", ["shop/cart-1: allowed\n", "by a token of ServiceAccount `cart`"]),
        ("shop/host-3", ["shop/host-3: allowed\n", "by a token of ServiceAccount `cart`"]),
        ("shop/thief", ["refused (sts_token_untrusted)", "`sub` system:serviceaccount:shop:thief and `aud` kube2iam"]),
        (
            "shop/vendor",
            ["refused (external_id_unsupported)", "fix: remove `iam.amazonaws.com/external-id` from the pod"],
        ),
    ] {
        let text = run(&["explain", subject]).stdout;
        assert!(parts.iter().all(|part| text.contains(part)), "{parts:?} in\n{text}");
    }
    let doctor = site.lab.configure(Setup::of(test_binary()).flags(&["doctor", "--role=cart"]));
    let doctor = doctor.flags(&["--container-credentials", "--sts=web-identity", BASE]);
    let said = doctor.unset("AWS_ACCESS_KEY_ID").unset("AWS_SECRET_ACCESS_KEY").run().stdout;
    assert!(said.contains(&format!("node credentials     ok    {needs_none}\n")), "{said}");
    assert!(said.contains("role cart            warn  can't be tried: calls carry the pods' own tokens"), "{said}");
    assert!(!said.contains("caller identity"), "{said}");
    let unread =
        "issuer for AWS       warn  AWS can't read `https://kubernetes.default.svc`: its name means something inside";
    assert!(said.contains(unread), "{said}");
    drop(agent);
    let _ = std::fs::remove_dir_all(socket.parent().unwrap());
}

/// Without this the others would prove little: the stand-in gives nothing to a node that signs.
#[test]
fn a_node_that_signs_gets_nothing_here() {
    let site = site(&["kube2iam"]);
    let agent = site.agent(&[]);
    assert_eq!(got(&site, &agent, "cart-1", "127.0.9.11"), (403, "sts_refused".to_owned()));
    assert!(site.lab.sts.calls().iter().any(|call| call.action == "AssumeRole" && call.authorization.is_some()));
}

#[test]
fn flags_that_no_token_carries_end_the_start_in_one_line() {
    let site = Site::open();
    for flags in [&["--sts=web-identity"][..], &["--sts=web-identity", "--container-credentials", "--session-tags"]] {
        let outcome = site.lab.configure(Setup::of(test_binary())).flags(flags).run();
        assert_eq!((outcome.code, outcome.stderr.lines().count()), (Some(64), 1), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("`--sts=web-identity`"), "{}", outcome.stderr);
    }
}
