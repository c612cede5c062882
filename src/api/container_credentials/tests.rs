//! Requests with tokens to a service with fake dependencies.

mod day;

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::api::metadata::Caller;
use crate::api::metadata::tests::{MeddlingSts, apply, holder, service};
use crate::logic::cluster::kubernetes::{Event, Object, Pod, Resource};
use crate::logic::cluster::world::PodTokens;
use crate::logic::cluster::world::tests::{namespace, pod};
use crate::logic::identity::issuer::IssuerDocuments;
use crate::logic::identity::tests::signing::EcKey;
use crate::logic::policy::pattern::Format;
use crate::logic::policy::tests::rules;
use crate::logic::request::message::{Headers, Method};
use crate::os::clock::SystemClock;
use crate::ports::Clock;
use crate::state::shared_world::{Evaluated, SharedWorld};

const ISSUER: &str = "https://cluster";
const ELSEWHERE: &str = "192.0.2.1";

fn documents(key: &EcKey) -> IssuerDocuments {
    IssuerDocuments {
        configuration: json!({ "issuer": ISSUER }).to_string(),
        key_set: json!({ "keys": [key.json()] }).to_string(),
    }
}

fn proof(known: Option<&EcKey>) -> Proof {
    let keys = IssuerKeyring::open(None, Arc::new(SystemClock::new())).0;
    if let Some(known) = known {
        keys.begin();
        keys.finish(Ok(documents(known)));
    }
    Proof { keys: Arc::new(keys), audiences: vec!["kube2iam".into()], node: None }
}

fn service_with_proof(pods: Vec<Pod>, proof: Proof) -> Service {
    let rules = Rules { pod_tokens: PodTokens::Accepted, ..rules() };
    let mut service = Service { proof: Some(proof), ..service(rules, pods, vec![namespace("shop", None)]) };
    service.routes.container_credentials = true;
    service
}

fn claims(uid: &str) -> Value {
    let now_s = SystemClock::new().now().wall.unix_seconds();
    json!({
        "aud": ["kube2iam"], "iss": ISSUER, "exp": now_s + 600, "nbf": now_s,
        "kubernetes.io": {
            "namespace": "shop", "pod": { "name": format!("pod-{uid}"), "uid": uid },
            "serviceaccount": { "name": "app", "uid": "s" },
        },
    })
}

fn ask(service: &Service, token: Option<&str>, peer: &str) -> (u16, Value) {
    let headers = Headers {
        host: Some(b"169.254.170.2:8181"),
        authorization: token.map(|token| ShownToken::new(token.as_bytes())),
        ..Headers::default()
    };
    let request = Request { method: Method::Get, target: "/v1/credentials", headers };
    let local = "169.254.170.2".parse().ok();
    let caller = Caller {
        peer: peer.parse().unwrap(),
        is_redirected: &|| false,
        local: &|| local,
        is_node: &|| false,
        prove_pod: &|_| true,
    };
    let response = service.handle(&request, &caller);
    assert_eq!(response.content_type, "application/json");
    (response.status, serde_json::from_str(&response.body.into_text().unwrap()).unwrap())
}

/// Requests credentials; `meddle` runs before STS answers.
fn ask_while(service: &Service, token: &str, meddle: &(dyn Fn(&SharedWorld) + Sync)) -> (u16, Value) {
    std::thread::scope(|scope| {
        scope.spawn(|| service.sessions.work(&MeddlingSts(&|| meddle(&service.world)), &|| 0, &|_| {}));
        let answer = ask(service, Some(token), ELSEWHERE);
        service.sessions.close();
        answer
    })
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or("credentials"))
}

#[test]
fn valid_token_gets_credentials_from_any_address_and_faults_have_their_status() {
    let key = EcKey::new("k1");
    let service = service_with_proof(vec![holder(), pod("b", "10.0.0.2")], proof(Some(&key)));
    let answer = ask_while(&service, &key.sign(&claims("a")), &|_| {});
    assert_eq!((answer.0, &answer.1["AccessKeyId"]), (200, &json!("KEY")));
    assert_eq!(answer.1["RoleArn"], "arn:aws:iam::123456789012:role/app");
    assert_eq!(answer.1["AccountId"], "123456789012");
    let with = |key_: &str, value: Value| {
        let mut claims = claims("a");
        claims[key_] = value;
        key.sign(&claims)
    };
    for (token, peer, expected) in [
        (None, ELSEWHERE, (400, "token_missing")),
        (Some("no token".to_owned()), ELSEWHERE, (400, "token_malformed")),
        (Some(EcKey::new("k1").sign(&claims("a"))), ELSEWHERE, (401, "token_untrusted")),
        (Some(EcKey::new("k2").sign(&claims("a"))), ELSEWHERE, (401, "token_untrusted")),
        (Some(with("exp", json!(1_000))), ELSEWHERE, (401, "token_expired")),
        (Some(with("aud", json!("sts.amazonaws.com"))), ELSEWHERE, (401, "token_audience")),
        (Some(with("iss", json!("https://elsewhere"))), ELSEWHERE, (401, "token_audience")),
        (Some(with("kubernetes.io", Value::Null)), ELSEWHERE, (403, "token_unbound")),
        (Some(key.sign(&claims("unknown"))), ELSEWHERE, (403, "token_pod_mismatch")),
        (Some(key.sign(&claims("a"))), "10.0.0.2", (403, "token_other_pod")),
        (Some(key.sign(&claims("a"))), "10.0.0.1", (200, "credentials")),
    ] {
        assert_eq!(code(&ask(&service, token.as_deref(), peer)), expected);
    }
}

