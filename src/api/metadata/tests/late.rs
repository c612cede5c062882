//! Pods whose address arrives late, in virtual time: the clock advances only while a request waits, and stops at each
//! watch event, so that the bounds are exact.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;

use super::*;
use crate::logic::base::time::Wall;
use crate::logic::cluster::kubernetes::{KubernetesFailure, KubernetesFailureKind};
use crate::ports::{Notifier, Time};

/// Events with their times in milliseconds.
type Script = VecDeque<(u64, Box<dyn FnOnce() + Send>)>;

#[derive(Default)]
struct VirtualTime {
    now_ms: AtomicU64,
    script: Mutex<Script>,
}

struct VirtualNotifier {
    time: Arc<VirtualTime>,
    generation: AtomicU64,
}

impl VirtualTime {
    fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    /// Advances to the next event, or to `until_ms` if none comes before.
    fn pass(&self, until_ms: u64) {
        let next = {
            let mut script = self.script.lock();
            let comes = script.front().is_some_and(|(at_ms, _)| *at_ms <= until_ms);
            comes.then(|| script.pop_front()).flatten()
        };
        self.now_ms.fetch_max(next.as_ref().map_or(until_ms, |(at_ms, _)| *at_ms), Ordering::SeqCst);
        if let Some((_, happen)) = next {
            happen();
        }
    }
}

impl Clock for Arc<VirtualTime> {
    fn now(&self) -> Now {
        let now_ms = self.now_ms();
        let wall = Wall::from_unix_seconds(1_800_000_000).after(Duration::from_millis(now_ms));
        Now { mono: Mono::from_millis(now_ms), wall }
    }
}

impl Time for Arc<VirtualTime> {
    fn notifier(&self) -> Arc<dyn Notifier> {
        Arc::new(VirtualNotifier { time: self.clone(), generation: AtomicU64::new(0) })
    }
}

impl Notifier for VirtualNotifier {
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    fn notify(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    fn wait(&self, before: u64, deadline: Mono) {
        if self.generation() <= before {
            self.time.pass(deadline.micros() / 1_000);
        }
    }
}

struct Node {
    service: Service,
    time: Arc<VirtualTime>,
}

/// A response, and how long it took.
#[derive(Debug, PartialEq, Eq)]
struct Got {
    status: u16,
    text: String,
    /// The TTL of a token
    ttl: Option<String>,
    retry_after: Option<String>,
    took_ms: u64,
}

impl Node {
    /// An agent whose first lists aren't complete.
    fn starting() -> Self {
        let time = Arc::new(VirtualTime::default());
        let clock = Arc::new(time.clone());
        let world = Arc::new(SharedWorld::new(clock.clone()));
        world.set_rules(Rules { restrictions: Some(Format::Glob), ..rules() });
        let budget = Rate { burst: 20.0, refill: 10.0 };
        let sessions = SessionCache::new(CacheRules { budget, renew: RenewAt::Half, error_ttl: None }, clock.clone());
        let service = Service {
            world,
            sessions: Arc::new(sessions),
            clock: clock.clone(),
            keys: Arc::new(Keyring::open(None, &[1; 32], clock).0),
            wait_for_pod: Duration::from_millis(900),
            ..service(rules(), vec![], vec![])
        };
        Self { service, time }
    }

