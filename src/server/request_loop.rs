//! Serves one connection from its first byte to its last, on the worker that owns it.
//!
//! The read timeout is set on the socket only when it changes. A new connection inherits the timeout for its first head
//! from its listener; the idle timeout is set once, when the connection is kept alive; each further read of a head that
//! arrives in pieces gets the remainder of that head's single deadline.

use std::io::{self, ErrorKind, Read};
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use socket2::SockRef;

use super::chunked::ChunkedBody;
use super::connection::Connection;
use super::connection_state::{ConnectionState, NextRead};
use super::read_buffer::ReadBuffer;
use super::reply::RequestFacts;
use super::response_writer::ResponseWriter;
use super::shared::Shared;
use super::timed_writer::{TimedWriter, is_timeout};
use super::wire::{BadHead, BodyLength, Head, HttpVersion, Persistence, read_head, worth_parsing_again};
use super::{ConnectionEvent, CutReason, Endpoints, Limits};
use crate::logic::base::time::{Mono, Now};
use crate::logic::request::message::{Method, Response};

/// Buffers that a worker reuses from one connection to the next.
pub(super) struct Buffers {
    read: ReadBuffer,
    writer: ResponseWriter,
}

impl Buffers {
    pub(super) fn new() -> Self {
        Self { read: ReadBuffer::new(), writer: ResponseWriter::new() }
    }
}

/// Answers the requests of a connection until either side closes it.
pub(super) fn serve(shared: &Shared, connection: &Connection, buffers: &mut Buffers) {
    buffers.read.clear();
    let state = ConnectionState::new(connection.arrived, &shared.front.limits);
    let mut requests = RequestLoop { shared, connection, state };
    let ending = loop {
        match requests.next(buffers) {
            Ok(Persistence::KeepAlive) => {}
            Ok(Persistence::Close) => break Ending::Answered,
            Err(ending) => break ending,
        }
    };
    match ending {
        Ending::Quiet => {}
        Ending::Answered => requests.close(buffers),
        Ending::Refuse(bad) => requests.refuse(bad, buffers),
        Ending::Cut(why) => requests.cut(why),
    }
}

struct RequestLoop<'a> {
    shared: &'a Shared,
    connection: &'a Connection,
    state: ConnectionState,
}

/// How a connection ends.
enum Ending {
    /// Without a response: the client left, was evicted, or sent nothing.
    Quiet,
    /// After a response.
    Answered,
    /// With the server's error response.
    Refuse(BadHead),
    Cut(CutReason),
}

impl<'a> RequestLoop<'a> {
    /// Waits for one request, and answers it.
    fn next(&mut self, buffers: &mut Buffers) -> Result<Persistence, Ending> {
        let mut look = !buffers.read.is_empty();
        loop {
            if look {
                let parsed = read_head(buffers.read.unread(), self.limits()).map_err(Ending::Refuse)?;
                if let Some(head) = parsed {
                    let body_bytes = self.skip_body(&head, &buffers.read.unread()[head.bytes..])?;
                    let holds_secret = head.request.headers.authorization.is_some();
                    let (used, persistence) = (head.bytes + body_bytes, self.answer(&head, &mut buffers.writer));
                    if holds_secret {
                        buffers.read.wipe(used);
                    }
                    let persistence = persistence?;
                    buffers.read.consume(used);
                    if persistence == Persistence::KeepAlive {
                        self.state.await_next_request();
                    }
                    return Ok(persistence);
                }
                self.head_began();
                self.state.next_read = NextRead::RestOfHead;
            }
            look = self.read_on(&mut buffers.read)?;
        }
    }

    /// Reads more of a head. Returns whether parsing again could give another result.
    fn read_on(&mut self, buffer: &mut ReadBuffer) -> Result<bool, Ending> {
        match self.state.next_read {
            NextRead::FirstByte => {}
            NextRead::NextRequest => self.set_read_timeout(self.limits().keep_alive_idle)?,
            NextRead::RestOfHead => self.set_rest_of_deadline()?,
        }
        let most = self.limits().head_bytes;
        let first = buffer.is_empty();
        loop {
            return match buffer.fill(&mut &self.connection.stream, most) {
                Ok([]) => Err(Ending::Quiet),
                Ok(_) if self.state.next_read == NextRead::FirstByte => {
                    self.connection.begin_request();
                    Ok(true)
                }
                Ok(fresh) => Ok(first || worth_parsing_again(fresh) || buffer.unread().len() >= most),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if is_timeout(&error) && !first => Err(Ending::Refuse(BadHead::TimedOut)),
                Err(_) => Err(Ending::Quiet),
            };
        }
    }

