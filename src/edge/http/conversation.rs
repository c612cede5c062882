//! One connection from its first byte to its last, on the worker that owns it.
//!
//! Read timeouts are set on the socket only when they change. A new connection inherits that of the first head from
//! its listener; the idle timeout is set once, when the connection turns out to be kept alive; a head that comes in
//! pieces gets the rest of its one deadline for each further piece.

use std::io::ErrorKind;
use std::mem;
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use socket2::SockRef;

use super::door::{Door, Visit};
use super::guest::Guest;
use super::inbox::Inbox;
use super::outlet::{Outlet, is_timeout};
use super::pen::Pen;
use super::reply::Asked;
use super::standing::{Standing, Waits};
use super::wire::{Afterwards, BadHead, Head, Version, read_head, worth_another_look};
use super::{Connection, Cut, Event, Limits};
use crate::logic::http::{Method, Response};
use crate::logic::time::{Mono, Now};

/// What a worker keeps from one connection to the next.
pub(super) struct Desk {
    pub(super) inbox: Inbox,
    pub(super) pen: Pen,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self { inbox: Inbox::new(), pen: Pen::new() }
    }
}

/// What a conversation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parting {
    /// The connection is to be closed.
    ForGood,
    /// It waits for its next request.
    ForNow,
}

/// Answers requests until either side has enough, or until there is a `pause` and the connection `may_wait` elsewhere.
pub(super) fn converse(door: &Door, visit: &mut Visit, desk: &mut Desk, may_wait: bool) -> Parting {
    desk.inbox.take_up(&mem::take(&mut visit.standing.unread));
    let mut talk = Talk { door, guest: &visit.guest, standing: &mut visit.standing };
    let mut next = talk.pay_off();
    let ending = loop {
        match next {
            Ok(Afterwards::KeepAlive) => {}
            Ok(Afterwards::Close) => break Ending::Answered,
            Err(ending) => break ending,
        }
        let said_nothing = desk.inbox.is_empty() && talk.standing.waits == Waits::ForRequest;
        if may_wait && said_nothing && !door.is_closing() {
            return Parting::ForNow;
        }
        next = talk.turn(desk);
    };
    match ending {
        Ending::Quiet => {}
        Ending::Answered => talk.part(desk),
        Ending::Refuse(bad) => talk.refuse(bad, desk),
        Ending::Cut(why) => cut(door, &visit.guest, why),
    }
    Parting::ForGood
}

/// Ends a connection so that the client can't take what it got for the whole.
pub(super) fn cut(door: &Door, guest: &Guest, why: Cut) {
    door.saw(&Event::Cut { peer: guest.peer, why });
    forget_unsent(guest);
}

/// Unsent bytes are thrown away with the connection instead of staying in the kernel for a reader that is too slow.
fn forget_unsent(guest: &Guest) {
    let _ = SockRef::from(&guest.stream).set_linger(Some(Duration::ZERO));
}

struct Talk<'a> {
    door: &'a Door,
    guest: &'a Guest,
    standing: &'a mut Standing,
}

/// How a connection ends.
enum Ending {
    /// Without a word: the client left, was evicted, or had nothing to say.
    Quiet,
    /// With an answer.
    Answered,
    /// With an answer of the door's own.
    Refuse(BadHead),
    Cut(Cut),
}

impl<'a> Talk<'a> {
    /// One request, from the wait for it to the end of its answer.
    fn turn(&mut self, desk: &mut Desk) -> Result<Afterwards, Ending> {
        let mut look = !desk.inbox.is_empty();
        loop {
            if look {
                let parsed = read_head(desk.inbox.unread(), self.limits()).map_err(Ending::Refuse)?;
                if let Some(head) = parsed {
                    let used = head.bytes + head.body_bytes;
                    let afterwards = self.serve(&head, desk.inbox.unread().len(), &mut desk.pen)?;
                    desk.inbox.consume(used);
                    if afterwards == Afterwards::KeepAlive {
                        self.go_on(self.door.now().mono);
                    }
                    return Ok(afterwards);
                }
                self.head_began();
                self.standing.waits = Waits::ForRest;
            }
            look = self.read_on(&mut desk.inbox)?;
        }
    }

