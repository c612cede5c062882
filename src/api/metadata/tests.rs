//! A service with fake dependencies; decisions repeated after a wait.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::config::BUILD;
use crate::logic::base::secret::Secret;
use crate::logic::cluster::kubernetes::{Event, Namespace, Object, Pod, Resource};
use crate::logic::cluster::world::tests::{namespace, pod};
use crate::logic::identity::metadata_token::TokenKeys;
use crate::logic::operator::log_line::Taken;
use crate::logic::policy::pattern::Format;
use crate::logic::policy::tests::rules;
use crate::logic::policy::{Enforcement, Rules, permit};
use crate::logic::request::message::{Headers, Method};
use crate::logic::request::path::CanonicalPath;
use crate::logic::request::route::DocumentForm;
use crate::logic::request::upstream::ImdsFailure;
use crate::logic::sessions::budget::Rate;
use crate::logic::sessions::cache::{CacheRules, RenewAt};
use crate::logic::sessions::credentials::Credentials;
use crate::logic::sts::{AssumeRole, Assumed, StsFailure, StsFailureKind};
use crate::os::clock::SystemClock;
use crate::ports::{Forwarded, KeyStore, Sts};
use crate::state::shared_world::Evaluated;
use crate::telemetry::Metrics;

mod late;

const DOCUMENT: &str = "/latest/meta-data/iam/security-credentials/app";
const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

struct NoImds;

impl Imds for NoImds {
    fn forward(&self, _: Forwarded, _: &CanonicalPath, _: Option<&[u8]>) -> Result<Response, ImdsFailure> {
        Ok(Response::text(200, "forwarded"))
    }

    fn read(&self, _: &str) -> Result<String, ImdsFailure> {
        Err(ImdsFailure { status: None, cause: "no service".to_owned() })
    }
}

/// Changes the World during a call.
pub(in crate::api) struct MeddlingSts<'a>(pub(in crate::api) &'a (dyn Fn() + Sync));

impl Sts for MeddlingSts<'_> {
    fn assume_role(&self, _: &AssumeRole) -> Result<Assumed, StsFailure> {
        (self.0)();
        let credentials = Credentials {
            access_key_id: "KEY".to_owned(),
            secret_access_key: Secret::new("secret".to_owned()),
            session_token: None,
            expiration: None,
        };
        Ok(Assumed { credentials, life: Duration::from_secs(3_600) })
    }

    /// The key id contains the subject and the token.
    fn assume_role_with_web_identity(
        &self,
        request: &AssumeRole,
        token: &Secret<String>,
    ) -> Result<Assumed, StsFailure> {
        let mut assumed = self.assume_role(request)?;
        let subject = request.subject.as_ref().map(|subject| subject.service_account.to_string());
        assumed.credentials.access_key_id = format!("{} by {}", subject.unwrap_or_default(), token.expose());
        Ok(assumed)
    }

    fn caller_identity(&self) -> Result<String, StsFailure> {
        let kind = StsFailureKind::Unavailable;
        Err(StsFailure { kind, code: String::new(), message: String::new(), request_id: None })
    }
}

pub(in crate::api) fn service(rules: Rules, pods: Vec<Pod>, namespaces: Vec<Namespace>) -> Service {
    let clock = Arc::new(SystemClock::new());
    let world = Arc::new(SharedWorld::new(clock.clone()));
    world.set_rules(rules);
    let pods: Vec<_> = pods.into_iter().map(Object::Pod).collect();
    let namespaces: Vec<_> = namespaces.into_iter().map(Object::Namespace).collect();
    for (resource, objects) in [(Resource::Pods, pods), (Resource::Namespaces, namespaces)] {
        world.apply(resource, Event::Init);
        objects.into_iter().for_each(|object| drop(world.apply(resource, Event::InitApply(object))));
        world.apply(resource, Event::InitDone);
    }
    evaluate(&world);
    let budget = Rate { burst: 20.0, refill: 10.0 };
    let sessions = SessionCache::new(CacheRules { budget, renew: RenewAt::Half, error_ttl: None }, clock.clone());
    Service {
        world,
        sessions: Arc::new(sessions),
        imds: Arc::new(NoImds),
        forwards: Forwards::default(),
        clock: clock.clone(),
        keys: Arc::new(Keyring::open(None, &[1; 32], clock).0),
        telemetry: Arc::new(Telemetry::new(Metrics::new(&BUILD, "n").unwrap(), Box::new(|_| Taken::Yes))),
        facts: Arc::default(),
        duplicates: None,
        routes: RouteRules::default(),
        tokens: TokenRequirement::Optional,
        proof: None,
        wait_for_pod: Duration::ZERO,
    }
}