    /// Reads and discards the body under the deadline of its head. Returns how many of the `buffered` bytes after the
    /// head belong to it.
    fn skip_body(&mut self, head: &Head<'_>, buffered: &[u8]) -> Result<usize, Ending> {
        match head.body {
            BodyLength::Bytes(length) => {
                let missing = length.saturating_sub(buffered.len());
                if missing > 0 {
                    self.send_continue(head, buffered)?;
                    self.skip_bytes(missing)?;
                }
                Ok(length.min(buffered.len()))
            }
            BodyLength::Chunked => {
                let mut body = ChunkedBody::new(self.limits());
                let used = body.take(buffered).map_err(Ending::Refuse)?;
                if !body.is_complete() {
                    self.send_continue(head, buffered)?;
                    self.skip_chunks(&mut body)?;
                }
                Ok(used)
            }
        }
    }

    fn answer(&mut self, head: &Head<'_>, writer: &mut ResponseWriter) -> Result<Persistence, Ending> {
        self.connection.begin_answer();
        let began = self.shared.now().mono;
        let (response, requested) = self.handle(head);
        let ready = self.shared.now();
        self.state.handler_time +=
            Some(ready.mono.since(began)).filter(|took| *took >= FROM_MEMORY).unwrap_or_default();
        let is_last = self.connection.is_evicted() || self.has_used_its_time() || self.shared.closes(self.connection);
        let requested = if is_last { Persistence::Close } else { requested };
        let facts = RequestFacts { method: head.request.method, version: head.version };
        let persistence = self.deliver(response, facts, requested, writer, ready).map_err(Ending::Cut)?;
        self.connection.end_answer(ready.mono);
        Ok(persistence)
    }

    /// Sends `100 Continue` to a client that waits for it before sending its body.
    fn send_continue(&mut self, head: &Head<'_>, buffered: &[u8]) -> Result<(), Ending> {
        if !head.expects_continue || !buffered.is_empty() {
            return Ok(());
        }
        let began = self.head_began();
        self.out(began).send([CONTINUE]).map_err(Ending::Cut)
    }

    fn skip_bytes(&mut self, mut missing: usize) -> Result<(), Ending> {
        let mut scratch = [0; SCRATCH];
        while missing > 0 {
            self.set_rest_of_deadline()?;
            let room = missing.min(SCRATCH);
            missing -= self.read(&mut scratch[..room])?;
        }
        Ok(())
    }

    /// Peeks before each read, so that no byte of the next request is consumed.
    fn skip_chunks(&mut self, body: &mut ChunkedBody) -> Result<(), Ending> {
        let mut scratch = [0; SCRATCH];
        while !body.is_complete() {
            self.set_rest_of_deadline()?;
            let seen = retried(|| self.connection.stream.peek(&mut scratch))?;
            let taken = body.take(&scratch[..seen]).map_err(Ending::Refuse)?;
            self.skip_bytes(taken)?;
        }
        Ok(())
    }

    fn read(&self, scratch: &mut [u8]) -> Result<usize, Ending> {
        retried(|| (&self.connection.stream).read(scratch))
    }

    /// Calls the handler. A panic ends only this connection.
    fn handle(&self, head: &Head<'_>) -> (Response, Persistence) {
        let endpoints = Endpoints::of(self.shared, self.connection);
        let answer = catch_unwind(AssertUnwindSafe(|| self.shared.front.handler.handle(&head.request, &endpoints)));
        match answer {
            Ok(response) => (response, head.persistence),
            Err(_) => {
                self.shared.report(&ConnectionEvent::Panicked { peer: self.connection.peer });
                (Response::text(500, "internal-error"), Persistence::Close)
            }
        }
    }

    fn deliver(
        &mut self,
        response: Response,
        facts: RequestFacts,
        requested: Persistence,
        writer: &mut ResponseWriter,
        now: Now,
    ) -> Result<Persistence, CutReason> {
        writer.deliver(self.out(now.mono), response, facts, requested, now.wall)
    }

