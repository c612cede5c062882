//! Admission with fake connections and a fake clock.

use std::cell::Cell;
use std::rc::Rc;

use super::*;

/// A numbered connection; silent until the test changes its state.
#[derive(Clone, Debug)]
struct Fake {
    number: u32,
    idle: Rc<Cell<Option<Idle>>>,
}

impl Evictable for Fake {
    fn idle(&self) -> Option<Idle> {
        self.idle.get()
    }

    fn evict(&self, found: Idle) -> bool {
        self.idle.take() == Some(found)
    }
}

fn peer_key(peer: u8) -> PeerKey {
    PeerKey::Address(pod(peer), PeerOrigin::Elsewhere)
}

struct Server {
    admission: Admission<Fake>,
    fakes: Vec<Fake>,
    now: Mono,
}

impl Server {
    fn new(per_peer: usize, connections: usize, reserved_for_node: usize) -> Self {
        Self::with(Limits { per_peer, connections, reserved_for_node, ..Limits::default() })
    }

    fn with(limits: Limits) -> Self {
        Self { admission: Admission::new(&limits), fakes: Vec::new(), now: Mono::from_millis(1) }
    }

    /// Admits a connection one millisecond after the previous one; its number equals its slot's. Returns the number of
    /// the evicted connection.
    fn admit(&mut self, peer: IpAddr, origin: PeerOrigin) -> Result<Option<u32>, Refusal> {
        self.now = self.now.after(Duration::from_millis(1));
        let number = u32::try_from(self.fakes.len()).unwrap();
        let fake = Fake { number, idle: Rc::new(Cell::new(Some(Idle::Silent(self.now)))) };
        match self.admission.admit(peer, origin, fake.clone(), self.now) {
            AdmissionVerdict::Refused(why) => Err(why),
            AdmissionVerdict::Admitted { number: slot, evicted } => {
                assert_eq!(slot, u64::from(number));
                self.fakes.push(fake);
                Ok(evicted.map(|fake| fake.number))
            }
        }
    }

    fn connect(&mut self, peer: u8) -> Result<Option<u32>, Refusal> {
        self.admit(pod(peer), PeerOrigin::Elsewhere)
    }

    /// Marks a connection as having a request in progress.
    fn busy(&self, number: usize) {
        self.fakes[number].idle.set(None);
    }

    /// Marks its last response as finished now.
    fn answered(&self, number: usize) {
        self.fakes[number].idle.set(Some(Idle::Answered(self.now)));
    }

    /// Marks its request as incomplete from now on.
    fn begun(&self, number: usize) {
        self.fakes[number].idle.set(Some(Idle::Unfinished(self.now)));
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now.after(Duration::from_millis(millis));
    }
}

fn pod(number: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, number])
}

const NODE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

#[test]
fn silent_connections_are_evicted_first_then_the_longest_idle() {
    let mut server = Server::new(4, 100, 0);
    for _ in 0..4 {
        assert_eq!(server.connect(1), Ok(None));
    }
    server.answered(0);
    server.pass(1_000);
    server.begun(1);
    server.answered(2);
    assert_eq!(server.connect(1), Ok(Some(3)), "silent");
    assert_eq!(server.connect(1), Ok(Some(4)), "silent as well");
    server.answered(5);
    assert_eq!(server.connect(1), Ok(Some(1)), "the others were answered less than two seconds ago");
    server.busy(6);
    assert_eq!(server.connect(1), Err(Refusal::PeerFull));
    server.pass(1_000);
    assert_eq!(server.connect(1), Ok(Some(0)), "idle for longest");
    server.busy(7);
    assert_eq!(server.connect(1), Err(Refusal::PeerFull), "2 and 5 were answered a second ago");
    server.pass(1_100);
    assert_eq!(server.connect(1), Ok(Some(2)));
}