fn get(service: &Service, target: &str) -> u16 {
    let request = Request { method: Method::Get, target, headers: Headers::default() };
    service
        .handle(
            &request,
            &Caller { peer: PEER, is_redirected: &|| true, local: &|| None, is_node: &|| false, prove_pod: &|_| true },
        )
        .status
}

/// Requests credentials; `meddle` runs during the call to STS.
fn get_while(service: &Service, meddle: &(dyn Fn(&SharedWorld) + Sync)) -> u16 {
    std::thread::scope(|scope| {
        scope.spawn(|| service.sessions.work(&MeddlingSts(&|| meddle(&service.world)), &|| 0, &|_| {}));
        let status = get(service, DOCUMENT);
        service.sessions.close();
        status
    })
}

pub(in crate::api) fn apply(world: &SharedWorld, object: Object) {
    let resource = if matches!(object, Object::Pod(_)) { Resource::Pods } else { Resource::Namespaces };
    world.apply(resource, Event::Apply(object));
    evaluate(world);
}

/// Evaluates role lists, as a thread of the agent does.
fn evaluate(world: &SharedWorld) {
    while !matches!(world.evaluate(), Evaluated::Nothing) {}
}

pub(in crate::api) fn holder() -> Pod {
    pod("a", "10.0.0.1")
}

