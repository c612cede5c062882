//! Admission as a game of chairs, with connections that are flags.

use std::cell::Cell;
use std::rc::Rc;

use super::*;

/// A connection by number; idle until it is told otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Chair {
    number: u32,
    idle: Rc<Cell<bool>>,
}

impl Seated for Chair {
    fn is_idle(&self) -> bool {
        self.idle.get()
    }

    fn give_up(&self) -> bool {
        self.idle.replace(false)
    }
}

struct House {
    admission: Admission<Chair>,
    chairs: Vec<Chair>,
}

impl House {
    fn new(per_peer: usize, connections: usize, reserved_for_node: usize) -> Self {
        let limits = Limits { per_peer, connections, reserved_for_node, ..Limits::default() };
        Self { admission: Admission::new(&limits), chairs: Vec::new() }
    }

    /// Lets one in; its number is its seat's. Gives the number of the one who had to go.
    fn admit(&mut self, peer: IpAddr, origin: Origin) -> Result<Option<u32>, Refusal> {
        let number = u32::try_from(self.chairs.len()).unwrap();
        let chair = Chair { number, idle: Rc::new(Cell::new(true)) };
        match self.admission.admit(peer, origin, chair.clone()) {
            Verdict::Refused(why) => Err(why),
            Verdict::Seated { seat, evicted } => {
                assert_eq!(seat, u64::from(number));
                self.chairs.push(chair);
                Ok(evicted.map(|chair| chair.number))
            }
        }
    }

    fn stranger(&mut self, peer: u8) -> Result<Option<u32>, Refusal> {
        self.admit(pod(peer), Origin::Stranger)
    }

    fn busy(&self, number: usize) {
        self.chairs[number].idle.set(false);
    }
}

fn pod(number: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, number])
}

const NODE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

#[test]
fn peer_at_its_cap_loses_its_own_oldest_idle_connection() {
    let mut house = House::new(3, 100, 0);
    for _ in 0..3 {
        assert_eq!(house.stranger(1), Ok(None));
    }
    house.busy(0);
    assert_eq!(house.stranger(1), Ok(Some(1)));
    assert_eq!(house.stranger(1), Ok(Some(2)));
    assert_eq!(house.admission.seated(), 3);
    assert_eq!(house.stranger(2), Ok(None));
}

#[test]
fn peer_whose_requests_are_all_being_answered_is_refused() {
    let mut house = House::new(2, 100, 0);
    for number in 0..2 {
        house.stranger(1).unwrap();
        house.busy(number);
    }
    assert_eq!(house.stranger(1), Err(Refusal::PeerFull));
    assert_eq!(house.stranger(2), Ok(None));
    house.admission.leave(pod(1), 0);
    assert_eq!(house.stranger(1), Ok(None));
}

#[test]
fn full_house_takes_from_the_peer_with_most() {
    let mut house = House::new(64, 6, 0);
    for peer in [1, 2, 2, 2, 3, 3] {
        house.stranger(peer).unwrap();
    }
    assert_eq!(house.stranger(4), Ok(Some(1)));
    // Now 2 and 3 have two each: the one that waits longest goes.
    assert_eq!(house.stranger(5), Ok(Some(2)));
    assert_eq!(house.stranger(6), Ok(Some(4)));
}

#[test]
fn full_house_of_the_busy_refuses() {
    let mut house = House::new(64, 3, 0);
    for (number, peer) in [1, 1, 2].into_iter().enumerate() {
        house.stranger(peer).unwrap();
        house.busy(number);
    }
    assert_eq!(house.stranger(3), Err(Refusal::AllFull));
    house.chairs[2].idle.set(true);
    assert_eq!(house.stranger(3), Ok(Some(2)), "the largest has none to give, a smaller one has");
}