#[test]
fn without_keys_only_the_form_of_a_token_is_checked() {
    let key = EcKey::new("k1");
    let service = service_with_proof(vec![holder()], proof(None));
    assert_eq!(code(&ask(&service, Some(&key.sign(&claims("a"))), ELSEWHERE)), (503, "keys_unknown"));
    assert_eq!(code(&ask(&service, Some("x"), ELSEWHERE)), (400, "token_malformed"));
    assert_eq!(code(&ask(&service, None, ELSEWHERE)), (400, "token_missing"));
}

/// The first request under a new key waits for it. The spawned thread acts as the one that reads keys.
#[test]
fn token_under_a_new_key_waits_for_that_key() {
    let (old, new) = (EcKey::new("old"), EcKey::new("new"));
    let proof = proof(None);
    let keys = proof.keys.clone();
    let service = Service { wait_for_pod: Duration::from_secs(60), ..service_with_proof(vec![holder()], proof) };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            keys.begin();
            keys.finish(Ok(documents(&old)));
        });
        assert_eq!(code(&ask(&service, Some(&new.sign(&claims("a"))), ELSEWHERE)), (401, "token_untrusted"));
    });
    keys.finish(Ok(documents(&new)));
    let answer = ask_while(&service, &new.sign(&claims("a")), &|_| {});
    assert_eq!(code(&answer), (200, "credentials"));
    assert_eq!(code(&ask(&service, Some(&old.sign(&claims("a"))), ELSEWHERE)), (401, "token_untrusted"));
}

/// `--service-account-issuer` was changed and the key stayed.
#[test]
fn token_of_a_renamed_issuer_waits_for_the_new_name() {
    let key = EcKey::new("k1");
    let renamed =
        || IssuerDocuments { configuration: json!({ "issuer": "https://renamed" }).to_string(), ..documents(&key) };
    let proof = proof(Some(&key));
    let keys = proof.keys.clone();
    keys.begin(); // a read in progress makes requests wait
    let service = Service { wait_for_pod: Duration::from_secs(60), ..service_with_proof(vec![holder()], proof) };
    let mut claims = claims("a");
    claims["iss"] = "https://renamed".into();
    let token = key.sign(&claims);
    let answer = std::thread::scope(|scope| {
        scope.spawn(|| keys.finish(Ok(renamed())));
        ask_while(&service, &token, &|_| {})
    });
    assert_eq!(code(&answer), (200, "credentials"));
    claims["iss"] = "https://elsewhere".into();
    assert_eq!(code(&ask(&service, Some(&key.sign(&claims)), ELSEWHERE)), (401, "token_audience"));
    let forged = EcKey::new("k1").sign(&claims);
    assert_eq!(code(&ask(&service, Some(&forged), ELSEWHERE)), (401, "token_untrusted"));
}

