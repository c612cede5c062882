//! The bytes of one connection that were read but not yet consumed: at most one head and the start of what follows it.

use std::io::{self, Read};

use zeroize::{Zeroize, Zeroizing};

/// A read buffer that starts small, like most heads, and never grows beyond the given limit.
pub(super) struct ReadBuffer {
    /// Zeroed on drop: a head may hold a token
    buffer: Zeroizing<Vec<u8>>,
    start: usize,
    end: usize,
}

impl ReadBuffer {
    pub(super) fn new() -> Self {
        Self { buffer: Zeroizing::new(vec![0; SMALL]), start: 0, end: 0 }
    }

    pub(super) fn unread(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Drops the first `bytes` unread bytes.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.start = (self.start + bytes).min(self.end);
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Zeroes the first `bytes` unread bytes, before they are consumed.
    pub(super) fn wipe(&mut self, bytes: usize) {
        let end = (self.start + bytes).min(self.end);
        self.buffer[self.start..end].zeroize();
    }

    /// Empties and zeroes the whole buffer, and shrinks it after an unusually long head.
    pub(super) fn clear(&mut self) {
        self.buffer.as_mut_slice().zeroize();
        (self.start, self.end) = (0, 0);
        if self.buffer.len() > SMALL {
            self.buffer = Zeroizing::new(vec![0; SMALL]);
        }
    }

    /// Reads once and returns the new bytes; empty at the end of the stream. There must be room: fewer than `most`
    /// unread bytes.
    pub(super) fn fill(&mut self, source: &mut impl Read, most: usize) -> io::Result<&[u8]> {
        self.make_room(most);
        let read = source.read(&mut self.buffer[self.end..])?;
        self.end += read;
        Ok(&self.buffer[self.end - read..self.end])
    }

    fn make_room(&mut self, most: usize) {
        if self.end < self.buffer.len() {
            return;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        let end = self.end - self.start;
        // `copy_within` leaves a second copy of the bytes behind, which `wipe` wouldn't reach.
        self.buffer[end..self.end].zeroize();
        (self.start, self.end) = (0, end);
        if self.end == self.buffer.len() {
            let mut larger = Zeroizing::new(vec![0; (self.buffer.len() * 4).min(most).max(self.end)]);
            larger[..self.end].copy_from_slice(&self.buffer[..self.end]);
            self.buffer = larger;
        }
    }
}

/// Bytes; enough for nearly every head: those of SDKs take 200 to 600 bytes.
const SMALL: usize = 2 * 1024;

#[cfg(test)]
mod tests;
