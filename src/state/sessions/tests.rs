use super::*;
use crate::logic::base::secret::Secret;
use crate::logic::cluster::kubernetes::Pod;
use crate::logic::cluster::world::tests::{listed, pod};
use crate::logic::policy;
use crate::logic::policy::tests::rules;
use crate::logic::sessions::cache::RenewAt;
use crate::logic::sessions::credentials::Credentials;
use crate::logic::sts::Assumed;
use crate::os::clock::SystemClock;
use crate::os::threads;
use crate::ports::Clock;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

mod tokens;

const PEER: SessionRequester<'static> = signed(Starter::Address(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1))));

const fn signed(starter: Starter) -> SessionRequester<'static> {
    SessionRequester { starter, token: None }
}

/// Answers when the gate opens, or at once without a gate; panics for the role `panics`.
struct FakeSts {
    calls: AtomicUsize,
    gate: Option<crossbeam_channel::Receiver<()>>,
}

impl Sts for FakeSts {
    fn assume_role(&self, request: &AssumeRole) -> Result<Assumed, StsFailure> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        assert_ne!(request.role.name(), "panics");
        if let Some(gate) = &self.gate {
            let _ = gate.recv();
        }
        let credentials = Credentials {
            access_key_id: format!("KEY-{}", request.role.name()),
            secret_access_key: Secret::new("secret".into()),
            session_token: None,
            expiration: None,
        };
        Ok(Assumed { credentials, life: Duration::from_secs(3_600) })
    }

    fn assume_role_with_web_identity(&self, _: &AssumeRole, _: &Secret<String>) -> Result<Assumed, StsFailure> {
        Err(interrupted())
    }

    fn caller_identity(&self) -> Result<String, StsFailure> {
        Err(interrupted())
    }
}

fn permitted(role: &str) -> Permitted {
    let world = listed(vec![Pod { role: Some(role.into()), ..pod("a", "10.0.0.1") }], vec![]);
    policy::permit(&world, &rules(), world.pod("a").unwrap()).unwrap()
}

/// Runs `scene` with two workers.
fn with_workers(
    gate: Option<crossbeam_channel::Receiver<()>>,
    scene: impl FnOnce(&SessionCache, &(dyn Fn(u64) -> Mono + Sync), &FakeSts),
) {
    let clock = Arc::new(SystemClock::new());
    let rules = CacheRules { budget: Rate { burst: 20.0, refill: 10.0 }, renew: RenewAt::Half, error_ttl: None };
    let sessions = Arc::new(SessionCache::new(rules, clock.clone()));
    let sts = Arc::new(FakeSts { calls: AtomicUsize::new(0), gate });
    let workers: Vec<_> = (0..2)
        .map(|_| {
            let (sessions, sts) = (sessions.clone(), sts.clone());
            threads::spawn("worker", threads::STACK_BYTES, move || sessions.work(&*sts, &|| 0, &|_| {})).unwrap()
        })
        .collect();
    let later = clock.clone();
    scene(&sessions, &move |seconds| later.now().mono.after(Duration::from_secs(seconds)), &sts);
    sessions.close();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
}

