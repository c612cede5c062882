//! Where connections wait for their next request, without a worker.
//!
//! A porter watches many connections at once and answers what can be answered from memory. It never waits for anybody:
//! a head that isn't whole, a body, a last request, an answer that takes waiting or a client that doesn't read is a
//! worker's, and the connection is handed over with all that is known of it. So a busy connection costs no switch
//! between threads, and an idle one no thread.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};

use super::conversation::{Desk, cut};
use super::door::{Door, Visit};
use super::pool::Pool;
use super::reply::Asked;
use super::wire::{Afterwards, Head, read_head};
use super::{Connection, Event};
use crate::edge::threads;
use crate::logic::http::{Body, Response};
use crate::logic::maps::FastMap;
use crate::logic::time::Mono;

/// A room for each porter.
pub(super) struct Lounge(Vec<Arc<Room>>);

/// What a porter watches over.
struct Room {
    watch: OwnedFd,
    /// Wakes the porter when the door closes.
    bell: OwnedFd,
    seats: Mutex<Seats>,
}

struct Seats {
    /// By the number of the connection's place, with the moment when it has waited long enough
    waiting: FastMap<u64, (Visit, Mono)>,
    open: bool,
}

impl Lounge {
    /// Rooms for so many porters.
    pub(super) fn new(porters: usize) -> rustix::io::Result<Self> {
        (0..porters).map(|_| Room::new().map(Arc::new)).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn is_open(&self) -> bool {
        !self.0.is_empty()
    }

    /// Starts the porters.
    pub(super) fn staff(&self, door: &Arc<Door>, pool: &Arc<Pool>) -> std::io::Result<()> {
        for room in &self.0 {
            let porter = Porter { room: room.clone(), door: door.clone(), pool: pool.clone() };
            let attendance = pool.attend_porter();
            let thread = threads::spawn("door-porter", STACK_BYTES, move || {
                let _attendance = attendance;
                porter.watch();
            })?;
            pool.register(thread);
        }
        Ok(())
    }

    /// Lets a connection wait here that has nothing to say now. `Err`: it can't.
    pub(super) fn seat(&self, visit: Visit) -> Result<(), Visit> {
        let porters = u64::try_from(self.0.len()).unwrap_or(u64::MAX);
        let room = visit.seat.checked_rem(porters).and_then(|at| self.0.get(usize::try_from(at).ok()?));
        match room {
            Some(room) => room.seat(visit),
            None => Err(visit),
        }
    }

    /// Porters go as soon as nobody waits any more.
    pub(super) fn close(&self) {
        for room in &self.0 {
            // A bell that is rung already does as well.
            let _ = rustix::io::write(&room.bell, &1_u64.to_ne_bytes());
        }
    }
}

impl Room {
    fn new() -> rustix::io::Result<Self> {
        let watch = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&watch, &bell, epoll::EventData::new_u64(BELL), epoll::EventFlags::IN)?;
        Ok(Self { watch, bell, seats: Mutex::new(Seats { waiting: FastMap::default(), open: true }) })
    }

    fn seat(&self, visit: Visit) -> Result<(), Visit> {
        let (seat, guest) = (visit.seat, visit.guest.clone());
        let until = visit.patient_until();
        {
            let mut seats = self.seats.lock();
            if !seats.open {
                return Err(visit);
            }
            seats.waiting.insert(seat, (visit, until));
        }
        let watched = epoll::add(&self.watch, &guest.stream, epoll::EventData::new_u64(seat), epoll::EventFlags::IN);
        match watched.err().and_then(|_| self.seats.lock().waiting.remove(&seat)) {
            Some((visit, _)) => Err(visit),
            None => Ok(()),
        }
    }

    fn take(&self, seat: u64) -> Option<Visit> {
        self.seats.lock().waiting.remove(&seat).map(|(visit, _)| visit)
    }

    fn keep(&self, visit: Visit) {
        let until = visit.patient_until();
        self.seats.lock().waiting.insert(visit.seat, (visit, until));
    }

    /// Nobody watches over a connection any more that leaves the room.
    fn release(&self, visit: &Visit) {
        // It is registered, and if it weren't nothing would be lost.
        let _ = epoll::delete(&self.watch, &visit.guest.stream);
    }

    /// Takes out who has waited long enough, and tells when to look again.
    fn expired(&self, now: Mono, next: Mono) -> (Vec<Visit>, Mono) {
        let mut seats = self.seats.lock();
        let gone: Vec<u64> =
            seats.waiting.iter().filter(|(_, (_, until))| *until <= now).map(|(seat, _)| *seat).collect();
        let gone = gone.iter().filter_map(|seat| seats.waiting.remove(seat)).map(|(visit, _)| visit).collect();
        (gone, seats.waiting.values().map(|(_, until)| *until).fold(next, Mono::min))
    }

    /// Whether the room is closed for good: nobody is there, and nobody may come.
    fn close_if_empty(&self) -> bool {
        let mut seats = self.seats.lock();
        seats.open = !seats.waiting.is_empty();
        !seats.open
    }
}

struct Porter {
    room: Arc<Room>,
    door: Arc<Door>,
    pool: Arc<Pool>,
}

/// What becomes of a connection that has something to say.
enum Fate {
    Stays,
    /// A worker takes it from here.
    HandedOver,
    Leaves,
}