#[test]
fn connection_that_receives_a_request_meanwhile_is_not_evicted() {
    let fake = Fake { number: 0, idle: Rc::new(Cell::new(Some(Idle::Silent(Mono::from_millis(1))))) };
    fake.idle.set(Some(Idle::Answered(Mono::from_millis(2))));
    assert!(!fake.evict(Idle::Silent(Mono::from_millis(1))));
}

#[test]
fn responses_close_above_a_per_peer_count_and_when_crowded() {
    let limits = Limits { close_from_per_peer: 3, per_peer: 6, crowded_from: 8, connections: 12, ..Limits::default() };
    let mut server = Server::with(Limits { reserved_for_node: 0, ..limits });
    for _ in 0..2 {
        server.connect(1).unwrap();
    }
    assert!(!server.admission.closes(&peer_key(1)));
    server.connect(1).unwrap();
    assert!(server.admission.closes(&peer_key(1)) && !server.admission.closes(&peer_key(2)));
    server.admission.release(&peer_key(1), 0);
    assert!(!server.admission.closes(&peer_key(1)));
    for _ in 0..6 {
        server.connect(2).unwrap();
    }
    assert!(server.admission.closes(&peer_key(1)) && server.admission.closes(&peer_key(9)), "three quarters are taken");
}

/// Four times the per-peer cap would be all slots.
#[test]
fn four_greedy_peers_leave_slots_for_others() {
    let mut server = Server::with(Limits::default());
    for peer in 1..=4 {
        for _ in 0..300 {
            if server.connect(peer).is_ok() {
                // A busy connection can't be evicted.
                server.busy(server.fakes.len() - 1);
            }
        }
    }
    assert_eq!(server.admission.open(), 768 + 32);
    for peer in 10..17 {
        for _ in 0..25 {
            assert_eq!(server.connect(peer), Ok(None));
            server.busy(server.fakes.len() - 1);
        }
    }
}

#[test]
fn peer_at_its_cap_loses_its_own_oldest_silent_connection() {
    let mut server = Server::new(3, 100, 0);
    for _ in 0..3 {
        assert_eq!(server.connect(1), Ok(None));
    }
    server.busy(0);
    assert_eq!(server.connect(1), Ok(Some(1)));
    assert_eq!(server.connect(1), Ok(Some(2)));
    assert_eq!(server.admission.open(), 3);
    assert_eq!(server.connect(2), Ok(None));
}

#[test]
fn peer_whose_requests_are_all_being_answered_is_refused() {
    let mut server = Server::new(2, 100, 0);
    for number in 0..2 {
        server.connect(1).unwrap();
        server.busy(number);
    }
    assert_eq!(server.connect(1), Err(Refusal::PeerFull));
    assert_eq!(server.connect(2), Ok(None));
    server.admission.release(&peer_key(1), 0);
    assert_eq!(server.connect(1), Ok(None));
}

#[test]
fn full_server_evicts_from_the_largest_peer() {
    let mut server = Server::new(64, 6, 0);
    for peer in [1, 2, 2, 2, 3, 3] {
        server.connect(peer).unwrap();
    }
    assert_eq!(server.connect(4), Ok(Some(1)));
    // Now peers 2 and 3 have two each: the one that has waited longest is evicted.
    assert_eq!(server.connect(5), Ok(Some(2)));
    assert_eq!(server.connect(6), Ok(Some(4)));
}

#[test]
fn full_server_with_only_busy_connections_refuses() {
    let mut server = Server::new(64, 3, 0);
    for (number, peer) in [1, 1, 2].into_iter().enumerate() {
        server.connect(peer).unwrap();
        server.busy(number);
    }
    assert_eq!(server.connect(3), Err(Refusal::AllFull));
    server.begun(2);
    assert_eq!(server.connect(3), Ok(Some(2)), "the largest peer has no idle connection, a smaller one has");
}

