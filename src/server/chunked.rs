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
mod tests {
    use super::*;

    fn take(bytes: &[u8]) -> Result<Option<usize>, BadHead> {
        let mut body = ChunkedBody::new(&Limits::default());
        let taken = body.take(bytes)?;
        Ok(body.is_complete().then_some(taken))
    }

    const GOOD: [&str; 8] = [
        "0\r\n\r\n",
        "000\r\n\r\n",
        "3\r\nabc\r\n0\r\n\r\n",
        "A\r\n0123456789\r\n1\r\n\n\r\n0\r\n\r\n",
        "3;name\r\nabc\r\n0;name=\"a value\";x\r\n\r\n",
        "0\r\nTrailer: x\r\nContent-Length: 5\r\n\r\n",
        "000000000000003\r\nabc\r\n0\r\n\r\n",
        "2\r\n\r\n\r\n0\r\n\r\n",
    ];

    #[test]
    fn end_of_a_body_is_found_however_the_bytes_are_split() {
        for good in GOOD {
            let followed = format!("{good}GET /next HTTP/1.1\r\n\r\n");
            assert_eq!(take(followed.as_bytes()), Ok(Some(good.len())), "{good:?}");
            for piece in 1..good.len() {
                let mut body = ChunkedBody::new(&Limits::default());
                let mut taken = 0;
                for piece in followed.as_bytes().chunks(piece) {
                    taken += body.take(piece).unwrap();
                }
                assert_eq!((taken, body.is_complete()), (good.len(), true), "{good:?} in pieces of {piece}");
            }
            for end in 0..good.len() {
                assert_eq!(take(&good.as_bytes()[..end]), Ok(None), "{good:?} up to {end}");
            }
        }
    }

    #[test]
    fn ambiguous_framing_is_malformed() {
        for bad in [
            "\r\n",
            ";\r\n",
            "g\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1 \r\n",
            "1\n",
            "1\r\r",
            "1;\n",
            "1;a\0",
            "0000000000000001\r\n",
            "3\r\nabcd",
            "3\r\nabc\n",
            "3\r\nabc\r\r",
            "0\r\n\n",
            "0\r\na\n",
            "0\r\n\r\r",
            "0\r\na\0",
        ] {
            assert_eq!(take(bad.as_bytes()), Err(BadHead::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn data_and_framing_are_bounded() {
        let limit = Limits::default().body_bytes;
        let data = |size: usize| format!("{size:x}\r\n{}\r\n", "b".repeat(size));
        let whole = data(usize::try_from(limit).unwrap()) + "0\r\n\r\n";
        assert_eq!(take(whole.as_bytes()), Ok(Some(whole.len())));
        for (bad, endless) in [
            (BadHead::BodyTooLong, "2001\r\n".to_owned()),
            (BadHead::BodyTooLong, "fffffffffffffff\r\n".to_owned()),
            (BadHead::BodyTooLong, data(1_000).repeat(9)),
            (BadHead::TooLong, format!("1;{}", "e".repeat(10_000))),
            (BadHead::TooLong, "1;e\r\nb\r\n".repeat(1_500)),
            (BadHead::TooLong, format!("0\r\n{}", "Trailer: x\r\n".repeat(1_000))),
            (BadHead::TooLong, format!("0\r\n{}", "t".repeat(10_000))),
        ] {
            assert_eq!(take(endless.as_bytes()), Err(bad), "{}", &endless[..40.min(endless.len())]);
        }
    }
}