impl Porter {
    fn watch(&self) {
        let idle = self.door.front.limits.keep_alive_idle;
        let mut desk = Desk::new();
        let mut happened = Vec::with_capacity(MOST_EVENTS);
        let mut next_look = self.door.now().mono.after(idle);
        while !(self.is_closing() && self.room.close_if_empty()) {
            let rest = self.door.now().mono.until(next_look);
            happened.clear();
            // An interrupted wait is a short one.
            let _ = epoll::wait(&self.room.watch, spare_capacity(&mut happened), Some(&millis_up(rest)));
            for event in &happened {
                self.attend({ event.data }.u64(), &mut desk);
            }
            let now = self.door.now().mono;
            if now >= next_look {
                let expired;
                (expired, next_look) = self.room.expired(now, now.after(idle));
                expired.iter().for_each(|visit| self.room.release(visit));
            }
        }
    }

    /// The door is closed, or was dropped without ado.
    fn is_closing(&self) -> bool {
        self.door.is_closing() || !self.pool.has_reception()
    }

    fn attend(&self, seat: u64, desk: &mut Desk) {
        if seat == BELL {
            let _ = rustix::io::read(&self.room.bell, &mut [0; 8]); // silences it
            return;
        }
        let Some(mut visit) = self.room.take(seat) else { return };
        let peer = visit.guest.peer;
        match catch_unwind(AssertUnwindSafe(|| self.listen(&mut visit, desk))) {
            Ok(Fate::Stays) => self.room.keep(visit),
            Ok(Fate::HandedOver) => self.hand_over(visit, desk),
            Ok(Fate::Leaves) => self.room.release(&visit),
            Err(_) => {
                self.room.release(&visit);
                *desk = Desk::new();
                self.door.saw(&Event::Panicked { peer });
            }
        }
    }

    fn hand_over(&self, mut visit: Visit, desk: &Desk) {
        self.room.release(&visit);
        let peer = visit.guest.peer;
        visit.standing.unread = desk.inbox.unread().to_vec();
        visit.standing.head_began = Some(self.door.now().mono);
        let unserved = self.pool.dispatch(visit).or_else(|visit| self.pool.enqueue(visit));
        if unserved.is_err() {
            self.door.saw(&Event::Refused { peer, why: super::Refusal::NoThread });
        }
    }

    /// Reads what came and answers what can be answered at once.
    fn listen(&self, visit: &mut Visit, desk: &mut Desk) -> Fate {
        let limits = &self.door.front.limits;
        desk.inbox.clear();
        match desk.inbox.fill(&mut visit.guest.at_hand(), limits.head_bytes) {
            Ok([]) => return Fate::Leaves,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Fate::Stays,
            Err(_) => return Fate::Leaves,
        }
        for _ in 0..SENT_AHEAD {
            let Ok(Some(head)) = read_head(desk.inbox.unread(), limits) else { return Fate::HandedOver };
            let used = head.bytes;
            let Some((response, asked)) = self.answer(&head, visit) else { return Fate::HandedOver };
            let now = self.door.now();
            match desk.pen.offer(&visit.guest, &response, asked, now.wall) {
                Ok(owed) => visit.standing.owed = owed,
                Err(why) => {
                    cut(&self.door, &visit.guest, why);
                    return Fate::Leaves;
                }
            }
            desk.inbox.consume(used);
            if !visit.standing.owed.is_empty() {
                return Fate::HandedOver;
            }
            visit.guest.end_answer();
            visit.standing.rest(now.mono);
            if desk.inbox.is_empty() {
                return Fate::Stays;
            }
        }
        Fate::HandedOver
    }

    /// The answer to a plain request of a connection that goes on, if it is at hand.
    fn answer(&self, head: &Head<'_>, visit: &Visit) -> Option<(Response, Asked)> {
        let is_alone = head.body_bytes == 0 && !head.expects_continue && head.afterwards == Afterwards::KeepAlive;
        let is_plain = is_alone && head.bytes <= LONGEST_HEAD;
        if !is_plain || self.door.is_closing() {
            return None;
        }
        visit.guest.begin_answer();
        // From here on its place stays, unless it was gone before: then a worker gives its last answer.
        if visit.guest.is_leaving() {
            return None;
        }
        let connection = Connection::over(&visit.guest);
        let at_once = || self.door.front.handler.handle_at_once(&head.request, &connection);
        // Where the handler panics it will do so again on a worker, who says so.
        let response = catch_unwind(AssertUnwindSafe(at_once)).ok().flatten();
        let response = response.filter(|answer| !matches!(answer.body, Body::Stream { .. }));
        if response.is_none() {
            visit.guest.end_answer();
        }
        Some((response?, Asked { method: head.request.method, version: head.version }))
    }
}

/// The system waits for whole milliseconds, and waking too early is waking in vain.
fn millis_up(span: Duration) -> Timespec {
    let millis = i64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX);
    Timespec { tv_sec: millis / 1_000, tv_nsec: millis % 1_000 * 1_000_000 }
}

/// Answers from memory need no more; only what is touched becomes memory.
const STACK_BYTES: usize = 256 * 1024;
/// Stands for the bell among the numbers of places.
const BELL: u64 = u64::MAX;
/// Connections that are attended to between two looks at those that have waited long enough.
const MOST_EVENTS: usize = 64;
/// Bytes of a head that is read while others wait; those of SDKs have 200 to 600.
const LONGEST_HEAD: usize = 1024;
/// Requests of one connection answered in a row while others wait.
const SENT_AHEAD: usize = 8;
