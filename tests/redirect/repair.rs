//! What is removed or altered comes back, and two agents come to rest.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use kube2iam::for_tests::{
    Clock, Ensured, Mono, Now, PortAnswer, Redirect, RedirectEvent, RedirectOutcome, RedirectSpec, Removed,
    RequestAction, Wall, WatchContext,
};

use crate::lab::{AGENT_PORT, Lab, METADATA_V4, ready, text};

/// Two seconds are promised for a removed rule to be back; a machine that does much else gets three more.
pub(crate) const PROMISE: Duration = Duration::from_secs(5);
/// Long enough for a repair that nobody needs.
pub(crate) const QUIET: Duration = Duration::from_secs(2);

#[derive(Clone, Copy)]
pub(crate) struct TestClock {
    since: std::time::Instant,
    speed: u32,
}

impl TestClock {
    #[allow(clippy::disallowed_methods)] // the watch is tested against the time it promises
    pub(crate) fn new() -> Self {
        Self { since: std::time::Instant::now(), speed: 1 }
    }

    pub(crate) fn fast() -> Self {
        Self { speed: 60, ..Self::new() }
    }
}

impl Clock for TestClock {
    fn now(&self) -> Now {
        let mono = Mono::from_micros(u64::try_from((self.since.elapsed() * self.speed).as_micros()).unwrap());
        Now { mono, wall: Wall::from_unix_millis(0) }
    }
}

fn spec() -> RedirectSpec {
    RedirectSpec::new(AGENT_PORT)
}

fn open(lab: &Lab, spec: RedirectSpec) -> Redirect {
    lab.node(|| {
        let mut redirect = Redirect::open(spec).unwrap();
        redirect.ensure().unwrap();
        redirect
    })
}

/// Runs a watch on the node while `meanwhile` looks at what it tells.
fn watched(lab: &Lab, redirect: &mut Redirect, meanwhile: impl FnOnce(&Receiver<RedirectEvent>)) {
    watched_beside(lab, redirect, TestClock::new(), &|_| PortAnswer::AsKube2iam, meanwhile);
}

/// `ask` says what agents answer to a question for their health.
fn watched_beside(
    lab: &Lab,
    redirect: &mut Redirect,
    clock: TestClock,
    ask: &(dyn Fn(SocketAddr) -> PortAnswer + Sync),
    meanwhile: impl FnOnce(&Receiver<RedirectEvent>),
) {
    let is_active = AtomicBool::new(true);
    let (tell, told) = channel();
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut report = |event| drop(tell.send(event));
            let is_active = || is_active.load(Ordering::Relaxed);
            let requests = || RequestAction::Redirect;
            lab.node(|| {
                let around = WatchContext { clock: &clock, is_active: &is_active, requests: &requests, ask };
                redirect.watch(&around, &mut report)
            })
        });
        let stop = Stop(&is_active);
        meanwhile(&told);
        drop(stop);
        watch.join().unwrap().unwrap();
    });
}

/// Ends the watch also when an assertion fails.
pub(crate) struct Stop<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn next(told: &Receiver<RedirectEvent>) -> RedirectOutcome {
    match told.recv_timeout(PROMISE) {
        Ok(RedirectEvent::Ensured(Ensured { outcome, .. })) => outcome,
        other => panic!("not within {PROMISE:?}: {other:?}"),
    }
}