#[test]
fn session_is_fetched_once_and_then_ready() {
    with_workers(None, |sessions, later, sts| {
        assert!(matches!(sessions.obtain(&permitted("app"), PEER, later(10)), SessionOutcome::Fetched(_)));
        assert!(matches!(sessions.obtain(&permitted("app"), PEER, later(10)), SessionOutcome::Ready(_)));
        assert_eq!(sts.calls.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn timed_out_waiter_leaves_and_the_call_continues_for_others() {
    let (open, gate) = crossbeam_channel::bounded(0);
    with_workers(Some(gate), |sessions, later, sts| {
        assert!(matches!(sessions.obtain(&permitted("app"), PEER, later(0)), SessionOutcome::TimedOut));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| sessions.obtain(&permitted("app"), PEER, later(10)));
            open.send_timeout((), Duration::from_secs(10)).unwrap();
            assert!(matches!(waiter.join().unwrap(), SessionOutcome::Fetched(_) | SessionOutcome::Ready(_)));
        });
        assert_eq!(sts.calls.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn timed_out_waiter_keeps_no_session_from_being_swept() {
    let (open, gate) = crossbeam_channel::bounded(0);
    with_workers(Some(gate), |sessions, later, _| {
        std::thread::scope(|scope| {
            // The call is in progress: its session arrives whether or not a thread waits.
            let last = scope.spawn(|| sessions.obtain(&permitted("app"), PEER, later(10)));
            open.send_timeout((), Duration::from_secs(10)).unwrap();
            assert!(matches!(last.join().unwrap(), SessionOutcome::Fetched(_)));
            let slow = scope.spawn(|| sessions.obtain(&permitted("slow"), PEER, later(10)));
            while sessions.counts().in_flight == 0 {
                std::thread::yield_now();
            }
            assert!(matches!(sessions.obtain(&permitted("slow"), PEER, later(0)), SessionOutcome::TimedOut));
            open.send_timeout((), Duration::from_secs(10)).unwrap();
            assert!(matches!(slow.join().unwrap(), SessionOutcome::Fetched(_)));
        });
        assert_eq!(sessions.counts().sessions, 2);
        sessions.sweep(&HashSet::new());
        assert_eq!(sessions.counts().sessions, 0);
    });
}

#[test]
fn panicking_call_wakes_its_waiters() {
    with_workers(None, |sessions, later, _| {
        assert!(matches!(sessions.obtain(&permitted("panics"), PEER, later(10)), SessionOutcome::Refused(_)));
        assert!(matches!(sessions.obtain(&permitted("app"), PEER, later(10)), SessionOutcome::Fetched(_)));
    });
}

#[test]
fn peer_is_limited_in_starting_calls_but_not_in_joining_or_reusing() {
    with_workers(None, |sessions, later, _| {
        for index in 0..20 {
            assert!(matches!(
                sessions.obtain(&permitted(&format!("r{index}")), PEER, later(10)),
                SessionOutcome::Fetched(_)
            ));
        }
        let other = signed(Starter::Address("10.0.0.2".parse().unwrap()));
        let refused = (0..5).filter(|index| {
            matches!(sessions.obtain(&permitted(&format!("x{index}")), PEER, later(10)), SessionOutcome::Busy)
        });
        assert!(refused.count() >= 3);
        assert!(matches!(sessions.obtain(&permitted("r0"), PEER, later(10)), SessionOutcome::Ready(_)));
        assert!(matches!(sessions.obtain(&permitted("y"), other, later(10)), SessionOutcome::Fetched(_)));
    });
}

/// Refuses calls or not, as the test sets; every response takes `takes`.
struct SlowSts {
    calls: Mutex<Vec<String>>,
    refused: std::sync::atomic::AtomicBool,
    takes: Duration,
}

impl Sts for SlowSts {
    fn assume_role(&self, request: &AssumeRole) -> Result<Assumed, StsFailure> {
        self.calls.lock().push(request.role.name().to_owned());
        // Waits for the time a call takes.
        let (_never, nothing) = crossbeam_channel::bounded::<()>(1);
        let _ = nothing.recv_timeout(self.takes);
        if self.refused.load(Ordering::SeqCst) {
            return Err(StsFailure { kind: StsFailureKind::Refused, code: "AccessDenied".into(), ..interrupted() });
        }
        FakeSts { calls: AtomicUsize::new(0), gate: None }.assume_role(request)
    }

    fn assume_role_with_web_identity(&self, _: &AssumeRole, _: &Secret<String>) -> Result<Assumed, StsFailure> {
        Err(interrupted())
    }

    fn caller_identity(&self) -> Result<String, StsFailure> {
        Err(interrupted())
    }
}

/// A thousand pods with a hundred roles start at once.
#[test]
fn thousand_pods_with_a_hundred_roles_make_a_hundred_calls() {
    let clock = Arc::new(SystemClock::new());
    let rules = CacheRules { budget: Rate { burst: 20.0, refill: 10.0 }, renew: RenewAt::Half, error_ttl: None };
    let sessions = Arc::new(SessionCache::new(rules, clock.clone()));
    let takes = Duration::from_millis(2);
    let sts = Arc::new(SlowSts { calls: Mutex::default(), refused: false.into(), takes });
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let (sessions, sts) = (sessions.clone(), sts.clone());
            threads::spawn("worker", threads::STACK_BYTES, move || sessions.work(&*sts, &|| 0, &|_| {})).unwrap()
        })
        .collect();
    let deadline = clock.now().mono.after(Duration::from_secs(60));
    assert!(matches!(sessions.obtain(&permitted("held"), PEER, deadline), SessionOutcome::Fetched(_)));
    let roles: Vec<_> = (0..100).map(|role| permitted(&format!("r{role}"))).collect();
    let pods: Vec<_> = (0..1_000_u32)
        .map(|pod| {
            let (sessions, permitted) = (sessions.clone(), roles[pod as usize % 100].clone());
            let peer = signed(Starter::Address(IpAddr::from((0x0a01_0000 + pod).to_be_bytes())));
            let ask = move || {
                assert!(matches!(
                    sessions.obtain(&permitted, peer, deadline),
                    SessionOutcome::Fetched(_) | SessionOutcome::Ready(_)
                ))
            };
            threads::spawn("pod", 64 * 1024, ask).unwrap()
        })
        .collect();
    for _ in 0..1_000 {
        assert!(matches!(sessions.obtain(&permitted("held"), PEER, Mono::default()), SessionOutcome::Ready(_)));
    }
    pods.into_iter().for_each(|pod| pod.join().unwrap());
    let calls = sts.calls.lock().clone();
    let roles: HashSet<&String> = calls.iter().collect();
    assert_eq!((calls.len(), roles.len(), sessions.counts().sessions), (101, 101, 101));
    sessions.close();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
}

/// Without cached failures, a pod in a loop would cause a call each time; it gets STS's last failure instead.
#[test]
fn pod_over_its_budget_gets_the_last_failure_of_sts() {
    let clock = Arc::new(SystemClock::new());
    let rules = CacheRules {
        budget: Rate { burst: 20.0, refill: 10.0 },
        renew: RenewAt::Half,
        error_ttl: Some(Duration::ZERO),
    };
    let sessions = Arc::new(SessionCache::new(rules, clock.clone()));
    let sts = Arc::new(SlowSts { calls: Mutex::default(), refused: true.into(), takes: Duration::ZERO });
    let worker = {
        let (sessions, sts) = (sessions.clone(), sts.clone());
        threads::spawn("worker", threads::STACK_BYTES, move || sessions.work(&*sts, &|| 0, &|_| {})).unwrap()
    };
    let deadline = clock.now().mono.after(Duration::from_secs(60));
    let (app, mut remembered) = (permitted("app"), 0);
    for _ in 0..2_000 {
        match sessions.obtain(&app, PEER, deadline) {
            SessionOutcome::Refused(failure) => assert_eq!(failure.code, "AccessDenied"),
            SessionOutcome::Remembered(failure) => {
                assert_eq!(failure.code, "AccessDenied");
                remembered += 1;
            }
            other => panic!("{other:?}"),
        }
        if remembered >= 3 {
            break;
        }
    }
    assert_eq!(remembered, 3);
    assert!(
        matches!(
            sessions.obtain(&app, signed(Starter::Address("10.0.0.9".parse().unwrap())), deadline),
            SessionOutcome::Refused(_)
        ),
        "another pod may start a call"
    );
    sessions.close();
    worker.join().unwrap();
}

#[test]
fn closing_wakes_all_waiters() {
    let clock = Arc::new(SystemClock::new());
    let rules = CacheRules { budget: Rate { burst: 20.0, refill: 10.0 }, renew: RenewAt::Half, error_ttl: None };
    let sessions = SessionCache::new(rules, clock);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| sessions.obtain(&permitted("app"), PEER, Mono::from_micros(u64::MAX)));
        sessions.close();
        assert!(matches!(waiter.join().unwrap(), SessionOutcome::TimedOut));
    });
}

