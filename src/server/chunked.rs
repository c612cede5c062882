//! Finds the end of a chunked body (RFC 9112, section 7.1). Pure: the result doesn't depend on how the bytes are split
//! into reads.
//!
//! No route uses a body, so the data is discarded. Chunk extensions and trailers are skipped; together they are bounded
//! like a head, so that they can't be endless.

use super::Limits;
use super::wire::BadHead;

/// A chunked body that is read and discarded.
#[derive(Clone, Debug)]
pub struct ChunkedBody {
    next: ChunkState,
    /// Data bytes still allowed
    data_left: u64,
    /// Framing bytes (sizes, extensions, line ends, trailers) still allowed
    framing_left: usize,
}

/// What the next byte must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkState {
    /// A digit of a chunk size, or what follows the digits
    Size {
        size: u64,
        digits: u8,
    },
    /// Part of a chunk extension
    Extension {
        size: u64,
    },
    /// The line feed after the size
    SizeEnd {
        size: u64,
    },
    /// Data, `left` bytes of it
    Data {
        left: u64,
    },
    /// The end of the line after the data
    DataCr,
    DataLf,
    /// The first byte of a trailer, or of the empty line that ends the body
    Trailer,
    TrailerRest,
    TrailerLf,
    LastLf,
    /// Past the end of the body
    Nothing,
}

impl ChunkedBody {
    pub fn new(limits: &Limits) -> Self {
        let next = ChunkState::Size { size: 0, digits: 0 };
        Self { next, data_left: limits.body_bytes, framing_left: limits.head_bytes }
    }

    pub fn is_complete(&self) -> bool {
        self.next == ChunkState::Nothing
    }

    /// Consumes the next bytes of the connection; returns how many of them belong to the body. Fewer than given only
    /// once the body [is over](ChunkedBody::is_complete).
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, BadHead> {
        let mut taken = 0;
        while let Some(&byte) = bytes.get(taken).filter(|_| !self.is_complete()) {
            if let ChunkState::Data { left } = self.next {
                let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - taken);
                let left = left - skipped as u64;
                self.next = if left == 0 { ChunkState::DataCr } else { ChunkState::Data { left } };
                taken += skipped;
            } else {
                self.framing_left = self.framing_left.checked_sub(1).ok_or(BadHead::TooLong)?;
                self.next = self.after(byte)?;
                taken += 1;
            }
        }
        Ok(taken)
    }

    fn after(&mut self, byte: u8) -> Result<ChunkState, BadHead> {
        match (self.next, byte) {
            (ChunkState::Size { size, digits }, _) if byte.is_ascii_hexdigit() && digits < MAX_DIGITS => {
                Ok(ChunkState::Size { size: size << 4 | hex(byte), digits: digits + 1 })
            }
            (ChunkState::Size { size, digits: 1.. } | ChunkState::Extension { size }, b'\r') => {
                Ok(ChunkState::SizeEnd { size })
            }
            (ChunkState::Size { size, digits: 1.. }, b';') => Ok(ChunkState::Extension { size }),
            (ChunkState::Extension { size }, _) if is_text(byte) => Ok(ChunkState::Extension { size }),
            (ChunkState::SizeEnd { size: 0 }, b'\n') => Ok(ChunkState::Trailer),
            (ChunkState::SizeEnd { size }, b'\n') => {
                self.data_left = self.data_left.checked_sub(size).ok_or(BadHead::BodyTooLong)?;
                Ok(ChunkState::Data { left: size })
            }
            (ChunkState::DataCr, b'\r') => Ok(ChunkState::DataLf),
            (ChunkState::DataLf, b'\n') => Ok(ChunkState::Size { size: 0, digits: 0 }),
            (ChunkState::Trailer, b'\r') => Ok(ChunkState::LastLf),
            (ChunkState::TrailerRest, b'\r') => Ok(ChunkState::TrailerLf),
            (ChunkState::TrailerLf, b'\n') => Ok(ChunkState::Trailer),
            (ChunkState::LastLf, b'\n') => Ok(ChunkState::Nothing),
            (ChunkState::Trailer | ChunkState::TrailerRest, _) if is_text(byte) => Ok(ChunkState::TrailerRest),
            _ => Err(BadHead::Malformed),
        }
    }
}

fn hex(digit: u8) -> u64 {
    char::from(digit).to_digit(16).map_or(0, u64::from)
}

/// Allowed in a line: no control characters except tab, so neither a bare CR nor a bare LF.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// More than any allowed size needs, and few enough that no size overflows a u64.
const MAX_DIGITS: u8 = 15;

#[cfg(test)]
mod tests;