    /// Sends what is left of an answer that another began.
    fn pay_off(&mut self) -> Result<Afterwards, Ending> {
        let owed = mem::take(&mut self.standing.owed);
        if !owed.is_empty() {
            let now = self.door.now().mono;
            self.outlet(now).send([&owed]).map_err(Ending::Cut)?;
            self.go_on(now);
        }
        let leaving = self.guest.is_leaving() || self.is_patience_wearing_thin();
        Ok(if leaving && !owed.is_empty() { Afterwards::Close } else { Afterwards::KeepAlive })
    }

    /// Between two requests.
    fn go_on(&mut self, now: Mono) {
        self.guest.end_answer();
        self.standing.rest(now);
    }

    /// Reads more of a head. Tells whether it can have changed the picture.
    fn read_on(&mut self, inbox: &mut Inbox) -> Result<bool, Ending> {
        match self.standing.waits {
            Waits::Inherited => {}
            Waits::ForRequest => self.set_read_timeout(self.limits().keep_alive_idle)?,
            Waits::ForRest => self.set_rest_of_deadline()?,
        }
        let most = self.limits().head_bytes;
        let first = inbox.is_empty();
        loop {
            return match inbox.fill(&mut &self.guest.stream, most) {
                Ok([]) => Err(Ending::Quiet),
                Ok(fresh) => Ok(first || worth_another_look(fresh) || inbox.unread().len() >= most),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if is_timeout(&error) && !first => Err(Ending::Refuse(BadHead::TimedOut)),
                Err(_) => Err(Ending::Quiet),
            };
        }
    }

    fn serve(&mut self, head: &Head<'_>, buffered: usize, pen: &mut Pen) -> Result<Afterwards, Ending> {
        let missing = (head.bytes + head.body_bytes).saturating_sub(buffered);
        if missing > 0 {
            if head.expects_continue && buffered == head.bytes {
                self.invite_body().map_err(Ending::Cut)?;
            }
            self.drop_body(missing)?;
        }
        self.guest.begin_answer();
        let began = self.door.now().mono;
        let (response, wish) = self.ask(head);
        let ready = self.door.now();
        self.standing.worked += Some(ready.mono.since(began)).filter(|took| *took >= AT_ONCE).unwrap_or_default();
        let leaving = self.door.is_closing() || self.guest.is_leaving() || self.is_patience_wearing_thin();
        let wish = if leaving { Afterwards::Close } else { wish };
        let asked = Asked { method: head.request.method, version: head.version };
        self.deliver(response, asked, wish, pen, ready).map_err(Ending::Cut)
    }

    fn invite_body(&mut self) -> Result<(), Cut> {
        let began = self.head_began();
        self.outlet(began).send([CONTINUE])
    }

    /// Reads the rest of a body under the deadline of its head, and forgets it.
    fn drop_body(&mut self, mut missing: usize) -> Result<(), Ending> {
        let mut scratch = [0; SCRATCH];
        while missing > 0 {
            self.set_rest_of_deadline()?;
            let room = missing.min(SCRATCH);
            missing -= self.read(&mut scratch[..room])?;
        }
        Ok(())
    }

    fn read(&self, scratch: &mut [u8]) -> Result<usize, Ending> {
        use std::io::Read;
        loop {
            return match (&self.guest.stream).read(scratch) {
                Ok(0) => Err(Ending::Quiet),
                Ok(read) => Ok(read),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if is_timeout(&error) => Err(Ending::Refuse(BadHead::TimedOut)),
                Err(_) => Err(Ending::Quiet),
            };
        }
    }

