//! Connections from loopback, which hostNetwork pods use.

use super::*;

/// A hostNetwork pod may open many connections, from every loopback address, and let each wait.
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
    server.admission.reassign(&PeerKey::Loopback, 7, PeerKey::Pod("a".into()), now).unwrap();
    assert_eq!(server.admit(NODE, PeerOrigin::Loopback), Ok(None), "one moved to its pod");
}

#[test]
fn responses_close_at_loopback_without_a_proven_pod() {
    let mut server = Server::with(Limits { close_from_per_peer: 3, ..Limits::default() });
    for number in 0..4 {
        assert_eq!(server.admission.closes(&PeerKey::Loopback), number >= 3);
        server.admit(NODE, PeerOrigin::Loopback).unwrap();
    }
    let (proved, now) = (PeerKey::Pod("a".into()), server.now);
    server.admission.reassign(&PeerKey::Loopback, 0, proved.clone(), now).unwrap();
    assert!(server.admission.closes(&PeerKey::Loopback) && !server.admission.closes(&proved));
}

/// hostNetwork pods share one address: they are counted separately once their identity is proven.
#[test]
fn proven_pod_at_loopback_has_its_own_cap() {
    let mut server = Server::new(2, 20, 2);
    let loopback = || PeerKey::Loopback;
    for _ in 0..6 {
        assert_eq!(server.admit(NODE, PeerOrigin::Loopback), Ok(None));
    }
    let now = server.now;
    let proved = |uid: &str| PeerKey::Pod(uid.into());
    for (number, uid) in [(0, "a"), (1, "a"), (2, "b")] {
        assert!(matches!(server.admission.reassign(&loopback(), number, proved(uid), now), Ok(None)));
    }
    // An idle connection of the pod is evicted; without one the request is refused.
    let evicted = server.admission.reassign(&loopback(), 3, proved("a"), now).unwrap();
    assert_eq!(evicted.map(|fake| fake.number), Some(0));
    for number in [1, 3] {
        server.fakes[number].idle.set(None);
    }
    assert!(matches!(server.admission.reassign(&loopback(), 4, proved("a"), now), Err(Refusal::PeerFull)));
    assert_eq!(server.admission.open(), 5);
    for (peer_key, number) in [(proved("a"), 1), (proved("a"), 3), (proved("b"), 2), (loopback(), 4), (loopback(), 5)] {
        server.admission.release(&peer_key, number);
    }
    assert_eq!((server.admission.open(), server.admission.elsewhere, server.admission.peers.len()), (0, 0, 0));
}

#[test]
fn loopback_connections_use_no_slot_reserved_for_probes() {
    let mut server = Server::new(10, 4, 2);
    for _ in 0..2 {
        assert_eq!(server.admit(NODE, PeerOrigin::Loopback), Ok(None));
    }
    assert_eq!(server.admit(NODE, PeerOrigin::Loopback), Ok(Some(0)), "one from loopback is evicted");
    assert_eq!(server.admit(NODE, PeerOrigin::Node), Ok(None));
    assert_eq!(server.admit(NODE, PeerOrigin::Node), Ok(None));
}