#[test]
fn whatever_is_done_to_the_table_is_undone_within_two_seconds() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let _agent = lab.agent();
    let mut redirect = open(&lab, spec());
    let whole = lab.nft(&["list", "table", "inet", "kube2iam"]);
    watched(&lab, &mut redirect, |told| {
        for deed in [
            "flush ruleset",
            "delete table inet kube2iam",
            "flush chain inet kube2iam to_agent",
            "add table inet kube2iam { flags dormant; }",
            "insert rule inet kube2iam to_agent accept",
            "add chain inet kube2iam more",
            "flush chain inet kube2iam dropped; delete chain inet kube2iam dropped",
            "add chain inet kube2iam dropped { policy drop; }",
        ] {
            lab.nft(&[deed]);
            let outcome = next(told);
            assert!(matches!(outcome, RedirectOutcome::Placed | RedirectOutcome::Repaired(_)), "{deed}: {outcome:?}");
            assert_eq!(lab.nft(&["list", "table", "inet", "kube2iam"]), whole, "{deed}");
        }
        for (deed, statement) in [("delete", ""), ("replace", " counter accept")] {
            let handles = lab.nft(&["-a", "list", "chain", "inet", "kube2iam", "to_agent"]);
            let rule = handles.lines().find(|line| line.contains("dnat ip to")).unwrap();
            let (_, handle) = rule.rsplit_once("# handle ").unwrap();
            lab.nft(&[&format!("{deed} rule inet kube2iam to_agent handle {handle}{statement}")]);
            let outcome = next(told);
            assert!(matches!(outcome, RedirectOutcome::Repaired(_)), "{deed}: {outcome:?}");
            assert_eq!(lab.nft(&["list", "table", "inet", "kube2iam"]), whole, "{deed}");
        }
        assert_eq!(lab.ask("pod1", METADATA_V4), text("agent for 10.81.0.2"));
    });
}

#[test]
fn changes_of_others_cause_no_repair() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let mut redirect = open(&lab, spec());
    watched(&lab, &mut redirect, |told| {
        lab.nft(&["add table ip theirs; add chain ip theirs any { type filter hook prerouting priority 0; }"]);
        lab.exec("node", "iptables-nft", &["-t", "nat", "-A", "PREROUTING", "-p", "tcp", "-j", "ACCEPT"]);
        assert_eq!(told.recv_timeout(QUIET), Err(RecvTimeoutError::Timeout));
    });
}

#[test]
fn an_address_that_changes_is_followed() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let mut redirect = open(&lab, spec());
    lab.ip("node", &["addr", "add", "10.77.0.9/24", "dev", "eth0"]);
    lab.ip("node", &["route", "replace", "default", "via", "10.77.0.1", "src", "10.77.0.9"]);
    let ensured = lab.node(|| redirect.ensure()).unwrap();
    assert_eq!((ensured.outcome, ensured.generation), (RedirectOutcome::Updated, 1));
    assert_eq!(ensured.wanted.agent_v4, Some("10.77.0.9:8181".parse().unwrap()));
    lab.ip("node", &["route", "del", "default"]);
    lab.ip("node", &["-6", "route", "del", "default"]);
    lab.ip("node", &["-6", "addr", "flush", "dev", "eth0"]);
    assert_eq!(lab.node(|| redirect.ensure()).unwrap().outcome, RedirectOutcome::Kept);
}

#[test]
fn a_restart_writes_nothing_and_keeps_the_counters() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let _agent = lab.agent();
    open(&lab, spec());
    assert_eq!(lab.ask("pod1", METADATA_V4), text("agent for 10.81.0.2"));
    let before = lab.nft(&["list", "table", "inet", "kube2iam"]);
    assert!(before.contains("counter packets 1 "), "{before}");
    let ensured = lab.node(|| Redirect::open(spec()).unwrap().ensure()).unwrap();
    assert_eq!(ensured.outcome, RedirectOutcome::Kept);
    assert_eq!(lab.nft(&["list", "table", "inet", "kube2iam"]), before);
}

#[test]
fn the_newer_agent_wins_and_the_older_yields() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let mut older = open(&lab, spec());
    let mut newer = open(&lab, RedirectSpec { app_port: 8282, ..spec() });
    watched(&lab, &mut older, |told| {
        assert_eq!(next(told), RedirectOutcome::Yielded);
        lab.nft(&["flush", "ruleset"]);
        assert_eq!(next(told), RedirectOutcome::Placed);
        let ensured = lab.node(|| newer.ensure()).unwrap();
        assert!(matches!(ensured.outcome, RedirectOutcome::Repaired(_)), "{ensured}");
        assert_eq!(next(told), RedirectOutcome::Yielded);
        assert_eq!(lab.node(|| newer.ensure()).unwrap().outcome, RedirectOutcome::Kept);
    });
    assert_eq!(lab.node(|| older.remove()), Ok(Removed::LeftToNewer));
    assert_eq!(lab.node(|| newer.remove()), Ok(Removed::Deleted));
}

