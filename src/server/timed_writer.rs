//! Writing an answer under one deadline, whatever the pace of its reader.
//!
//! The usual answer fits into the kernel's buffers: one system call. Waiting for room in them is waiting for the
//! client, and the waits of all answers of a connection together are bounded by one
//! [`Limits::write_deadline`](super::Limits::write_deadline): a pipeline that is read byte by byte ends as soon as
//! a single answer would.

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

/// Writes one answer.
pub(super) struct TimedWriter<'a> {
    connection: &'a Connection,
    clock: &'a dyn Clock,
    deadline: Mono,
    /// What is left of the time that this connection's answers may wait for its client
    patience: &'a mut Duration,
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
        patience: &'a mut Duration,
    ) -> Self {
        Self { connection, clock, deadline, patience }
    }

    /// Writes all parts, or fails when the deadline has passed.
    pub(super) fn send<const N: usize>(&mut self, parts: [&[u8]; N]) -> Result<(), CutReason> {
        let mut slices = parts.map(IoSlice::new);
        let mut rest = &mut slices[..];
        let mut missing: usize = parts.iter().map(|part| part.len()).sum();
        while missing > 0 {
            let written = match offer(self.connection, rest)? {
                0 => self.wait_and_write(rest)?,
                written => written,
            };
            missing = missing.saturating_sub(written);
            IoSlice::advance_slices(&mut rest, written);
        }
        Ok(())
    }

    /// Waits for room in the kernel's buffers. Meanwhile the connection can be evicted: its client reads too slowly.
    fn wait_and_write(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, CutReason> {
        let began = self.clock.now().mono;
        let left = began.until(self.deadline).min(*self.patience);
        if left.is_zero() {
            return Err(CutReason::SlowReader);
        }
        self.connection.stream.set_write_timeout(Some(left)).map_err(|_| CutReason::Gone)?;
        self.connection.begin_stall(began);
        let outcome = (&mut &self.connection.stream).write_vectored(slices);
        self.connection.end_stall();
        *self.patience = self.patience.saturating_sub(self.clock.now().mono.since(began));
        match outcome {
            Ok(0) => Err(CutReason::Gone),
            Ok(written) => Ok(written),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(0),
            Err(error) if is_timeout(&error) => Err(CutReason::SlowReader),
            Err(_) => Err(CutReason::Gone),
        }
    }

    /// Sends `head`, then what `source` gives: exactly `length` bytes where that is known, else to its end.
    /// `length` is `Some(0)` for an answer to HEAD, and then the source isn't touched.
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
                    // An empty chunk is the last one, and the line behind it ends the absent trailers.
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

    /// Sends the head before the connection is cut, so that the client sees the status.
    fn fail_short(&mut self, head: &[u8]) -> CutReason {
        self.send([head]).err().unwrap_or(CutReason::BrokenSource)
    }
}

/// Writes what the kernel has room for; 0 if it has none.
fn offer(connection: &Connection, slices: &[IoSlice<'_>]) -> Result<usize, CutReason> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    match sendmsg(&connection.stream, slices, &mut SendAncillaryBuffer::default(), flags) {
        Ok(written) => Ok(written),
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(_) => Err(CutReason::Gone),
    }
}

/// How a socket's timeout shows on Linux (`EAGAIN`) and elsewhere.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Reads once. A source that panics is a source that failed: the head may be out already, so 500 comes too late.
fn read_block(source: &mut dyn Read, block: &mut [u8]) -> Result<usize, CutReason> {
    loop {
        match catch_unwind(AssertUnwindSafe(|| source.read(block))) {
            Ok(Ok(read)) if read <= block.len() => return Ok(read),
            Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
            _ => return Err(CutReason::BrokenSource),
        }
    }
}

/// Read and written at a time; held only while a stream is relayed.
const BLOCK: usize = 16 * 1024;