#[test]
fn session_is_not_handed_out_after_a_change_during_the_wait() {
    type Meddle = fn(&SharedWorld);
    let changes: [(Meddle, u16); 7] = [
        (|_| {}, 200),
        (|world| apply(world, Object::Pod(pod("b", "10.0.0.2"))), 200),
        (|world| apply(world, Object::Pod(pod("b", "10.0.0.1"))), 503),
        (|world| apply(world, Object::Pod(Pod { role: Some("other".into()), ..holder() })), 503),
        // The same session, but another pod has the address now.
        (
            |world| {
                world.apply(Resource::Pods, Event::Delete(Object::Pod(holder())));
                apply(world, Object::Pod(pod("b", "10.0.0.1")));
            },
            503,
        ),
        (|world| apply(world, Object::Pod(Pod { external_id: Some("x".into()), ..holder() })), 503),
        (|world| apply(world, Object::Namespace(namespace("shop", Some(r#"["other"]"#)))), 503),
    ];
    for (index, (meddle, status)) in changes.into_iter().enumerate() {
        let restricted = Rules { restrictions: Some(Format::Glob), ..rules() };
        let service = service(restricted, vec![holder()], vec![namespace("shop", Some(r#"["app"]"#))]);
        assert_eq!(get_while(&service, &meddle), status, "{index}");
    }
}

/// A list's result can be dropped or changed during the wait, while the address stays the pod's.
#[test]
fn repeated_evaluation_of_a_list_is_awaited() {
    fn change(world: &SharedWorld) {
        let changed = namespace("shop", Some(r#"["app", "other"]"#));
        world.apply(Resource::Namespaces, Event::Apply(Object::Namespace(changed)));
    }
    for (enforcement, evaluated, status) in [
        (Enforcement::Enforce, false, Err(Reason::PolicyPending)),
        (Enforcement::Enforce, true, Ok(())),
        (Enforcement::Audit, false, Ok(())),
    ] {
        let restricted = Rules { restrictions: Some(Format::Glob), enforcement, ..rules() };
        let service = service(restricted, vec![holder()], vec![namespace("shop", Some(r#"["app"]"#))]);
        let wait_for_pod = Duration::from_millis(if evaluated { 60_000 } else { 50 });
        let service = Service { wait_for_pod, ..service };
        let permitted =
            service.world.read(|world, rules| permit(world, rules.unwrap(), world.pod("a").unwrap()).unwrap());
        change(&service.world);
        let request = Request { method: Method::Get, target: DOCUMENT, headers: Headers::default() };
        let route = Route::RoleDocument(DocumentForm::Plain, "app".to_owned());
        let result = std::thread::scope(|scope| {
            if evaluated {
                scope.spawn(|| evaluate(&service.world));
            }
            service.is_still_right(service.ask(&request, &route, PEER, service.clock.now().mono), None, &permitted)
        });
        assert_eq!(result, status, "{enforcement:?} {evaluated}");
    }
}

#[test]
fn peer_with_too_many_forwards_is_busy() {
    let service = service(rules(), vec![holder()], vec![namespace("shop", None)]);
    let held: Vec<_> = std::iter::from_fn(|| service.forwards.begin(PEER)).collect();
    for (target, status) in
        [("/latest/meta-data/hostname", 503), ("/latest/meta-data/", 503), ("/latest/api/token", 405)]
    {
        assert_eq!(get(&service, target), status, "{target}");
    }
    drop(held);
}

#[test]
fn answers_from_memory_queue_no_calls() {
    let service = service(rules(), vec![holder()], vec![namespace("shop", None)]);
    assert_eq!(get_while(&service, &|_| {}), 200);
    for (target, status) in [
        (DOCUMENT, 200),
        ("/latest/meta-data/iam/security-credentials/", 200),
        ("/latest/meta-data/iam/info", 200),
        ("/latest/user-data", 403),
        ("/latest/meta-data/iam/security-credentials/other", 403),
    ] {
        assert_eq!(get(&service, target), status, "{target}");
    }
    assert_eq!(service.sessions.counts().queued, 0);
}

/// Reading the store takes time, so it is read only for unknown keys.
#[test]
fn key_store_is_read_only_for_unknown_keys() {
    #[derive(Default)]
    struct Disk(AtomicUsize);
    impl KeyStore for Disk {
        fn read(&self) -> Result<Option<TokenKeys>, String> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(None)
        }

        fn update(
            &self,
            change: &mut dyn FnMut(Result<Option<TokenKeys>, String>) -> Option<TokenKeys>,
        ) -> Result<(), String> {
            change(Ok(None));
            Ok(())
        }
    }
    let disk = Arc::new(Disk::default());
    let clock = Arc::new(SystemClock::new());
    let keys = Arc::new(Keyring::open(Some(disk.clone()), &[1; 32], clock.clone()).0);
    let service = Service { keys, ..service(rules(), vec![holder()], vec![namespace("shop", None)]) };
    let ours = service.keys.current().issue(Bearer::Address(PEER), 60, clock.now().wall);
    let foreign = TokenKeys::new(&[2; 32], clock.now().wall).issue(Bearer::Address(PEER), 60, clock.now().wall);
    let ask = |token: &str| {
        let headers = Headers { token: Some(token.as_bytes()), ..Headers::default() };
        let request = Request { method: Method::Get, target: "/latest/user-data", headers };
        let caller =
            Caller { peer: PEER, is_redirected: &|| true, local: &|| None, is_node: &|| false, prove_pod: &|_| true };
        let status = service.handle(&request, &caller).status;
        (status, disk.0.load(Ordering::Relaxed))
    };
    assert_eq!(ask(&ours), (403, 0));
    assert_eq!(ask(&foreign), (403, 1));
}