/// A rollout to an agent that never serves, and back: the one from before is still there.
#[test]
fn the_older_agent_takes_the_table_back_from_a_newer_one_that_does_not_serve() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let mut older = open(&lab, spec());
    let newer = RedirectSpec { app_port: 8282, requests: RequestAction::Drop, ..spec() };
    let mut newer = open(&lab, newer);
    newer.set_requests(RequestAction::Redirect);
    assert_eq!(lab.node(|| newer.ensure()).unwrap().generation, 3);
    let newer_serves = AtomicBool::new(true);
    let ask = |agent: SocketAddr| match agent.port() == AGENT_PORT || newer_serves.load(Ordering::Relaxed) {
        true => PortAnswer::AsKube2iam,
        false => PortAnswer::Refused,
    };
    watched_beside(&lab, &mut older, TestClock::fast(), &ask, |told| {
        assert_eq!(next(told), RedirectOutcome::Yielded);
        // Two minutes of its clock, and more.
        assert_eq!(told.recv_timeout(Duration::from_secs(3)), Err(RecvTimeoutError::Timeout));
        newer_serves.store(false, Ordering::Relaxed);
        assert_eq!(next(told), RedirectOutcome::TakenBack);
        assert_eq!(lab.node(|| newer.ensure()).unwrap().outcome, RedirectOutcome::Yielded);
    });
    assert_eq!(lab.node(|| newer.remove()), Ok(Removed::LeftToNewer));
}

#[test]
fn two_agents_with_the_same_number_do_not_fight_when_one_of_them_wants_something_else() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let (mut older, mut newer) = (open(&lab, spec()), open(&lab, spec()));
    newer.set_requests(RequestAction::Drop);
    let written = lab.node(|| newer.ensure()).unwrap();
    assert_eq!((written.outcome, written.generation), (RedirectOutcome::Updated, 2));
    assert_eq!(lab.node(|| older.ensure()).unwrap().outcome, RedirectOutcome::Yielded);
    assert_eq!(lab.node(|| newer.ensure()).unwrap().outcome, RedirectOutcome::Kept);
}

#[test]
fn a_ruleset_that_others_keep_writing_is_written_all_the_same() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&[]);
    let is_active = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let _stop = Stop(&is_active);
        let lab = &lab;
        for name in ["one", "two"] {
            let is_active = &is_active;
            scope.spawn(move || {
                while is_active.load(Ordering::Relaxed) {
                    lab.nft(&[&format!("add table ip {name}; delete table ip {name}")]);
                }
            });
        }
        for round in 0..50 {
            let removed = lab.node(kube2iam::for_tests::remove_redirect).unwrap();
            assert_eq!(removed, if round == 0 { Removed::NothingThere } else { Removed::Deleted });
            let ensured = lab.node(|| Redirect::open(spec()).unwrap().ensure()).unwrap();
            assert_eq!(ensured.outcome, RedirectOutcome::Placed, "round {round}");
        }
    });
}

#[test]
fn no_request_slips_through_while_the_table_is_rewritten() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let _agent = lab.agent();
    let _second = lab.serve("node", "10.77.0.2:8282", |peer| format!("agent for {peer}"));
    let rewrite = |app_port| open(&lab, RedirectSpec { app_port, ..spec() });
    rewrite(AGENT_PORT);
    let (writes, is_active) = (AtomicUsize::new(0), AtomicBool::new(true));
    std::thread::scope(|scope| {
        let _stop = Stop(&is_active);
        scope.spawn(|| {
            for app_port in [8282, AGENT_PORT].into_iter().cycle().take_while(|_| is_active.load(Ordering::Relaxed)) {
                rewrite(app_port);
                writes.fetch_add(1, Ordering::Relaxed);
            }
        });
        // As many of both as it takes, whichever of the two gets less of the processor.
        for request in 0..100_000 {
            assert_ne!(lab.ask("pod1", METADATA_V4), text("canary"), "request {request}");
            if request >= 40 && writes.load(Ordering::Relaxed) >= 40 {
                break;
            }
        }
        let writes = writes.load(Ordering::Relaxed);
        assert!(writes >= 40, "too few writes for requests to meet: {writes}");
    });
}
