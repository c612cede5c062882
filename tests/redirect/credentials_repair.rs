//! What is taken away from the address of container credentials comes back, what others made is left alone, and two
//! agents come to rest.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use kube2iam::for_tests::{
    AddressEnsured, AddressEvent, AddressRepair, CredentialsAddress, Obstacle, Place, PortAnswer, RedirectOutcome,
    RedirectSpec, Removed, RequestAction, WatchContext,
};

use crate::credentials::{AT, open, spec};
use crate::lab::{Answer, Lab, ready, text};
use crate::repair::{PROMISE, QUIET, Stop, TestClock};
use crate::rules::normalised;

/// Runs a watch on the node while `meanwhile` looks at what it reports.
fn watched(
    lab: &Lab,
    address: &mut CredentialsAddress,
    clock: TestClock,
    ask: &(dyn Fn(SocketAddr) -> PortAnswer + Sync),
    meanwhile: impl FnOnce(&Receiver<AddressEvent>),
) {
    let is_active = AtomicBool::new(true);
    let (send, received) = channel();
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut report = |event| drop(send.send(event));
            let is_active = || is_active.load(Ordering::Relaxed);
            let requests = || RequestAction::Redirect;
            lab.node(|| {
                let around = WatchContext { clock: &clock, is_active: &is_active, requests: &requests, ask };
                address.watch(&around, &mut report)
            })
        });
        let stop = Stop(&is_active);
        meanwhile(&received);
        drop(stop);
        watch.join().unwrap().unwrap();
    });
}

fn serves(_: SocketAddr) -> PortAnswer {
    PortAnswer::AsKube2iam
}

fn next(received: &Receiver<AddressEvent>) -> AddressEnsured {
    match received.recv_timeout(PROMISE) {
        Ok(AddressEvent::Ensured(ensured)) => ensured,
        other => panic!("not within {PROMISE:?}: {other:?}"),
    }
}

fn ensured(lab: &Lab, address: &mut CredentialsAddress) -> AddressEnsured {
    lab.node(|| address.ensure()).unwrap()
}

/// Everything of ours on the node, without indexes and hardware addresses.
fn picture(lab: &Lab) -> String {
    let brief = lab.ip("node", &["-4", "-br", "addr"]);
    let own: Vec<&str> = brief.lines().filter(|line| line.contains("169.254.170.2")).collect();
    own.join("\n") + &normalised(&lab.nft(&["list", "ruleset"]))
}

#[test]
fn whatever_is_done_to_the_address_is_undone_within_two_seconds() {
    if !ready() {
        return;
    }
    for (kind, place, link) in [("bridge", Place::OwnLink, "kube2iam0"), ("no-such-kind", Place::Loopback, "lo")] {
        let lab = Lab::new(&["cali1"]);
        let _agent = lab.serve("node", "0.0.0.0:8181", |_| "agent".to_owned());
        let mut address = open(&lab, spec(), kind);
        let first = ensured(&lab, &mut address);
        assert_eq!((first.place.as_ref(), first.repairs.last()), (Ok(&place), Some(&AddressRepair::Assigned(place))));
        let whole = picture(&lab);
        watched(&lab, &mut address, TestClock::new(), &serves, |received| {
            let mut deeds = vec![
                format!("ip addr del 169.254.170.2/32 dev {link}"),
                format!("ip link set {link} down"),
                "nft flush ruleset".to_owned(),
                "nft delete table inet kube2iam_credentials".to_owned(),
                "nft flush chain inet kube2iam_credentials kept_local".to_owned(),
                "nft flush chain inet kube2iam_credentials closed_local".to_owned(),
                "nft flush chain inet kube2iam_credentials leaving".to_owned(),
                "nft insert rule inet kube2iam_credentials kept accept".to_owned(),
            ];
            deeds.extend((place == Place::OwnLink).then(|| "ip link del kube2iam0".to_owned()));
            for deed in &deeds {
                let (program, words) = deed.split_once(' ').unwrap();
                lab.exec("node", program, &words.split(' ').collect::<Vec<_>>());
                let ensured = next(received);
                assert!(
                    ensured.is_in_place() && AddressEvent::Ensured(ensured.clone()).is_repair(),
                    "{deed}: {ensured}"
                );
                assert_eq!(picture(&lab), whole, "{deed}");
                assert_eq!(lab.ask("pod1", AT), text("agent"), "{deed}");
            }
        });
    }
}

