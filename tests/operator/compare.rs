//! `kube2iam compare`, with a kube2iam that is a stand-in with the page that a real one shows.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::standins::agent::{Outcome, Setup, test_binary};
use super::standins::exchange::Reply;
use super::standins::kubernetes::{Kind, On, PodSpec, Refusal};
use super::standins::wire::Wire;
use super::standins::{Lab, PATIENCE, Times};
use super::{BASE, WEB, web};

/// A kube2iam with `--debug`, or without if it has no store.
struct Other {
    wire: Wire,
    store: Arc<Mutex<Option<Value>>>,
}

impl Other {
    fn start(store: Option<Value>) -> Self {
        let store = Arc::new(Mutex::new(store));
        let shown = store.clone();
        let wire = Wire::start("kube2iam", move |exchange| {
            assert_eq!((exchange.method().as_str(), exchange.target()), ("GET", "/debug/store"));
            let reply = match &*shown.lock() {
                Some(store) => Reply::new(200, "text/plain; charset=utf-8", store.to_string()),
                None => Reply::new(404, "text/html", "<html>404 - Not Found</html>"),
            };
            exchange.answer(reply);
        });
        Self { wire, store }
    }

    fn url(&self) -> String {
        format!("http://{}", self.wire.address())
    }
}

fn store(web_role: &str) -> Value {
    json!({
        "rolesByIP": { WEB: web_role, "127.0.0.8": "", "127.0.1.1": "host-role" },
        "namespaceByIP": { WEB: "shop", "127.0.0.8": "shop", "127.0.1.1": "kube-system" },
        "rolesByNamespace": { "shop": null, "kube-system": null },
    })
}

fn lab() -> Lab {
    let lab = Lab::start();
    lab.kubernetes.add_pod(web());
    lab.kubernetes.add_pod(PodSpec::new("shop", "plain").ip("127.0.0.8"));
    lab.kubernetes.add_pod(PodSpec::new("kube-system", "host").ip("127.0.1.1").role("host-role").host_network());
    lab
}

fn setup(lab: &Lab, theirs: &str) -> Setup {
    lab.configure(Setup::of(test_binary()).flags(&["compare", theirs])).flags(&[BASE, "--node=node-1"])
}

/// `kube2iam compare` with the agent's flags for the lab.
fn compare(lab: &Lab, theirs: &str, words: &[&str]) -> Outcome {
    let theirs = format!("--theirs={theirs}");
    setup(lab, &theirs).flags(words).run()
}

#[test]
fn addresses_that_differ_are_listed_first_with_the_reason_and_exit_code_1() {
    let (lab, other) = (lab(), Other::start(Some(store("other"))));
    let outcome = compare(&lab, &other.url(), &[]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(1), ""), "{outcome:?}");
    let rows: Vec<&str> = outcome.stdout.lines().filter(|line| line.starts_with("127.0.")).collect();
    for (row, parts) in rows.iter().zip([
        ["127.0.0.7", "shop/web-1", "other_role", "kube2iam gives `arn:aws:iam::123456789012:role/other`, this agent would give `arn:aws:iam::123456789012:role/app`"],
        ["127.0.1.1", "-", "only_theirs", "this agent would refuse (unknown_pod)"],
        ["127.0.0.8", "shop/plain", "alike", "kube2iam refuses (the pod has no role), this agent would refuse (no_role)"],
    ]) {
        for part in parts {
            assert!(row.contains(part), "{part} is not in {row}");
        }
    }
    assert!(outcome.stdout.ends_with("\n1 addresses alike, 2 different\n"), "{}", outcome.stdout);
    assert_eq!(lab.sts.assumed("arn:aws:iam::123456789012:role/app"), 0, "no role is assumed");
    *other.store.lock() = Some(store("app"));
    let outcome = compare(&lab, &other.url(), &["--json"]);
    let shown: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((outcome.code, &shown["alike"], &shown["different"]), (Some(1), &json!(2), &json!(1)), "{shown}");
    assert_eq!(
        (&shown["addresses"][0]["address"], &shown["addresses"][0]["outcome"]),
        (&json!("127.0.1.1"), &json!("only_theirs"))
    );
}

#[test]
fn namespaces_lists_are_evaluated_before_anything_is_compared() {
    let lab = lab();
    lab.kubernetes.delete_pod("kube-system", "host");
    lab.kubernetes.add_namespace("shop", &[("iam.amazonaws.com/allowed-roles", r#"["app"]"#)]);
    let page = json!({
        "rolesByIP": { WEB: "app" }, "namespaceByIP": { WEB: "shop" }, "rolesByNamespace": { "shop": ["app"] },
    });
    let other = Other::start(Some(page));
    let outcome = compare(&lab, &other.url(), &["--namespace-restrictions"]);
    assert!(outcome.stdout.contains("shop/web-1  alike    arn:aws:iam::123456789012:role/app\n"), "{outcome:?}");
}

#[test]
fn a_kube2iam_without_its_store_and_an_api_server_that_is_away_are_named() {
    let (lab, other) = (lab(), Other::start(None));
    let outcome = compare(&lab, &other.url(), &[]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("/debug/store`: 404 Not Found; start that kube2iam with --debug"), "{outcome:?}");
    *other.store.lock() = Some(store("app"));
    lab.kubernetes.refuse(On::List(Kind::Pod), Refusal::Status { code: 403, retry_after_s: None }, Times::Always);
    let outcome = compare(&lab, &other.url(), &[]);
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome.stderr.contains("failed to list `pods`") && outcome.stderr.contains("(API server `http"),
        "{outcome:?}"
    );
}

/// Our own page has kube2iam's form, so that one agent can stand in for the other here.
#[test]
fn an_agent_compared_with_its_like_differs_nowhere() {
    let lab = lab();
    lab.kubernetes.delete_pod("kube-system", "host");
    let first = lab.setup().flags(&[BASE, "--debug"]).start();
    let outcome = compare(&lab, &format!("http://{}", first.addr()), &[]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.ends_with("\n2 addresses alike, 0 different\n"), "{}", outcome.stdout);
}

#[test]
fn a_watch_prints_again_what_has_changed() {
    let (lab, other) = (lab(), Other::start(Some(store("other"))));
    lab.kubernetes.delete_pod("kube-system", "host");
    let theirs = format!("--theirs={}", other.url());
    let mut command = setup(&lab, &theirs).flags(&["--watch", "--json"]).command_line(1);
    let mut watching = command.stdout(Stdio::piped()).spawn().unwrap();
    let (lines, printed) = std::sync::mpsc::channel();
    let stdout = watching.stdout.take().unwrap();
    super::standins::wire::spawn("printed", move || {
        BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .take_while(|line| lines.send(line.clone()).is_ok())
            .count();
    });
    let first = printed.recv_timeout(PATIENCE);
    let same = json!({ "rolesByIP": { WEB: "app", "127.0.0.8": "" }, "namespaceByIP": {}, "rolesByNamespace": {} });
    *other.store.lock() = Some(same);
    let second = printed.recv_timeout(PATIENCE);
    watching.kill().and_then(|()| watching.wait()).unwrap();
    assert!(first.as_ref().is_ok_and(|line| line.contains(r#""different":2"#)), "{first:?}");
    assert!(second.as_ref().is_ok_and(|line| line.contains(r#""different":0"#)), "{second:?}");
}
