//! What is known of the cluster: no object of a tenant's keeps it from being renewed, and it isn't relied upon while the
//! API server refuses to renew it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::site::{BASE, POD, ROLES, Site};
use crate::standins::client::{self, Answer};
use crate::standins::kubernetes::{Break, Kind, On, PodSpec, Refusal};
use crate::standins::{Lab, PATIENCE, Times};

const VICTIM: &str = "127.0.0.8";
const SECRET: &str = "/latest/meta-data/iam/security-credentials/secret";
const MIB: usize = 1 << 20;

/// A pod that is so long as the API server writes it, its metadata before or after that.
fn fat(name: &str, bytes: usize) -> Value {
    json!({
        "metadata": { "namespace": "tenant", "name": name, "uid": name },
        "args": "x".repeat(bytes),
        "spec": { "nodeName": "node-1" }, "status": { "phase": "Pending" },
    })
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn victims(lab: &Lab) {
    lab.kubernetes.add_namespace("bank", &[("iam.amazonaws.com/allowed-roles", r#"["secret"]"#)]);
    lab.kubernetes.add_namespace("tenant", &[]);
    lab.kubernetes.add_pod(PodSpec::new("bank", "victim").ip(VICTIM).role("secret"));
}

fn as_victim(site: &Site) -> Answer {
    client::get(site.addr(), VICTIM, SECRET)
}

/// The attack: with lists that fail for ever, the tenant's next pod got the credentials of the pod before it.
#[test]
fn a_fat_pod_does_not_freeze_what_is_known_of_other_pods() {
    let lab = Lab::start();
    victims(&lab);
    lab.kubernetes.add_raw(Kind::Pod, fat("a-fat", 9 * MIB));
    let agent = lab.setup().flags(&[BASE, "--namespace-restrictions"]).start();
    let site = Site { lab, agent };
    assert_eq!(as_victim(&site).status, 200);
    let kubernetes = &site.lab.kubernetes;
    kubernetes.add_raw(Kind::Pod, fat("another", 9 * MIB));
    kubernetes.compact();
    kubernetes.delete_pod("bank", "victim");
    kubernetes.add_pod(PodSpec::new("tenant", "heir").ip(VICTIM).role("secret"));
    kubernetes.break_watches(Kind::Pod, Break::Gone);
    wait_until("the heir is known", || as_victim(&site).text().contains("role_not_allowed"));
    assert_eq!(site.metric(r#"kube2iam_watch_unreadable_total{resource="pods"}"#), Some(0.0));
}

/// An object that no cluster can have: what was known of it is forgotten, and nothing else.
#[test]
fn an_object_too_long_is_skipped_and_forgotten_in_list_and_watch() {
    let lab = Lab::start();
    victims(&lab);
    lab.kubernetes.add_pod(PodSpec::new("tenant", "b").ip("127.0.0.9").role("app"));
    lab.kubernetes.add_raw(Kind::Pod, fat("a", 70 * MIB));
    let agent = lab.setup().flags(&[BASE]).start();
    let site = Site { lab, agent };
    let get_b = || client::get(site.addr(), "127.0.0.9", ROLES).status;
    assert_eq!((as_victim(&site).status, get_b()), (200, 200));
    let skipped = || site.metric(r#"kube2iam_watch_unreadable_total{resource="pods"}"#).unwrap_or_default();
    assert!(skipped() >= 1.0);
    site.lab.kubernetes.add_raw(Kind::Pod, fat("b", 70 * MIB));
    wait_until("the pod is forgotten", || get_b() == 404);
    assert_eq!(as_victim(&site).status, 200);
    let named = |name: &str| site.agent.log().iter().filter(|line| line.contains(&format!("skipped `{name}`"))).count();
    assert_eq!((named("tenant/a"), named("tenant/b")), (1, 1));
}

#[test]
fn a_name_made_anew_replaces_the_pod_whose_end_was_missed() {
    let site = Site::open(&[]);
    let old = PodSpec::new("default", "twin").uid("old").ip("127.0.0.11").role("app");
    site.lab.kubernetes.add_pod(old.clone());
    let status = |from: &str| client::get(site.addr(), from, ROLES).status;
    wait_until("the old pod is known", || status("127.0.0.11") == 200);
    // The stand-in replaces it in place: its watch tells of a change and of no end.
    site.lab.kubernetes.add_pod(old.without_ip().uid("new").ip("127.0.0.12"));
    wait_until("the new pod is known", || status("127.0.0.12") == 200);
    assert_eq!(status("127.0.0.11"), 404);
}

fn refuse(site: &Site, refusal: Refusal) {
    for kind in [Kind::Pod, Kind::Namespace] {
        site.lab.kubernetes.refuse(On::List(kind), refusal, Times::Always);
        site.lab.kubernetes.refuse(On::Watch(kind), refusal, Times::Always);
        site.lab.kubernetes.break_watches(kind, Break::End);
    }
}

fn is_ready(site: &Site) -> bool {
    client::get_as_operator(site.addr(), "/readyz").status == 200
}

#[test]
fn credentials_end_while_the_api_server_refuses_and_come_back_with_it() {
    for refusal in [Refusal::Status { code: 403, retry_after_s: None }, Refusal::Garbage] {
        let site = Site::open(&["--max-world-age=1s"]);
        assert_eq!(client::get(site.addr(), POD, ROLES).status, 200);
        refuse(&site, refusal);
        wait_until("credentials end", || client::get(site.addr(), POD, ROLES).text().contains("world_stale"));
        let refused = client::get(site.addr(), POD, "/latest/meta-data/iam/security-credentials/app");
        assert_eq!((refused.status, refused.text().contains("world_stale")), (503, true), "{}", refused.text());
        assert!(!is_ready(&site));
        site.lab.kubernetes.clear_refusals();
        wait_until("they are back", || client::get(site.addr(), POD, ROLES).status == 200);
        assert!(is_ready(&site));
    }
}

#[test]
fn credentials_go_on_while_the_api_server_cannot_be_reached_and_its_age_is_shown() {
    let site = Site::open(&["--max-world-age=1s"]);
    site.lab.kubernetes.wire().go_down();
    let age = || site.metric(r#"kube2iam_watch_age_seconds{resource="pods"}"#).unwrap_or_default();
    wait_until("the age is shown", || age() > 2.0);
    assert_eq!(client::get(site.addr(), POD, ROLES).status, 200);
    assert!(is_ready(&site));
}
