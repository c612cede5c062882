//! Session tokens as an SDK sees EC2's, though they are the agent's own.

use std::time::{Duration, Instant};

use crate::site::{BASE, NOBODY, OWN, POD, REGION, ROLES, Site};
use crate::standins::Lab;
use crate::standins::Times;
use crate::standins::agent::Until;
use crate::standins::client::{self, Answer, Ask, Connection, TOKEN_HEADER, TTL_HEADER};
use crate::standins::kubernetes::{Break, Kind, On, PodSpec, Refusal};

const TOKEN: &str = "/latest/api/token";

fn put(ttl: &str) -> Ask {
    Ask::new("PUT", TOKEN).header(TTL_HEADER, ttl)
}

fn with(token: &str, path: &str) -> Ask {
    Ask::get(path).header(TOKEN_HEADER, token)
}

/// What the agent says is left of the token.
fn left(answer: &Answer) -> Option<u64> {
    answer.header(TTL_HEADER)?.parse().ok()
}

/// The SDK for Go gives a token half a second, and goes on without one when that is over.
#[test]
fn tokens_come_in_time_for_any_source_whatever_else_is_down() {
    let lab = Lab::start();
    lab.kubernetes.refuse(On::Any, Refusal::Stall, Times::Always);
    lab.metadata.wire().go_down();
    let agent = lab.setup().flags(&[BASE]).until(Until::Listening).start();
    let took = |from: &str, count: usize, granted: u64| {
        let mut connection = Connection::open(agent.addr(), from);
        let mut took: Vec<Duration> = Vec::new();
        for _ in 0..count {
            let start = Instant::now();
            let answer = connection.ask(&put("21600"));
            took.push(start.elapsed());
            assert_eq!((answer.status, left(&answer)), (200, Some(granted)));
            assert!(answer.header("Content-Type").unwrap().starts_with("text/plain"));
        }
        took.sort_unstable();
        took[count / 2]
    };
    // With nothing listed yet no pod is known, and each is waited for.
    for from in [POD, NOBODY] {
        let took = took(from, 3, 60);
        assert!((300..500).contains(&took.as_millis()), "{took:?}");
    }
    // At the node's own addresses there is none.
    let took = took("127.0.0.1", 200, 60);
    assert!(took < Duration::from_millis(200), "{took:?}");
    assert_eq!(client::get_as_operator(agent.addr(), "/healthz").status, 200);
    assert_eq!(client::get_as_operator(agent.addr(), "/readyz").status, 503);
}

/// Kubelets before 1.36 post a pod's address up to a second after its first program began. The event comes while the
/// request waits, or before it, as the threads go: either way the pod is known in time.
#[test]
fn a_pod_that_asks_before_its_address_is_known_has_its_role() {
    let site = Site::open(&[]);
    let post = |name: &str, from: &str| site.lab.kubernetes.add_pod(PodSpec::new("default", name).ip(from).role("app"));
    let mut connection = Connection::open(site.addr(), "127.0.0.41");
    connection.send(&put("21600").to_bytes());
    post("early", "127.0.0.41");
    let token = connection.read_answer().unwrap();
    assert_eq!((token.status, left(&token)), (200, Some(21_600)), "it is the pod's from the start");
    for path in [ROLES, OWN] {
        assert_eq!(connection.ask(&with(&token.text(), path)).status, 200, "{path}");
    }
    // The first wait is over, the second goes on.
    let mut connection = Connection::open(site.addr(), "127.0.0.42");
    let token = connection.ask(&put("21600"));
    assert_eq!((token.status, left(&token)), (200, Some(60)));
    connection.send(&with(&token.text(), ROLES).to_bytes());
    post("late", "127.0.0.42");
    assert_eq!(connection.read_answer().unwrap().text(), "app");
    assert_eq!(connection.ask(&with(&token.text(), OWN)).status, 200);
}

/// The pod may have been posted meanwhile: a 404 would be final.
#[test]
fn an_unknown_address_is_told_to_try_again_while_the_watch_is_broken() {
    let site = Site::open(&["--backoff-max-elapsed-time=100ms"]);
    assert_eq!(client::get(site.addr(), NOBODY, ROLES).status, 404);
    let refusal = Refusal::Status { code: 503, retry_after_s: None };
    site.lab.kubernetes.refuse(On::Any, refusal, Times::Always);
    site.lab.kubernetes.break_watches(Kind::Pod, Break::Close);
    await_status(&site, &Ask::get(ROLES), NOBODY, 503);
    let answer = client::get(site.addr(), NOBODY, ROLES);
    assert_eq!((answer.text().as_str(), answer.header("Retry-After")), ("watch_broken\n", Some("1")));
    assert_eq!(site.get(OWN).status, 200, "what is known is given");
}

