use super::*;
use crate::config::Build;
use crate::logic::cluster::kubernetes::{Item, KubernetesFailure, KubernetesFailureKind, ListPage, Resource};
use crate::logic::cluster::world::tests::pod;
use crate::logic::operator::log_line::Taken;
use crate::logic::sessions::budget::Rate;
use crate::logic::sessions::cache::{CacheRules, RenewAt};
use crate::os::clock::SystemClock;
use crate::os::threads;
use crate::ports::{Clock, WatchLines};
use crate::telemetry::Metrics;
use crossbeam_channel::{Receiver, Sender, unbounded};

const PATIENCE: Duration = Duration::from_secs(10);

/// Returns one pod for any address when the gate opens; fails for `10.0.0.13`.
struct Api {
    asked: Sender<IpAddr>,
    gate: Receiver<()>,
}

impl Kubernetes for Api {
    fn pods_at(&self, address: IpAddr) -> Result<Vec<Pod>, KubernetesFailure> {
        self.asked.send(address).unwrap();
        self.gate.recv_timeout(PATIENCE).unwrap();
        let fails = address == peer(13);
        if fails { Err(failure()) } else { Ok(vec![pod("a", "10.0.0.1")]) }
    }

    fn list(&self, _: Resource, _: Option<&str>, _: &mut dyn FnMut(Item)) -> Result<ListPage, KubernetesFailure> {
        Err(failure())
    }

    fn watch(&self, _: Resource, _: &str) -> Result<Box<dyn WatchLines>, KubernetesFailure> {
        Err(failure())
    }

    fn shut_down(&self) {}
}

fn failure() -> KubernetesFailure {
    KubernetesFailure {
        kind: KubernetesFailureKind::Unavailable { retry_after_s: None },
        cause: "it is down".to_owned(),
    }
}

fn peer(number: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, number])
}

struct Lookups {
    duplicates: Arc<Duplicates>,
    sessions: Arc<SessionCache>,
    asked: Receiver<IpAddr>,
    gate: Sender<()>,
    clock: Arc<SystemClock>,
}

impl Lookups {
    fn open() -> Self {
        let (asked_in, asked) = unbounded();
        let (gate, gate_out) = unbounded();
        let clock = Arc::new(SystemClock::new());
        let rules = CacheRules { budget: Rate { burst: 20.0, refill: 10.0 }, renew: RenewAt::Half, error_ttl: None };
        let sessions = Arc::new(SessionCache::new(rules, clock.clone()));
        let metrics = Metrics::new(&Build { version: "1", commit: "c", date: "d" }, "n").unwrap();
        let telemetry = Arc::new(Telemetry::new(metrics, Box::new(|_| Taken::Yes)));
        let api = Arc::new(Api { asked: asked_in, gate: gate_out });
        let duplicates = Arc::new(Duplicates::new(api, sessions.clone(), clock.clone(), telemetry));
        Self { duplicates, sessions, asked, gate, clock }
    }

    fn resolve(&self, number: u8, patience: Duration) -> Found {
        self.duplicates.resolve(peer(number), self.clock.now().mono.after(patience))
    }

    /// Resolves on another thread.
    fn begin(&self, number: u8) -> Receiver<Found> {
        let (found, result) = unbounded();
        let duplicates = self.duplicates.clone();
        let deadline = self.clock.now().mono.after(PATIENCE);
        let resolve = move || found.send(duplicates.resolve(peer(number), deadline)).unwrap();
        threads::spawn("test-resolve", threads::STACK_BYTES, resolve).unwrap();
        result
    }
}

fn holder() -> Found {
    Found::Holder("a".to_owned())
}

#[test]
fn one_lookup_serves_waiters_and_closely_following_requests() {
    let lookups = Lookups::open();
    let waiting: Vec<_> = (0..8).map(|_| lookups.begin(1)).collect();
    assert_eq!(lookups.asked.recv_timeout(PATIENCE), Ok(peer(1)));
    (0..8).for_each(|_| lookups.gate.send(()).unwrap());
    for result in waiting {
        assert_eq!(result.recv_timeout(PATIENCE), Ok(holder()));
    }
    // On a very slow machine a late request makes a second list.
    assert!(lookups.asked.len() <= 2, "{} further lists were made", lookups.asked.len());
}

#[test]
fn failed_lookup_finds_no_holder_and_wakes_waiters() {
    let lookups = Lookups::open();
    let waiting = [lookups.begin(13), lookups.begin(13)];
    lookups.gate.send(()).unwrap();
    for result in waiting {
        assert_eq!(result.recv_timeout(PATIENCE), Ok(Found::Nobody));
    }
}

#[test]
fn lookup_times_out_behind_another_or_without_a_slot() {
    let lookups = Lookups::open();
    let waiting: Vec<_> = (1..=4).map(|number| lookups.begin(number)).collect();
    for _ in 0..4 {
        lookups.asked.recv_timeout(PATIENCE).unwrap();
    }
    assert_eq!(lookups.resolve(1, Duration::from_millis(20)), Found::Nobody);
    assert_eq!(lookups.resolve(5, Duration::from_millis(20)), Found::Busy);
    (0..4).for_each(|_| lookups.gate.send(()).unwrap());
    for result in waiting {
        assert_eq!(result.recv_timeout(PATIENCE), Ok(holder()));
    }
    lookups.gate.send(()).unwrap();
    assert_eq!(lookups.resolve(5, PATIENCE), holder());
}

#[test]
fn peer_over_its_budget_is_busy_and_others_are_not() {
    let lookups = Lookups::open();
    while lookups.sessions.may_start(Starter::Address(peer(1))) {}
    assert_eq!(lookups.resolve(1, PATIENCE), Found::Busy);
    lookups.gate.send(()).unwrap();
    assert_eq!(lookups.resolve(2, PATIENCE), holder());
}

#[test]
fn only_live_pod_not_being_deleted_holds_the_address() {
    let deleting = |uid| Pod { deleting: true, ..pod(uid, "10.0.0.1") };
    let finished = |uid| Pod { finished: true, ..pod(uid, "10.0.0.1") };
    let host = |uid| Pod { host_network: true, ..pod(uid, "10.0.0.1") };
    let running = |uid| pod(uid, "10.0.0.1");
    for (pods, holder) in [
        (vec![], None),
        (vec![running("a")], Some("a")),
        (vec![running("a"), deleting("b"), finished("c"), host("d")], Some("a")),
        (vec![deleting("b"), finished("c")], Some("b")),
        (vec![running("a"), running("b")], None),
        (vec![deleting("a"), deleting("b")], None),
    ] {
        assert_eq!(one_holder(pods).as_deref(), holder);
    }
}
