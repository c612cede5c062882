//! What the accepting thread and all workers share, and the right to a place in it.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::admission::{Admission, Origin, Refusal, Verdict};
use super::guest::Guest;
use super::standing::Standing;
use super::{Event, Front};
use crate::logic::time::{Mono, Now};

pub(super) struct Door {
    pub(super) front: Front,
    /// Held for a few instructions, never across a system call.
    seats: Mutex<Admission<Arc<Guest>>>,
    closing: AtomicBool,
}

/// A connection that has a place. Dropping it, wherever that happens, gives the place back and closes.
pub(super) struct Visit {
    pub(super) guest: Arc<Guest>,
    pub(super) standing: Box<Standing>,
    /// The number of its place
    pub(super) seat: u64,
    door: Arc<Door>,
}

impl Door {
    pub(super) fn new(front: Front) -> Self {
        let seats = Mutex::new(Admission::new(&front.limits));
        Self { front, seats, closing: AtomicBool::new(false) }
    }

    pub(super) fn now(&self) -> Now {
        self.front.clock.now()
    }

    /// Tells the observer. Whatever it does, who tells goes on: a porter that ended would strand a room of connections.
    pub(super) fn saw(&self, event: &Event) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.front.observer.saw(event)));
    }

    pub(super) fn seated(&self) -> usize {
        self.seats.lock().seated()
    }

    /// Seats a newcomer, at the cost of another's idle connection if it must be.
    pub(super) fn admit(self: &Arc<Self>, guest: Guest) -> Result<Visit, Refusal> {
        let guest = Arc::new(guest);
        let origin = self.origin(guest.peer);
        let verdict = self.seats.lock().admit(guest.peer, origin, guest.clone());
        match verdict {
            Verdict::Refused(why) => Err(why),
            Verdict::Seated { seat, evicted } => {
                let standing = Box::new(Standing::of_newcomer(guest.arrived, &self.front.limits));
                let visit = Visit { guest, standing, seat, door: self.clone() };
                if let Some(evicted) = evicted {
                    self.show_out(&evicted);
                }
                Ok(visit)
            }
        }
    }

    /// Frees a descriptor and a worker by sending an idle connection away, if there is one.
    pub(super) fn shed(&self) -> bool {
        let evicted = self.seats.lock().shed();
        evicted.map(|guest| self.show_out(&guest)).is_some()
    }

    /// From now on every answer is the last of its connection.
    pub(super) fn begin_closing(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    pub(super) fn guests(&self) -> Vec<Arc<Guest>> {
        self.seats.lock().guests().cloned().collect()
    }

    fn show_out(&self, guest: &Guest) {
        guest.show_out();
        self.saw(&Event::Evicted { peer: guest.peer });
    }

    /// Not all of 127/8 is the node: only its two usual names for itself.
    fn origin(&self, peer: IpAddr) -> Origin {
        let itself = match peer {
            IpAddr::V4(address) => address == std::net::Ipv4Addr::LOCALHOST,
            IpAddr::V6(address) => address == std::net::Ipv6Addr::LOCALHOST,
        };
        if itself || (self.front.own_address)(peer) { Origin::Node } else { Origin::Stranger }
    }
}

impl Visit {
    /// Until when it may have nothing to say.
    pub(super) fn patient_until(&self) -> Mono {
        self.standing.quiet_since.after(self.door.front.limits.keep_alive_idle)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.door.seats.lock().leave(self.guest.peer, self.seat);
    }
}