#[test]
fn changes_of_others_cause_no_repair_of_the_address() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let mut address = open(&lab, spec(), "bridge");
    ensured(&lab, &mut address);
    watched(&lab, &mut address, TestClock::new(), &serves, |received| {
        lab.nft(&["add table ip theirs"]);
        lab.ip("node", &["link", "add", "br9", "type", "bridge"]);
        lab.ip("node", &["addr", "add", "169.254.170.23/32", "dev", "br9"]);
        assert_eq!(received.recv_timeout(QUIET), Err(RecvTimeoutError::Timeout));
    });
}

#[test]
fn a_link_of_that_name_that_another_made_is_named_and_left_alone() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    lab.ip("node", &["link", "add", "kube2iam0", "type", "veth", "peer", "name", "other"]);
    let mut address = open(&lab, spec(), "bridge");
    let blocked = ensured(&lab, &mut address);
    assert_eq!(blocked.place, Err(Obstacle::LinkTaken { kind: "veth".to_owned() }));
    assert!(!blocked.is_in_place() && blocked.repairs.is_empty(), "{blocked}");
    assert_eq!(lab.node(|| address.remove()), Ok(Removed::Deleted), "only the table");
    assert!(lab.ip("node", &["link"]).contains("kube2iam0@other"), "the link is still there");
}

#[test]
fn an_address_that_another_set_up_is_named_and_gets_no_token() {
    if !ready() {
        return;
    }
    for interface in ["cali1", "lo"] {
        let lab = Lab::new(&["cali1"]);
        let _agent = lab.serve("node", "0.0.0.0:8181", |_| "agent".to_owned());
        lab.ip("node", &["addr", "add", "169.254.170.2/32", "dev", interface]);
        let mut address = open(&lab, spec(), "no-such-kind");
        let blocked = ensured(&lab, &mut address);
        assert_eq!(blocked.place, Err(Obstacle::AddressTaken { interfaces: vec![interface.to_owned()] }));
        assert_eq!(lab.ask("pod1", AT), Answer::Nothing);
        watched(&lab, &mut address, TestClock::new(), &serves, |received| {
            assert_eq!(received.recv_timeout(QUIET), Err(RecvTimeoutError::Timeout), "once is enough");
            lab.ip("node", &["addr", "del", "169.254.170.2/32", "dev", interface]);
            assert_eq!(next(received).place, Ok(Place::Loopback));
            assert_eq!(lab.ask("pod1", AT), text("agent"));
            lab.ip("node", &["addr", "add", "169.254.170.2/32", "dev", "eth0"]);
            assert_eq!(next(received).place, Err(Obstacle::AddressTaken { interfaces: vec!["eth0".to_owned()] }));
            assert_eq!(lab.ask("pod1", AT), Answer::Nothing, "another's address beside ours");
        });
    }
}

#[test]
fn two_agents_share_the_address_and_the_newer_wins_where_they_differ() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let (mut older, mut alike) = (open(&lab, spec(), "bridge"), open(&lab, spec(), "bridge"));
    ensured(&lab, &mut older);
    let shared = ensured(&lab, &mut alike);
    assert_eq!((shared.outcome, shared.generation, shared.repairs), (RedirectOutcome::Kept, 1, vec![]));
    let mut newer = open(&lab, RedirectSpec { app_port: 8282, ..spec() }, "bridge");
    assert_eq!(ensured(&lab, &mut newer).generation, 2);
    let newer_serves = AtomicBool::new(true);
    let ask = |agent: SocketAddr| match agent.port() == 8181 || newer_serves.load(Ordering::Relaxed) {
        true => PortAnswer::AsKube2iam,
        false => PortAnswer::Refused,
    };
    watched(&lab, &mut older, TestClock::fast(), &ask, |received| {
        assert_eq!(next(received).outcome, RedirectOutcome::Yielded);
        assert_eq!(received.recv_timeout(QUIET), Err(RecvTimeoutError::Timeout));
        newer_serves.store(false, Ordering::Relaxed);
        assert_eq!(next(received).outcome, RedirectOutcome::TakenBack);
    });
    assert_eq!(lab.node(|| newer.remove()), Ok(Removed::LeftToNewer));
    assert!(picture(&lab).contains("kube2iam0"));
    assert_eq!(lab.node(|| older.remove()), Ok(Removed::Deleted));
    assert_eq!(picture(&lab), "");
}