#[test]
fn token_requests_are_refused_as_by_ec2() {
    let site = Site::open(&[]);
    for ttl in ["0", "21601", "-1", "", "x", "1.5", "99999999999999999999"] {
        assert_eq!(site.ask(&put(ttl)).status, 400, "{ttl:?}");
    }
    assert_eq!(site.ask(&Ask::new("PUT", TOKEN)).status, 400);
    for ttl in ["1", "60", "21600"] {
        assert_eq!(site.ask(&put(ttl)).header(TTL_HEADER), Some(ttl));
    }
    for method in ["GET", "POST", "DELETE", "PATCH", "HEAD", "TRACE"] {
        let answer = site.ask(&Ask::new(method, TOKEN).header(TTL_HEADER, "60"));
        let told = (answer.status, answer.header("Allow"), answer.header("Content-Length"), answer.header("Server"));
        assert_eq!(told, (405, Some("OPTIONS, PUT"), Some("0"), Some("EC2ws")), "{method}");
    }
    for versioned in ["/2021-03-23/api/token", "/1.0/api/token", "/LATEST/api/token", "/latest/API/token"] {
        assert_eq!(site.ask(&Ask::new("PUT", versioned).header(TTL_HEADER, "60")).status, 403, "{versioned}");
    }
    for ask in [put("60"), Ask::get(OWN), Ask::get(ROLES), Ask::get(REGION), Ask::get("/"), Ask::new("HEAD", OWN)] {
        let answer = site.ask(&ask.header("X-Forwarded-For", "10.0.0.1"));
        assert_eq!(answer.status, 403, "{answer:?}");
    }
    assert_eq!(site.lab.metadata.count("PUT", "/2021-03-23/api/token"), 0);
}

#[test]
fn what_is_left_of_a_token_is_on_every_answer_to_it() {
    let site = Site::open(&[]);
    let token = site.ask(&put("600")).text();
    for path in [ROLES, OWN, REGION, "/latest/meta-data/", "/latest/meta-data/iam/info", "/latest/nothing/here"] {
        let answer = site.ask(&with(&token, path));
        assert!((590..=600).contains(&left(&answer).unwrap()), "{path}: {answer:?}");
        assert_eq!(left(&site.get(path)), None, "{path}");
    }
}

#[test]
fn bad_tokens_are_401_everywhere() {
    let site = Site::open(&[]);
    site.lab.kubernetes.add_pod(PodSpec::new("default", "other").ip("127.0.0.8").role("app"));
    let own = site.ask(&put("600")).text();
    let short = site.ask(&put("1")).text();
    let foreign = client::token(site.addr(), "127.0.0.8");
    let unknown = client::token(site.addr(), NOBODY);
    let mut forged = own.clone();
    forged.replace_range(..1, if own.starts_with('A') { "B" } else { "A" });
    for path in [ROLES, OWN, REGION, "/latest/meta-data/", "/latest/dynamic/instance-identity/document"] {
        for token in [forged.as_str(), &foreign, &unknown, "x", &own[1..]] {
            let answer = site.ask(&with(token, path));
            assert_eq!((answer.status, left(&answer)), (401, None), "{path} with {token:?}");
        }
        let twice = with(&own, path).header(TOKEN_HEADER, &own);
        assert_eq!(site.ask(&twice).status, 401, "{path} with two tokens");
        assert_eq!(site.ask(&with(&own, path)).status, 200, "{path}");
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut connection = Connection::open(site.addr(), POD);
    while connection.ask(&with(&short, ROLES)).status == 200 {
        assert!(Instant::now() < deadline, "a token of one second is still good");
    }
    assert_eq!(site.ask(&with(&short, REGION)).status, 401);
}

#[test]
fn tokens_can_be_demanded_of_all() {
    let site = Site::open(&["--imds-v2=required"]);
    let token = client::token(site.addr(), POD);
    for path in [ROLES, OWN, REGION, "/", "/latest/meta-data/iam/info"] {
        assert_eq!((site.get(path).status, site.ask(&with(&token, path)).status), (401, 200), "{path}");
    }
    assert_eq!(client::get(site.addr(), NOBODY, REGION).status, 401);
    assert_eq!(client::get_as_operator(site.addr(), "/healthz").status, 200);
}

#[test]
fn tokens_can_be_demanded_of_a_pod_or_a_namespace() {
    const KEY: &str = "iam.amazonaws.com/imds-v2";
    let site = Site::open(&[]);
    let cluster = &site.lab.kubernetes;
    cluster.add_namespace("strict", &[(KEY, "required")]);
    cluster.add_pod(PodSpec::new("strict", "a").ip("127.0.0.21").role("app"));
    cluster.add_pod(PodSpec::new("default", "b").ip("127.0.0.22").role("app").annotation(KEY, "required"));
    for (from, tokenless) in [("127.0.0.21", 401), ("127.0.0.22", 401), (POD, 200)] {
        let token = client::token(site.addr(), from);
        for path in [ROLES, OWN, REGION] {
            await_status(&site, &Ask::get(path), from, tokenless);
            assert_eq!(with(&token, path).send(site.addr(), from).status, 200, "{from} {path}");
        }
    }
    cluster.add_namespace("strict", &[]);
    await_status(&site, &Ask::get(OWN), "127.0.0.21", 200);
}

/// A pod, or a namespace's change, may be on its way to the agent.
fn await_status(site: &Site, ask: &Ask, from: &str, expected: u16) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let answer = ask.send(site.addr(), from);
        if answer.status == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{from} still gets {answer:?}");
    }
}