/// As where all pods are on one machine's loopback.
#[test]
fn known_pod_at_a_loopback_address_waits_for_its_list() {
    let pod = Pod { addresses: vec!["127.0.10.1".parse().unwrap()], ..holder() };
    let service = service_with_proof(vec![pod], proof(None));
    let service = Service { wait_for_pod: Duration::from_secs(60), ..service };
    service.world.amend_rules(|rules| rules.restrictions = Some(Format::Glob));
    let allowed = namespace("shop", Some(r#"["app"]"#));
    service.world.apply(Resource::Namespaces, Event::Apply(Object::Namespace(allowed)));
    let asked = service.world.asked();
    let response = std::thread::scope(|scope| {
        scope.spawn(|| {
            // Evaluated only once the request waits for it.
            service.world.wait_for_questions(asked, service.clock.now().mono.after(Duration::from_secs(10)));
            while !matches!(service.world.evaluate(), Evaluated::Nothing) {}
        });
        let headers = Headers { host: Some(b"169.254.169.254"), ..Headers::default() };
        let target = "/latest/meta-data/iam/security-credentials/";
        let peer = "127.0.10.1".parse().unwrap();
        service.handle(
            &Request { method: Method::Get, target, headers },
            &Caller { peer, is_redirected: &|| true, local: &|| None, is_node: &|| true, prove_pod: &|_| true },
        )
    });
    assert_eq!((response.status, response.body.into_text().unwrap().as_str()), (200, "app"));
}

#[test]
fn loopback_requests_do_not_wait_for_a_pod() {
    let service = service_with_proof(vec![holder()], proof(None));
    let service = Service { wait_for_pod: Duration::from_secs(5), ..service };
    let list = Request {
        method: Method::Get,
        target: "/latest/meta-data/iam/security-credentials/",
        headers: Headers { host: Some(b"127.0.0.1:8181"), ..Headers::default() },
    };
    let loopback = "127.0.0.1".parse().unwrap();
    let caller = Caller {
        peer: loopback,
        is_redirected: &|| false,
        local: &|| Some(loopback),
        is_node: &|| true,
        prove_pod: &|_| true,
    };
    let began = service.clock.now().mono;
    let response = service.handle(&list, &caller);
    assert_eq!(response.body.into_text().unwrap(), "unknown_pod\n");
    assert!(service.clock.now().mono.since(began) < service.wait_for_pod);
}

/// The head is invalid, but its target and host are readable.
#[test]
fn token_that_invalidates_its_head_is_malformed_on_container_routes() {
    let service = service_with_proof(vec![], proof(None));
    let head = |host: &str| format!("GET /v1/credentials HTTP/1.1\r\n{host}Authorization: a\u{1}b\r\n\r\n");
    for (host, local, redirected, expected) in [
        ("Host: 169.254.170.2:8181\r\n", "169.254.170.2", false, Some((400, "token_malformed"))),
        ("host:127.0.0.1\r\n", "127.0.0.1", false, Some((400, "token_malformed"))),
        ("", "127.0.0.1", false, Some((400, "token_malformed"))),
        ("Host: evil.example\r\n", "127.0.0.1", false, Some((403, "host_not_allowed"))),
        ("Host: 127.0.0.1\r\n", "127.0.0.1", true, None),
        ("Host: 169.254.169.254\r\n", "127.0.0.1", false, None),
        ("Host: 127.0.0.1\r\n", "10.0.1.1", false, None),
    ] {
        let caller = Caller {
            peer: "10.0.0.9".parse().unwrap(),
            is_redirected: &|| redirected,
            local: &|| local.parse().ok(),
            is_node: &|| false,
            prove_pod: &|_| true,
        };
        let answer = service.answer_bad_token(head(host).as_bytes(), &caller).map(|response| {
            let body: Value = serde_json::from_str(&response.body.into_text().unwrap()).unwrap();
            (response.status, body["code"].as_str().unwrap_or_default().to_owned())
        });
        let answer = answer.as_ref().map(|(status, code)| (*status, &**code));
        assert_eq!(answer, expected, "{host} {local}");
        assert!(service.answer_bad_token(b"GET /v1/credentials/ HTTP/1.1\r\n", &caller).is_none());
    }
}

#[test]
fn request_waits_for_its_unknown_pod() {
    let key = EcKey::new("k1");
    let service = service_with_proof(vec![], proof(Some(&key)));
    let service = Service { wait_for_pod: Duration::from_secs(60), ..service };
    let host = Pod { host_network: true, addresses: vec![], ..holder() };
    let answer = std::thread::scope(|scope| {
        scope.spawn(|| apply(&service.world, Object::Pod(host)));
        ask_while(&service, &key.sign(&claims("a")), &|_| {})
    });
    assert_eq!(code(&answer), (200, "credentials"));
}

#[test]
fn credentials_are_not_handed_out_after_a_change_during_the_wait() {
    type Meddle = fn(&SharedWorld);
    let changes: [(Meddle, (u16, &str)); 4] = [
        (|_| {}, (200, "credentials")),
        (|world| apply(world, Object::Pod(pod("b", "10.0.0.1"))), (200, "credentials")),
        (|world| drop(world.apply(Resource::Pods, Event::Delete(Object::Pod(holder())))), (503, "owner_changed")),
        (|world| apply(world, Object::Pod(Pod { role: Some("other".into()), ..holder() })), (503, "owner_changed")),
    ];
    for (index, (meddle, expected)) in changes.into_iter().enumerate() {
        let key = EcKey::new("k1");
        let service = service_with_proof(vec![holder()], proof(Some(&key)));
        assert_eq!(code(&ask_while(&service, &key.sign(&claims("a")), &meddle)), expected, "{index}");
    }
}

/// hostNetwork pods share one address, but each has its own budget of calls.
#[test]
fn calls_are_budgeted_by_pod_uid() {
    let key = EcKey::new("k1");
    let pods: Vec<Pod> = ["a", "b"].map(|uid| Pod { host_network: true, ..pod(uid, "10.0.1.1") }).to_vec();
    let service = service_with_proof(pods, proof(Some(&key)));
    while service.sessions.may_start(Starter::Pod("a".into())) {}
    assert_eq!(code(&ask(&service, Some(&key.sign(&claims("a"))), "127.0.0.1")), (503, "busy"));
    let answer = ask_while(&service, &key.sign(&claims("b")), &|_| {});
    assert_eq!(code(&answer), (200, "credentials"));
}

#[test]
fn refusal_makes_no_call_to_sts() {
    let key = EcKey::new("k1");
    let service = service_with_proof(vec![Pod { role: None, ..holder() }], proof(Some(&key)));
    assert_eq!(code(&ask(&service, Some(&key.sign(&claims("a"))), ELSEWHERE)), (404, "no_role"));
    assert_eq!(service.sessions.counts().queued, 0);
}
