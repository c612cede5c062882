//! Writes a response under one deadline, however slowly the client reads.
//!
//! The usual response fits into the kernel's send buffer: one system call. Waiting for space in the buffer is waiting
//! for the client; all such waits of a connection together are bounded by one
//! [`Limits::write_deadline`](super::Limits::write_deadline), so a pipeline that is read byte by byte is cut as early
//! as a single response would be.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

use super::CutReason;
use super::connection::Connection;
use super::reply::write_chunk_size;
use crate::logic::base::time::Mono;
use crate::ports::Clock;

/// Writes one response.
pub(super) struct TimedWriter<'a> {
    connection: &'a Connection,
    clock: &'a dyn Clock,
    deadline: Mono,
    /// Remaining time that this connection's responses may wait for the client
    write_budget: &'a mut Duration,
}

/// How a stream's pieces are delimited on the wire.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pieces {
    Plain,
    Chunks,
}

impl<'a> TimedWriter<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        clock: &'a dyn Clock,
        deadline: Mono,
        write_budget: &'a mut Duration,
    ) -> Self {
        Self { connection, clock, deadline, write_budget }
    }

    /// Writes all parts, or fails at the deadline.
    pub(super) fn send<const N: usize>(&mut self, parts: [&[u8]; N]) -> Result<(), CutReason> {
        let mut slices = parts.map(IoSlice::new);
        let mut rest = &mut slices[..];
        let mut missing: usize = parts.iter().map(|part| part.len()).sum();
        while missing > 0 {
            let written = match try_write(self.connection, rest)? {
                0 => self.wait_and_write(rest)?,
                written => written,
            };
            missing = missing.saturating_sub(written);
            IoSlice::advance_slices(&mut rest, written);
        }
        Ok(())
    }

    /// Waits for space in the send buffer. During the wait the connection can be evicted: its client reads too slowly.
    fn wait_and_write(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, CutReason> {
        let began = self.clock.now().mono;
        let left = began.until(self.deadline).min(*self.write_budget);
        if left.is_zero() {
            return Err(CutReason::SlowReader);
        }
        self.connection.stream.set_write_timeout(Some(left)).map_err(|_| CutReason::Gone)?;
        self.connection.begin_stall(began);
        let outcome = (&mut &self.connection.stream).write_vectored(slices);
        self.connection.end_stall();
        *self.write_budget = self.write_budget.saturating_sub(self.clock.now().mono.since(began));
        match outcome {
            Ok(0) => Err(CutReason::Gone),
            Ok(written) => Ok(written),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(0),
            Err(error) if is_timeout(&error) => Err(CutReason::SlowReader),
            Err(_) => Err(CutReason::Gone),
        }
    }

    /// Sends `head`, then the bytes of `source`: exactly `length` if given, else to its end. With `Some(0)` the source
    /// isn't read.
    pub(super) fn relay(
        &mut self,
        head: &[u8],
        source: &mut dyn Read,
        length: Option<u64>,
        pieces: Pieces,
    ) -> Result<(), CutReason> {
        let mut missing = length.unwrap_or(u64::MAX);
        let mut block = vec![0; BLOCK];
        let mut line = Vec::with_capacity(16);
        let mut head = head;
        while missing > 0 {
            let most = usize::try_from(missing).map_or(BLOCK, |missing| missing.min(BLOCK));
            let read = read_block(source, &mut block[..most])?;
            missing = missing.saturating_sub(read as u64);
            let data = &block[..read];
            match pieces {
                _ if read == 0 && length.is_some() => return Err(self.fail_short(head)),
                Pieces::Chunks => {
                    line.clear();
                    write_chunk_size(&mut line, read);
                    // The empty chunk is the last one; the line after it ends the (empty) trailer section.
                    self.send([head, &line, data, b"\r\n"])?;
                }
                Pieces::Plain => self.send([head, data])?,
            }
            head = &[];
            if read == 0 {
                return Ok(());
            }
        }
        self.send([head])
    }

    /// Sends the head before the connection is cut, so that the client receives the status.
    fn fail_short(&mut self, head: &[u8]) -> CutReason {
        self.send([head]).err().unwrap_or(CutReason::BrokenSource)
    }
}

/// Writes without blocking; returns 0 if the send buffer is full.
fn try_write(connection: &Connection, slices: &[IoSlice<'_>]) -> Result<usize, CutReason> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    match sendmsg(&connection.stream, slices, &mut SendAncillaryBuffer::default(), flags) {
        Ok(written) => Ok(written),
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(_) => Err(CutReason::Gone),
    }
}

/// Whether a socket operation timed out: `EAGAIN` on Linux, `TimedOut` elsewhere.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Reads once. A panic counts as a failure of the source: the head may have been sent, so it is too late for a 500.
fn read_block(source: &mut dyn Read, block: &mut [u8]) -> Result<usize, CutReason> {
    loop {
        match catch_unwind(AssertUnwindSafe(|| source.read(block))) {
            Ok(Ok(read)) if read <= block.len() => return Ok(read),
            Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
            _ => return Err(CutReason::BrokenSource),
        }
    }
}

/// Bytes relayed per read; the buffer exists only while a stream is relayed.
const BLOCK: usize = 16 * 1024;