#[test]
fn a_token_from_before_the_pod_was_known_serves_all_its_addresses() {
    let site = Site::open(&[]);
    let early = client::token(site.addr(), "127.0.0.31");
    site.lab.kubernetes.add_pod(PodSpec::new("default", "late").ip("127.0.0.31").ip("127.0.0.32").role("app"));
    for from in ["127.0.0.31", "127.0.0.32"] {
        await_status(&site, &with(&early, OWN), from, 200);
    }
    assert_eq!(with(&early, OWN).send(site.addr(), POD).status, 401);
    // And one that was made for the pod follows it from address to address.
    let late = client::token(site.addr(), "127.0.0.32");
    assert_eq!(with(&late, OWN).send(site.addr(), "127.0.0.31").status, 200);
}

/// Addresses go from pod to pod; a pod's own token goes with it.
#[test]
fn a_token_for_an_unknown_address_lives_a_minute_whatever_was_asked() {
    let site = Site::open(&[]);
    for (from, ttl, granted) in [(NOBODY, "21600", 60), (NOBODY, "30", 30), (POD, "21600", 21_600)] {
        let answer = put(ttl).send(site.addr(), from);
        assert_eq!((answer.status, left(&answer)), (200, Some(granted)), "{from} {ttl}");
        let used = with(&answer.text(), REGION).send(site.addr(), from);
        assert!((granted - 10..=granted).contains(&left(&used).unwrap()), "{used:?}");
    }
}

/// Such as the SDK for Rust holds after a swap, or after a restart that lost the keys.
#[test]
fn tokens_that_were_never_ours_count_as_none_where_none_is_needed() {
    let real = "AQAAAEh9fL0QSEJwQPEA6Q0nGCH4fCLn2_4eYD9x0iPc_4eYDWnZ3w==";
    let site = Site::open(&[]);
    let other = Site::open(&["--imds-v2=required"]);
    let lost = client::token(other.addr(), POD);
    for token in [real, &lost, &"A".repeat(40)] {
        for path in [ROLES, OWN, REGION] {
            let answer = site.ask(&with(token, path));
            assert_eq!((answer.status, left(&answer)), (200, None), "{path} {token}");
        }
    }
    for token in [real, &client::token(site.addr(), POD)] {
        assert_eq!(other.ask(&with(token, OWN)).status, 401, "{token}");
    }
    let log = site.agent.log().join("\n");
    assert!(!log.contains(real) && !log.contains(&lost));
}

#[test]
fn who_still_does_without_tokens_is_counted_by_namespace() {
    let site = Site::open(&[]);
    let token = client::token(site.addr(), POD);
    let counted = || site.metric("kube2iam_tokenless_requests_total{namespace=\"default\"}").unwrap_or(0.0);
    for path in [ROLES, OWN, REGION] {
        site.ask(&with(&token, path));
    }
    client::get(site.addr(), NOBODY, REGION);
    site.ask(&put("60"));
    assert_eq!(counted(), 0.0);
    for path in [ROLES, OWN, REGION] {
        site.get(path);
    }
    assert_eq!(counted(), 3.0);
}