    /// An agent with the namespace and no pod.
    fn ready() -> Self {
        let node = Self::starting();
        node.service.world.apply(Resource::Pods, Event::InitDone);
        apply(&node.service.world, Object::Namespace(namespace("shop", Some(r#"["app"]"#))));
        node.service.world.apply(Resource::Namespaces, Event::InitDone);
        node
    }

    /// Schedules a change of the World, in milliseconds from the start.
    fn at(&self, at_ms: u64, happen: impl FnOnce(&SharedWorld) + Send + 'static) {
        let world = self.service.world.clone();
        let happen = move || {
            happen(&world);
            evaluate(&world);
        };
        self.time.script.lock().push_back((at_ms, Box::new(happen)));
    }

    /// Schedules the event with the pod's address.
    fn posts_at(&self, at_ms: u64) {
        self.at(at_ms, |world| apply(world, Object::Pod(holder())));
    }

    fn put(&self, ttl: &str, client: ClientAddress) -> Got {
        let headers = Headers { token_ttl: Some(ttl.as_bytes()), ..Headers::default() };
        self.ask(&Request { method: Method::Put, target: "/latest/api/token", headers }, client)
    }

    fn list(&self, token: Option<&str>) -> Got {
        let headers = Headers { token: token.map(str::as_bytes), ..Headers::default() };
        let target = "/latest/meta-data/iam/security-credentials/";
        self.ask(&Request { method: Method::Get, target, headers }, ClientAddress::Pods)
    }

    fn ask(&self, request: &Request<'_>, client: ClientAddress) -> Got {
        let began_ms = self.time.now_ms();
        let is_node = || client == ClientAddress::Nodes;
        let response = self.service.handle(
            request,
            &Caller { peer: PEER, is_redirected: &|| true, local: &|| None, is_node: &is_node, prove_pod: &|_| true },
        );
        let header = |name: &str| {
            let found = response.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone())
        };
        let (ttl, retry_after) = (header("X-aws-ec2-metadata-token-ttl-seconds"), header("Retry-After"));
        let took_ms = self.time.now_ms() - began_ms;
        let status = response.status;
        Got { status, text: response.body.into_text().unwrap(), ttl, retry_after, took_ms }
    }
}

fn apply(world: &SharedWorld, object: Object) {
    super::apply(world, object);
    evaluate(world);
}

/// Evaluates role lists, as a thread of the agent does at once.
fn evaluate(world: &SharedWorld) {
    while !matches!(world.evaluate(), Evaluated::Nothing | Evaluated::Rest(_)) {}
}

/// The owner of the client's address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ClientAddress {
    Pods,
    Nodes,
}

/// How an SDK makes requests: timeouts of a token and of other requests, and attempts of the latter.
struct Sdk {
    name: &'static str,
    token_ms: u64,
    request_ms: u64,
    tries: u32,
}

/// Timeouts and attempts from the SDKs' sources.
const SDKS: [Sdk; 5] = [
    Sdk { name: "Go", token_ms: 500, request_ms: 500, tries: 3 },
    Sdk { name: "botocore", token_ms: 1_000, request_ms: 1_000, tries: 1 },
    Sdk { name: "JavaScript", token_ms: 1_000, request_ms: 1_000, tries: 1 },
    Sdk { name: "Rust", token_ms: 1_000, request_ms: 1_000, tries: 1 },
    Sdk { name: "PHP", token_ms: 1_000, request_ms: 1_000, tries: 3 },
];

impl Sdk {
    /// One round up to the role's name, which is the last request that can wait for the pod.
    fn round(&self, node: &Node) -> Result<Got, Got> {
        let token = node.put("21600", ClientAddress::Pods);
        assert_eq!(token.status, 200, "{}", self.name);
        assert!(token.took_ms < self.token_ms, "{} falls back to version 1", self.name);
        let mut last = None;
        for _ in 0..self.tries {
            let got = node.list(Some(&token.text));
            let in_time = got.took_ms < self.request_ms;
            match got.status {
                200 if in_time => return Ok(got),
                404 if in_time => return Err(got),
                _ => last = Some(got),
            }
        }
        Err(last.unwrap())
    }
}

#[test]
fn pod_with_a_late_address_gets_its_role_within_both_waits() {
    for sdk in &SDKS {
        for late_ms in (0..=1_200).step_by(20) {
            let node = Node::ready();
            node.posts_at(late_ms);
            let got = sdk.round(&node).unwrap_or_else(|got| panic!("{} at {late_ms} ms: {got:?}", sdk.name));
            assert_eq!(got.text, "app", "{} at {late_ms} ms", sdk.name);
            assert!(node.time.now_ms() <= late_ms.max(300), "the event wakes the request");
        }
    }
}

#[test]
fn token_and_list_waits_end_at_their_limits() {
    let node = Node::ready();
    let token = node.put("21600", ClientAddress::Pods);
    assert_eq!((token.status, token.took_ms, token.ttl.as_deref()), (200, 300, Some("60")));
    let list = node.list(Some(&token.text));
    assert_eq!((list.status, list.text.as_str(), list.took_ms), (404, "unknown_pod\n", 900));
}

/// The token is bound to the pod, at all of its addresses, with the requested TTL.
#[test]
fn token_request_that_waited_for_its_pod_is_bound_to_it() {
    for (late_ms, ttl) in [(0, "21600"), (299, "21600"), (300, "21600"), (301, "60")] {
        let node = Node::ready();
        node.posts_at(late_ms);
        let token = node.put("21600", ClientAddress::Pods);
        assert_eq!((token.took_ms, token.ttl.as_deref()), (late_ms.min(300), Some(ttl)), "{late_ms}");
        let keys = node.service.keys.current();
        let elsewhere = "10.9.9.9".parse().unwrap();
        let is_pods = keys.check(token.text.as_bytes(), elsewhere, Some("a"), node.time.now().wall).is_some();
        assert_eq!(is_pods, late_ms <= 300, "{late_ms}");
    }
}

#[test]
fn requests_without_need_of_a_pod_do_not_wait() {
    let node = Node::ready();
    let own = node.put("21600", ClientAddress::Nodes);
    assert_eq!((own.status, own.took_ms, own.ttl.as_deref()), (200, 0, Some("60")));
    let bad = node.put("0", ClientAddress::Pods);
    assert_eq!((bad.status, bad.took_ms), (400, 0));
    apply(&node.service.world, Object::Pod(holder()));
    assert_eq!(node.put("60", ClientAddress::Pods).took_ms, 0);
    assert_eq!(node.list(None).took_ms, 0);
    let patient = Node::ready();
    let impatient =
        Node { service: Service { wait_for_pod: Duration::from_millis(100), ..patient.service }, ..patient };
    assert_eq!((impatient.put("60", ClientAddress::Pods).took_ms, impatient.list(None).took_ms), (100, 100));
}

#[test]
fn requests_before_the_first_lists_wait_and_then_get_retry_after() {
    let node = Node::starting();
    let token = node.put("21600", ClientAddress::Pods);
    assert_eq!((token.status, token.took_ms, token.ttl.as_deref()), (200, 300, Some("60")));
    let list = node.list(Some(&token.text));
    assert_eq!((list.status, list.text.as_str(), list.took_ms), (503, "not_ready\n", 900));
    assert_eq!(list.retry_after.as_deref(), Some("1"));
    let node = Node::starting();
    node.posts_at(100);
    node.at(200, |world| drop(world.apply(Resource::Pods, Event::InitDone)));
    node.at(600, |world| apply(world, Object::Namespace(namespace("shop", Some(r#"["app"]"#)))));
    node.at(700, |world| drop(world.apply(Resource::Namespaces, Event::InitDone)));
    assert_eq!((node.list(None).status, node.time.now_ms()), (200, 700));
}

#[test]
fn unknown_namespace_is_awaited_like_an_unknown_pod() {
    for (late_ms, status) in [(800, 200), (900, 200), (901, 404)] {
        let node = Node::ready();
        apply(&node.service.world, Object::Pod(Pod { namespace: "late".into(), ..holder() }));
        node.at(late_ms, |world| apply(world, Object::Namespace(namespace("late", Some(r#"["app"]"#)))));
        let got = node.ask(
            &Request {
                method: Method::Get,
                target: "/latest/meta-data/iam/security-credentials/",
                headers: Headers::default(),
            },
            ClientAddress::Pods,
        );
        assert_eq!((got.status, got.took_ms), (status, late_ms.min(900)), "{late_ms}");
    }
}

fn failure() -> KubernetesFailure {
    let kind = KubernetesFailureKind::Unavailable { retry_after_s: None };
    KubernetesFailure { kind, cause: "it is down".to_owned() }
}

/// A 404 would be final for SDKs, although the pod may exist.
#[test]
fn unknown_pods_wait_and_get_retry_after_while_the_watch_is_broken() {
    let node = Node::ready();
    let world = &node.service.world;
    let fails = |resource| world.record_failure(resource, &failure(), Mono::default());
    fails(Resource::Namespaces);
    assert_eq!(node.list(None).text, "unknown_pod\n", "the pods' watch works");
    fails(Resource::Pods);
    let got = node.list(None);
    assert_eq!((got.status, got.text.as_str(), got.took_ms), (503, "watch_broken\n", 900));
    assert_eq!(got.retry_after.as_deref(), Some("1"));
    let token = node.put("60", ClientAddress::Pods);
    assert_eq!((token.status, token.took_ms), (200, 300));
    world.clear_failure(Resource::Pods);
    assert_eq!(node.list(None).status, 404);
    // Known pods are served in spite of a broken watch.
    apply(world, Object::Pod(holder()));
    fails(Resource::Pods);
    assert_eq!(node.list(None).status, 200);
    apply(world, Object::Pod(Pod { namespace: "late".into(), ..holder() }));
    assert_eq!(node.list(None).text, "watch_broken\n", "the namespaces' watch is broken as well");
    world.clear_failure(Resource::Namespaces);
    assert_eq!(node.list(None).text, "unknown_namespace\n");
}