/// A panicking report neither ends the worker nor delays the result.
#[test]
fn result_is_recorded_before_the_report_and_despite_its_panic() {
    let clock = Arc::new(SystemClock::new());
    let rules = CacheRules { budget: Rate { burst: 20.0, refill: 10.0 }, renew: RenewAt::Half, error_ttl: None };
    let sessions = SessionCache::new(rules, clock.clone());
    let sts = FakeSts { calls: AtomicUsize::new(0), gate: None };
    let deadline = clock.now().mono.after(Duration::from_secs(10));
    let (obtained, reported) = crossbeam_channel::bounded::<()>(1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sessions.work(&sts, &|| 0, &|report| {
                let opened = reported.recv_timeout(Duration::from_secs(10));
                assert!(opened.is_err() || report.request.role.name() != "app", "a report that fails");
            });
        });
        let first = sessions.obtain(&permitted("app"), PEER, deadline);
        obtained.send(()).unwrap();
        let second = sessions.obtain(&permitted("other"), PEER, deadline);
        obtained.send(()).unwrap();
        sessions.close();
        assert!(matches!((first, second), (SessionOutcome::Fetched(_), SessionOutcome::Fetched(_))));
    });
}

/// A machine that is suspended for two hours whenever a thread waits.
#[derive(Default)]
struct SleepyTime(std::sync::atomic::AtomicU64);

struct SleepyNotifier(Arc<SleepyTime>);

impl Clock for Arc<SleepyTime> {
    fn now(&self) -> crate::logic::base::time::Now {
        crate::logic::base::time::Now { mono: Mono::from_millis(self.0.load(Ordering::SeqCst)), ..Default::default() }
    }
}

impl Time for Arc<SleepyTime> {
    fn notifier(&self) -> Arc<dyn Notifier> {
        Arc::new(SleepyNotifier(self.clone()))
    }
}

impl Notifier for SleepyNotifier {
    fn generation(&self) -> u64 {
        0
    }

    fn notify(&self) {}

    fn wait(&self, _: u64, _: Mono) {
        self.0.0.fetch_add(2 * 3_600_000, Ordering::SeqCst);
    }
}

/// Found by seed 1000044 of the simulator.
#[test]
fn session_that_expired_during_a_wait_is_not_handed_out() {
    let time = Arc::new(SleepyTime::default());
    let rules = CacheRules { budget: Rate { burst: 20.0, refill: 10.0 }, renew: RenewAt::Half, error_ttl: None };
    let sessions = SessionCache::new(rules, Arc::new(time.clone()));
    let app = permitted("app");
    sessions.prefetch(&app);
    let mut ticket = sessions.take(&|| 0).unwrap();
    let assumed = FakeSts { calls: AtomicUsize::new(0), gate: None }.assume_role(app.request()).unwrap();
    ticket.result = Some(Ok((Session::render(app.request(), &assumed, time.now()), assumed.life)));
    drop(ticket);
    time.0.store(50 * 60_000, Ordering::SeqCst);
    let deadline = time.now().mono.after(Duration::from_secs(5));
    assert!(matches!(sessions.obtain(&app, PEER, deadline), SessionOutcome::TimedOut));
}