#[test]
fn last_slots_are_reserved_for_the_node() {
    let mut server = Server::new(64, 6, 2);
    for number in 0..4 {
        server.connect(1).unwrap();
        server.busy(number);
    }
    assert_eq!(server.connect(2), Err(Refusal::AllFull));
    assert_eq!(server.admit(NODE, PeerOrigin::Node), Ok(None));
    assert_eq!(server.admit(NODE, PeerOrigin::Node), Ok(None));
    assert_eq!(server.connect(2), Err(Refusal::AllFull), "a node's connection is never evicted for another's");
    assert_eq!(server.admit(NODE, PeerOrigin::Node), Ok(Some(4)));
    server.admission.release(&peer_key(1), 0);
    assert_eq!(server.connect(2), Ok(None));
}

#[test]
fn releasing_an_evicted_connection_changes_no_count() {
    let mut server = Server::new(1, 10, 0);
    server.connect(1).unwrap();
    assert_eq!(server.connect(1), Ok(Some(0)));
    server.admission.release(&peer_key(1), 0);
    assert_eq!(server.admission.open(), 1);
    server.admission.release(&peer_key(1), 1);
    server.admission.release(&peer_key(1), 1);
    assert_eq!((server.admission.open(), server.admission.peers.len()), (0, 0));
}

#[test]
fn shedding_evicts_idle_connections_only() {
    let mut server = Server::new(64, 10, 0);
    for peer in [1, 2, 2] {
        server.connect(peer).unwrap();
    }
    server.busy(0);
    let shed: Vec<_> =
        std::iter::from_fn(|| server.admission.shed(server.now)).map(|fake| fake.number).take(10).collect();
    assert_eq!(shed, [1, 2]);
    assert_eq!(server.admission.open(), 1);
    assert_eq!(server.admission.connections().count(), 1);
}

#[test]
fn small_peers_get_slots_among_thirty_large_ones() {
    let mut server = Server::new(64, 1_024, 16);
    for round in 0..50 {
        for peer in 1..=30 {
            server.connect(peer).unwrap_or_else(|why| panic!("round {round}, peer {peer}: {why:?}"));
        }
    }
    assert_eq!(server.admission.open(), 30 * 32);
    for peer in 100..200 {
        let evicted = server.connect(peer).unwrap();
        assert!(evicted.is_none_or(|evicted| evicted < 1_500), "peer {peer} took the slot of another small peer");
    }
    assert_eq!(server.admit(NODE, PeerOrigin::Node), Ok(None));
}

/// Pseudo-random numbers, the same in each run.
fn random(state: &mut u64) -> u8 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    u8::try_from(*state >> 56).unwrap()
}

#[test]
fn counts_stay_consistent_in_any_order_of_events() {
    let (per_peer, connections, reserved) = (4, 12, 2);
    let mut server = Server::new(per_peer, connections, reserved);
    let mut state = 7;
    for _ in 0..20_000 {
        let (action, peer) = (random(&mut state) % 4, random(&mut state) % 6);
        let origin = if peer == 0 { PeerOrigin::Node } else { PeerOrigin::Elsewhere };
        let some = usize::from(random(&mut state)) % server.fakes.len().max(1);
        match action {
            0 | 1 => drop(server.admit(pod(peer), origin)),
            2 if some < server.fakes.len() => server.busy(some),
            _ => server.admission.release(&PeerKey::Address(pod(peer), origin), some as u64),
        }
        let admission = &server.admission;
        let sizes: Vec<_> = admission.peers.values().map(|of_peer| of_peer.slots.len()).collect();
        let elsewhere = admission.peers.values().filter(|of_peer| of_peer.origin == PeerOrigin::Elsewhere);
        assert_eq!(admission.open, sizes.iter().sum::<usize>());
        assert_eq!(admission.elsewhere, elsewhere.map(|of_peer| of_peer.slots.len()).sum::<usize>());
        assert!(admission.open <= connections && admission.elsewhere <= connections - reserved);
        assert!(sizes.iter().all(|size| (1..=per_peer).contains(size)));
        // Starts over now and then, so that slot numbers are reused.
        if server.fakes.len() > 200 {
            server = Server::new(per_peer, connections, reserved);
        }
    }
}

mod loopback;
