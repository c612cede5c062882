//! State shared by the acceptor and all workers, and the guard of a slot.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::admission::{Admission, AdmissionVerdict, PeerKey, PeerOrigin, Refusal};
use super::connection::Connection;
use super::{ConnectionEvent, Front, LocalPods};
use crate::logic::base::time::Now;
use crate::logic::request::route::CONTAINER_ADDRESS;

pub(super) struct Shared {
    pub(super) front: Front,
    /// Held for a few instructions, never across a system call.
    slots: Mutex<Admission<Arc<Connection>>>,
    closing: AtomicBool,
    short_of_threads: AtomicBool,
}

/// Whether the last attempt to start a thread failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shortage {
    No,
    Yes,
}

/// The slot of an open connection. Dropping it frees the slot and closes the connection.
pub(super) struct Slot {
    pub(super) connection: Arc<Connection>,
    number: u64,
    shared: Arc<Shared>,
}

impl Shared {
    pub(super) fn new(front: Front) -> Self {
        let slots = Mutex::new(Admission::new(&front.limits));
        Self { front, slots, closing: AtomicBool::new(false), short_of_threads: AtomicBool::new(false) }
    }

    pub(super) fn now(&self) -> Now {
        self.front.clock.now()
    }

    /// Reports to the observer. A panic of the observer is caught: ending the acceptor or a worker would cost other
    /// connections.
    pub(super) fn report(&self, event: &ConnectionEvent) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.front.observer.saw(event)));
    }

    pub(super) fn open_connections(&self) -> usize {
        self.slots.lock().open()
    }

    /// Gives a new connection a slot, evicting an idle connection if necessary.
    pub(super) fn admit(self: &Arc<Self>, connection: Connection) -> Result<Slot, Refusal> {
        let connection = Arc::new(connection);
        let origin = self.origin(&connection);
        let verdict = self.slots.lock().admit(connection.peer, origin, connection.clone(), connection.arrived);
        match verdict {
            AdmissionVerdict::Refused(why) => Err(why),
            AdmissionVerdict::Admitted { number, evicted } => {
                connection.take_slot(number, origin);
                let slot = Slot { connection, number, shared: self.clone() };
                if let Some(evicted) = evicted {
                    self.end_evicted(&evicted);
                }
                Ok(slot)
            }
        }
    }

    /// Frees a descriptor and a worker by evicting an idle connection, if there is one.
    pub(super) fn shed(&self) -> bool {
        let now = self.now().mono;
        let evicted = self.slots.lock().shed(now);
        evicted.map(|connection| self.end_evicted(&connection)).is_some()
    }

    /// Whether the connection must close after this response, although the client would keep it alive.
    pub(super) fn closes(&self, connection: &Connection) -> bool {
        self.is_closing() || self.is_short_of_threads() || self.slots.lock().closes(&connection.peer_key())
    }

    /// Counts a connection for the pod whose identity was proven on it; an error if the pod is at its cap.
    pub(super) fn prove(&self, connection: &Connection, uid: &Arc<str>) -> Result<(), Refusal> {
        let Some(number) = connection.slot().filter(|_| !connection.is_proved()) else { return Ok(()) };
        let now = self.now().mono;
        let evicted = {
            let mut slots = self.slots.lock();
            let evicted = slots.reassign(&connection.peer_key(), number, PeerKey::Pod(uid.clone()), now)?;
            connection.prove(uid);
            evicted
        };
        evicted.iter().for_each(|evicted| self.end_evicted(evicted));
        Ok(())
    }

    /// Records whether the last attempt to start a thread failed. While it did, each connection closes after one
    /// response, so that connections share the existing workers.
    pub(super) fn set_short_of_threads(&self, shortage: Shortage) {
        self.short_of_threads.store(shortage == Shortage::Yes, Ordering::Relaxed);
    }

    pub(super) fn is_short_of_threads(&self) -> bool {
        self.short_of_threads.load(Ordering::Relaxed)
    }

    /// From now on every connection closes after its next response.
    pub(super) fn begin_closing(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    pub(super) fn connections(&self) -> Vec<Arc<Connection>> {
        self.slots.lock().connections().cloned().collect()
    }

    fn end_evicted(&self, connection: &Connection) {
        connection.end_wait();
        self.report(&ConnectionEvent::Evicted { peer: connection.peer });
    }

    /// Of loopback, only `127.0.0.1` and `::1` count as the node. Where hostNetwork pods may connect to loopback, no
    /// loopback client counts as the node.
    fn origin(&self, connection: &Connection) -> PeerOrigin {
        let peer = connection.peer;
        let local = match self.front.local_pods {
            LocalPods::None => None,
            LocalPods::MayConnect if peer.is_loopback() => return PeerOrigin::Loopback,
            LocalPods::MayConnect => connection.local_address(),
        };
        match local {
            Some(local) if local.is_loopback() => return PeerOrigin::Loopback,
            Some(CONTAINER_ADDRESS) => return PeerOrigin::Elsewhere,
            _ => {}
        }
        let itself = match peer {
            IpAddr::V4(address) => address == std::net::Ipv4Addr::LOCALHOST,
            IpAddr::V6(address) => address == std::net::Ipv6Addr::LOCALHOST,
        };
        if itself || (self.front.own_address)(peer) { PeerOrigin::Node } else { PeerOrigin::Elsewhere }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.shared.slots.lock().release(&self.connection.peer_key(), self.number);
    }
}
