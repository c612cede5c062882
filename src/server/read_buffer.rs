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
mod tests {
    use super::*;

    #[test]
    fn buffer_grows_to_the_limit_and_no_further() {
        let mut reader = ReadBuffer::new();
        let mut endless = io::repeat(b'x');
        for _ in 0..100 {
            if reader.unread().len() < 8_192 {
                reader.fill(&mut endless, 8_192).unwrap();
            }
        }
        assert_eq!(reader.unread().len(), 8_192);
        reader.clear();
        assert_eq!((reader.unread().len(), reader.buffer.len()), (0, SMALL));
    }

    #[test]
    fn consumed_bytes_make_room_for_new_ones() {
        let mut reader = ReadBuffer::new();
        let mut source: &[u8] = &[7; 3 * SMALL];
        reader.fill(&mut source, SMALL + 1).unwrap();
        reader.consume(SMALL - 10);
        assert_eq!(reader.fill(&mut source, SMALL + 1).unwrap().len(), SMALL - 10);
        assert_eq!((reader.unread().len(), reader.buffer.len()), (SMALL, SMALL));
    }

    #[test]
    fn a_wiped_head_leaves_no_byte_and_what_follows_it_stays() {
        let mut reader = ReadBuffer::new();
        reader.fill(&mut &b"secret next"[..], 100).unwrap();
        reader.wipe(7);
        reader.consume(7);
        assert_eq!(reader.unread(), b"next");
        assert!(!reader.buffer.windows(6).any(|bytes| bytes == b"secret"));
        reader.clear();
        assert!(reader.buffer.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn neither_moving_nor_clearing_leaves_a_second_copy() {
        let mut reader = ReadBuffer::new();
        let head = [&[b'.'; SMALL - 16][..], b"secret of a head"].concat();
        reader.fill(&mut &*head, SMALL + 1).unwrap();
        reader.consume(SMALL - 16);
        reader.fill(&mut &b"!"[..], SMALL + 1).unwrap();
        assert_eq!(reader.unread(), b"secret of a head!");
        let copies = reader.buffer.windows(6).filter(|bytes| *bytes == b"secret").count();
        assert_eq!(copies, 1);
        reader.consume(10);
        reader.clear();
        assert!(reader.buffer.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn consuming_more_than_is_unread_empties_the_buffer() {
        let mut reader = ReadBuffer::new();
        reader.fill(&mut &b"abc"[..], 100).unwrap();
        reader.consume(1);
        assert_eq!(reader.unread(), b"bc");
        reader.consume(50);
        assert!(reader.is_empty());
    }
}
