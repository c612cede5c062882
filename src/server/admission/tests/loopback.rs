//! Callers at loopback, from which pods on the node's network come.

use super::*;

/// A pod on the node's network may wait over as many connections as it can open, from all addresses of loopback.
#[test]
fn waiting_connections_at_loopback_leave_half_of_all_slots_to_others() {
    let mut server = Server::with(Limits::default());
    let mut admitted = 0;
    for number in 0..1_008_u32 {
        let peer = IpAddr::from((0x7f00_0001 + number).to_be_bytes());
        match server.admit(peer, PeerOrigin::Loopback) {
            Ok(evicted) => assert_eq!(evicted, None),
            Err(why) => assert_eq!((why, admitted), (Refusal::PeerFull, 512)),
        }
        admitted = server.fakes.len();
        server.busy(admitted - 1);
    }
    assert_eq!(admitted, 512);
    for _ in 0..256 {
        assert_eq!(server.connect(1), Ok(None));
    }
    assert_eq!(server.admit(NODE, PeerOrigin::Node), Ok(None));
    let now = server.now;
    server.admission.refile(&Party::Loopback, 7, Party::Pod("a".into()), now).unwrap();
    assert_eq!(server.admit(NODE, PeerOrigin::Loopback), Ok(None), "one has proved itself");
}

#[test]
fn answers_close_at_loopback_for_those_who_have_not_proved_themselves() {
    let mut server = Server::with(Limits { close_from_per_peer: 3, ..Limits::default() });
    for number in 0..4 {
        assert_eq!(server.admission.closes(&Party::Loopback), number >= 3);
        server.admit(NODE, PeerOrigin::Loopback).unwrap();
    }
    let (proved, now) = (Party::Pod("a".into()), server.now);
    server.admission.refile(&Party::Loopback, 0, proved.clone(), now).unwrap();
    assert!(server.admission.closes(&Party::Loopback) && !server.admission.closes(&proved));
}

/// Pods on the node's network have one address: they are told apart once they have proved themselves.
#[test]
fn a_pod_at_loopback_that_proved_itself_has_its_own_cap() {
    let mut server = Server::new(2, 20, 2);
    let loopback = || Party::Loopback;
    for _ in 0..6 {
        assert_eq!(server.admit(NODE, PeerOrigin::Loopback), Ok(None));
    }
    let now = server.now;
    let proved = |uid: &str| Party::Pod(uid.into());
    for (number, uid) in [(0, "a"), (1, "a"), (2, "b")] {
        assert!(matches!(server.admission.refile(&loopback(), number, proved(uid), now), Ok(None)));
    }
    // Idle ones of its own go first, and with none the request is refused.
    let evicted = server.admission.refile(&loopback(), 3, proved("a"), now).unwrap();
    assert_eq!(evicted.map(|fake| fake.number), Some(0));
    for number in [1, 3] {
        server.fakes[number].idle.set(None);
    }
    assert!(matches!(server.admission.refile(&loopback(), 4, proved("a"), now), Err(Refusal::PeerFull)));
    assert_eq!(server.admission.open(), 5);
    for (party, number) in [(proved("a"), 1), (proved("a"), 3), (proved("b"), 2), (loopback(), 4), (loopback(), 5)] {
        server.admission.release(&party, number);
    }
    assert_eq!((server.admission.open(), server.admission.elsewhere, server.admission.peers.len()), (0, 0, 0));
}

#[test]
fn callers_at_loopback_use_none_of_the_slots_kept_for_probes() {
    let mut server = Server::new(10, 4, 2);
    for _ in 0..2 {
        assert_eq!(server.admit(NODE, PeerOrigin::Loopback), Ok(None));
    }
    assert_eq!(server.admit(NODE, PeerOrigin::Loopback), Ok(Some(0)), "one of their own goes");
    assert_eq!(server.admit(NODE, PeerOrigin::Node), Ok(None));
    assert_eq!(server.admit(NODE, PeerOrigin::Node), Ok(None));
}