    /// Lets the handler answer. A panic costs the client its connection, nobody anything else.
    fn ask(&self, head: &Head<'_>) -> (Response, Afterwards) {
        let connection = Connection::over(self.guest);
        let answer = catch_unwind(AssertUnwindSafe(|| self.door.front.handler.handle(&head.request, &connection)));
        match answer {
            Ok(response) => (response, head.afterwards),
            Err(_) => {
                self.door.saw(&Event::Panicked { peer: self.guest.peer });
                (Response::text(500, "internal-error"), Afterwards::Close)
            }
        }
    }

    fn deliver(
        &mut self,
        response: Response,
        asked: Asked,
        wish: Afterwards,
        pen: &mut Pen,
        now: Now,
    ) -> Result<Afterwards, Cut> {
        pen.deliver(self.outlet(now.mono), response, asked, wish, now.wall)
    }

    fn refuse(&mut self, bad: BadHead, desk: &mut Desk) {
        self.door.saw(&Event::BadHead { peer: self.guest.peer, bad });
        let asked = Asked { method: Method::Other, version: Version::Http11 };
        let response = Response::text(bad.status(), bad.label());
        match self.deliver(response, asked, Afterwards::Close, &mut desk.pen, self.door.now()) {
            Ok(_) => self.linger(),
            Err(why) => cut(self.door, self.guest, why),
        }
    }

    /// After the last answer. Closing with bytes unread would reset the connection, and the answer might be lost.
    fn part(&mut self, desk: &Desk) {
        let slow = self.is_reader_slow();
        if slow || !desk.inbox.is_empty() {
            self.guest.end_answer();
            self.linger();
        }
        if slow {
            forget_unsent(self.guest);
        }
    }

    /// Says that nothing more will come, and reads on for a little while.
    fn linger(&mut self) {
        let _ = self.guest.stream.shutdown(Shutdown::Write);
        let until = self.door.now().mono.after(self.limits().linger);
        let mut scratch = [0; SCRATCH];
        for _ in 0..LINGER_READS {
            let left = self.door.now().mono.until(until);
            if left.is_zero() || self.set_read_timeout(left).is_err() || self.read(&mut scratch).is_err() {
                return;
            }
        }
    }

    fn outlet(&mut self, began: Mono) -> Outlet<'_> {
        let deadline = began.after(self.limits().write_deadline);
        Outlet::new(self.guest, &*self.door.front.clock, deadline, &mut self.standing.patience)
    }

    /// Whether the connection has held its worker long enough: requests that were sent ahead, each of which has to
    /// wait, would hold it for minutes. To a client that is merely slow a new connection is no loss.
    fn is_patience_wearing_thin(&self) -> bool {
        self.is_reader_slow() || self.standing.worked >= self.limits().write_deadline / 2
    }

    fn is_reader_slow(&self) -> bool {
        self.standing.patience < self.limits().write_deadline / 2
    }

    fn limits(&self) -> &'a Limits {
        &self.door.front.limits
    }

    fn head_began(&mut self) -> Mono {
        *self.standing.head_began.get_or_insert_with(|| self.door.now().mono)
    }

    fn set_rest_of_deadline(&mut self) -> Result<(), Ending> {
        let deadline = self.head_began().after(self.limits().head_deadline);
        let left = self.door.now().mono.until(deadline);
        if left.is_zero() { Err(Ending::Refuse(BadHead::TimedOut)) } else { self.set_read_timeout(left) }
    }

    fn set_read_timeout(&mut self, timeout: Duration) -> Result<(), Ending> {
        if self.standing.read_timeout != timeout {
            self.guest.stream.set_read_timeout(Some(timeout)).map_err(|_| Ending::Quiet)?;
            self.standing.read_timeout = timeout;
        }
        Ok(())
    }
}

/// Answers from memory take microseconds; on a busy machine one is put off now and then.
const AT_ONCE: Duration = Duration::from_millis(10);

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Bytes read at a time where they are only thrown away.
const SCRATCH: usize = 1024;

/// Reads while lingering; with [`SCRATCH`] a bound on bytes, beside that on time.
const LINGER_READS: usize = 256;