    fn refuse(&mut self, bad: BadHead, buffers: &mut Buffers) {
        self.shared.report(&ConnectionEvent::BadHead { peer: self.connection.peer, bad });
        let facts = RequestFacts { method: Method::Other, version: HttpVersion::Http11 };
        let endpoints = Endpoints::of(self.shared, self.connection);
        let own = self.shared.front.handler.answer_bad_head(bad, buffers.read.unread(), &endpoints);
        let response = own.unwrap_or_else(|| Response::text(bad.status(), bad.label()));
        match self.deliver(response, facts, Persistence::Close, &mut buffers.writer, self.shared.now()) {
            Ok(_) => self.linger(),
            Err(why) => self.cut(why),
        }
    }

    /// After the last response. Closing with unread input would reset the connection, and the response might be lost.
    fn close(&mut self, buffers: &Buffers) {
        let slow = self.is_reader_slow();
        if slow || !buffers.read.is_empty() {
            self.linger();
        }
        if slow {
            self.discard_unsent();
        }
    }

    /// Resets the connection, so that the client can't mistake a truncated response for a complete one.
    fn cut(&self, why: CutReason) {
        self.shared.report(&ConnectionEvent::Cut { peer: self.connection.peer, why });
        self.discard_unsent();
    }

    /// Discards unsent bytes on close; otherwise the kernel would keep them for a client that reads too slowly.
    fn discard_unsent(&self) {
        let _ = SockRef::from(&self.connection.stream).set_linger(Some(Duration::ZERO));
    }

    /// Ends the stream to the client, then reads and discards input for up to [`Limits::linger`].
    fn linger(&mut self) {
        let _ = self.connection.stream.shutdown(Shutdown::Write);
        let until = self.shared.now().mono.after(self.limits().linger);
        let mut scratch = [0; SCRATCH];
        for _ in 0..LINGER_READS {
            let left = self.shared.now().mono.until(until);
            if left.is_zero() || self.set_read_timeout(left).is_err() || self.read(&mut scratch).is_err() {
                return;
            }
        }
    }

    fn out(&mut self, began: Mono) -> TimedWriter<'_> {
        let deadline = began.after(self.limits().write_deadline);
        TimedWriter::new(self.connection, &*self.shared.front.clock, deadline, &mut self.state.write_budget)
    }

    /// Whether the connection has occupied its worker long enough: pipelined requests that each have to wait would
    /// occupy it for minutes. A client that is merely slow loses nothing by opening a new connection.
    fn has_used_its_time(&self) -> bool {
        self.is_reader_slow() || self.state.handler_time >= self.limits().write_deadline / 2
    }

    fn is_reader_slow(&self) -> bool {
        self.state.write_budget < self.limits().write_deadline / 2
    }

    fn limits(&self) -> &'a Limits {
        &self.shared.front.limits
    }

    fn head_began(&mut self) -> Mono {
        *self.state.head_began.get_or_insert_with(|| self.shared.now().mono)
    }

    fn set_rest_of_deadline(&mut self) -> Result<(), Ending> {
        let deadline = self.head_began().after(self.limits().head_deadline);
        let left = self.shared.now().mono.until(deadline);
        if left.is_zero() { Err(Ending::Refuse(BadHead::TimedOut)) } else { self.set_read_timeout(left) }
    }

    fn set_read_timeout(&mut self, timeout: Duration) -> Result<(), Ending> {
        if self.state.read_timeout != timeout {
            self.connection.stream.set_read_timeout(Some(timeout)).map_err(|_| Ending::Quiet)?;
            self.state.read_timeout = timeout;
        }
        Ok(())
    }
}

/// Retries interrupted reads. The end of the stream within a body ends the connection.
fn retried(mut read: impl FnMut() -> io::Result<usize>) -> Result<usize, Ending> {
    loop {
        return match read() {
            Ok(0) => Err(Ending::Quiet),
            Ok(read) => Ok(read),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if is_timeout(&error) => Err(Ending::Refuse(BadHead::TimedOut)),
            Err(_) => Err(Ending::Quiet),
        };
    }
}

/// Making a response from memory takes less, unless the scheduler of a busy machine suspends the worker.
const FROM_MEMORY: Duration = Duration::from_millis(10);

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Bytes per read of discarded input.
const SCRATCH: usize = 1024;

/// Reads while lingering; with [`SCRATCH`] this bounds the bytes, as the deadline bounds the time.
const LINGER_READS: usize = 256;