#[test]
fn last_places_are_the_nodes() {
    let mut house = House::new(64, 6, 2);
    for number in 0..4 {
        house.stranger(1).unwrap();
        house.busy(number);
    }
    assert_eq!(house.stranger(2), Err(Refusal::AllFull));
    assert_eq!(house.admit(NODE, Origin::Node), Ok(None));
    assert_eq!(house.admit(NODE, Origin::Node), Ok(None));
    assert_eq!(house.stranger(2), Err(Refusal::AllFull), "a node's connection is no place for a stranger");
    assert_eq!(house.admit(NODE, Origin::Node), Ok(Some(4)));
    house.admission.leave(pod(1), 0);
    assert_eq!(house.stranger(2), Ok(None));
}

#[test]
fn evicted_connection_has_nothing_left_to_give_back() {
    let mut house = House::new(1, 10, 0);
    house.stranger(1).unwrap();
    assert_eq!(house.stranger(1), Ok(Some(0)));
    house.admission.leave(pod(1), 0);
    assert_eq!(house.admission.seated(), 1);
    house.admission.leave(pod(1), 1);
    house.admission.leave(pod(1), 1);
    assert_eq!((house.admission.seated(), house.admission.parties.len()), (0, 0));
}

#[test]
fn shedding_takes_one_and_stops_at_the_busy() {
    let mut house = House::new(64, 10, 0);
    for peer in [1, 2, 2] {
        house.stranger(peer).unwrap();
    }
    house.busy(0);
    let shed: Vec<_> = std::iter::from_fn(|| house.admission.shed()).map(|chair| chair.number).take(10).collect();
    assert_eq!(shed, [1, 2]);
    assert_eq!(house.admission.seated(), 1);
    assert_eq!(house.admission.guests().count(), 1);
}

#[test]
fn quiet_peers_always_get_in_among_thirty_crowds() {
    let mut house = House::new(64, 1_024, 16);
    for round in 0..50 {
        for peer in 1..=30 {
            house.stranger(peer).unwrap_or_else(|why| panic!("round {round}, peer {peer}: {why:?}"));
        }
    }
    assert_eq!(house.admission.seated(), 1_008);
    for peer in 100..200 {
        let evicted = house.stranger(peer).unwrap().unwrap();
        assert!(evicted < 1_500, "peer {peer} cost another quiet one its place");
    }
    assert_eq!(house.admit(NODE, Origin::Node), Ok(None));
}

/// Numbers that look like chance and are the same in each run.
fn dice(state: &mut u64) -> u8 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    u8::try_from(*state >> 56).unwrap()
}

#[test]
fn counts_hold_through_any_order_of_events() {
    let (per_peer, connections, reserved) = (4, 12, 2);
    let mut house = House::new(per_peer, connections, reserved);
    let mut state = 7;
    for _ in 0..20_000 {
        let (action, peer) = (dice(&mut state) % 4, dice(&mut state) % 6);
        let origin = if peer == 0 { Origin::Node } else { Origin::Stranger };
        let some = usize::from(dice(&mut state)) % house.chairs.len().max(1);
        match action {
            0 | 1 => drop(house.admit(pod(peer), origin)),
            2 if some < house.chairs.len() => house.busy(some),
            _ => house.admission.leave(pod(peer), some as u64),
        }
        let admission = &house.admission;
        let sizes: Vec<_> = admission.parties.values().map(|party| party.seats.len()).collect();
        let strangers = admission.parties.values().filter(|party| party.origin == Origin::Stranger);
        assert_eq!(admission.seated, sizes.iter().sum::<usize>());
        assert_eq!(admission.strangers, strangers.map(|party| party.seats.len()).sum::<usize>());
        assert!(admission.seated <= connections && admission.strangers <= connections - reserved);
        assert!(sizes.iter().all(|size| (1..=per_peer).contains(size)));
        // Old chairs are forgotten now and then, so that their seats are met again.
        if house.chairs.len() > 200 {
            house = House::new(per_peer, connections, reserved);
        }
    }
}
