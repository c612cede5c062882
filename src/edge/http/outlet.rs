//! Writing an answer under one deadline, whatever the pace of its reader.
//!
//! The socket carries the whole deadline as its write timeout already, so the usual answer is one `writev` and no
//! `setsockopt`; only what is written behind a first piece is given the rest of the time.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::Cut;
use super::reply::write_chunk_size;
use crate::logic::time::Mono;
use crate::ports::Clock;

/// The way out for one answer.
pub(super) struct Outlet<'a> {
    stream: &'a TcpStream,
    clock: &'a dyn Clock,
    began: Mono,
    whole: Duration,
    pace: Pace,
}

/// Whether the socket's write timeout is still the whole deadline.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    Fresh,
    /// A piece was written with the whole deadline; the next needs the rest of it.
    Started,
    Shortened,
}

/// How a stream's pieces are told apart on the wire.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pieces {
    Plain,
    Chunks,
}

impl<'a> Outlet<'a> {
    pub(super) fn new(stream: &'a TcpStream, clock: &'a dyn Clock, began: Mono, whole: Duration) -> Self {
        Self { stream, clock, began, whole, pace: Pace::Fresh }
    }

    /// Writes all parts, or fails when the deadline has passed.
    pub(super) fn send<const N: usize>(&mut self, parts: [&[u8]; N]) -> Result<(), Cut> {
        let mut slices = parts.map(IoSlice::new);
        let mut rest = &mut slices[..];
        let mut missing: usize = parts.iter().map(|part| part.len()).sum();
        while missing > 0 {
            self.keep_pace()?;
            match (&mut &*self.stream).write_vectored(rest) {
                Ok(0) => return Err(Cut::Gone),
                Ok(written) if written >= missing => return Ok(()),
                Ok(written) => {
                    missing -= written;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Err(Cut::SlowReader),
                Err(_) => return Err(Cut::Gone),
            }
        }
        Ok(())
    }

    /// Sends `head`, then what `source` gives: exactly `length` bytes where that is known, else to its end.
    /// `length` is `Some(0)` for an answer to HEAD, and then the source isn't touched.
    pub(super) fn relay(
        &mut self,
        head: &[u8],
        source: &mut dyn Read,
        length: Option<u64>,
        pieces: Pieces,
    ) -> Result<(), Cut> {
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
                _ if read == 0 && length.is_some() => return Err(self.give_up_on(head)),
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

    /// Gives the socket its whole write timeout back, for the next answer.
    pub(super) fn finish(self) -> Result<(), Cut> {
        match self.pace {
            Pace::Shortened => self.stream.set_write_timeout(Some(self.whole)).map_err(|_| Cut::Gone),
            Pace::Fresh | Pace::Started => Ok(()),
        }
    }

    /// The client learns what is known before it learns that the rest is missing.
    fn give_up_on(&mut self, head: &[u8]) -> Cut {
        self.send([head]).err().unwrap_or(Cut::BrokenSource)
    }

    fn keep_pace(&mut self) -> Result<(), Cut> {
        if self.pace == Pace::Fresh {
            self.pace = Pace::Started;
            return Ok(());
        }
        let left = self.clock.now().mono.until(self.began.after(self.whole));
        if left.is_zero() {
            return Err(Cut::SlowReader);
        }
        self.pace = Pace::Shortened;
        self.stream.set_write_timeout(Some(left)).map_err(|_| Cut::Gone)
    }
}

/// How a socket's timeout shows on Linux (`EAGAIN`) and elsewhere.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Reads once. A source that panics is a source that failed: the head may be out already, so 500 comes too late.
fn read_block(source: &mut dyn Read, block: &mut [u8]) -> Result<usize, Cut> {
    loop {
        match catch_unwind(AssertUnwindSafe(|| source.read(block))) {
            Ok(Ok(read)) if read <= block.len() => return Ok(read),
            Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
            _ => return Err(Cut::BrokenSource),
        }
    }
}

/// Read and written at a time; held only while a stream is relayed.
const BLOCK: usize = 16 * 1024;
