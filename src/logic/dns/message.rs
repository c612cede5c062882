//! Messages of DNS, as far as an address is asked for (RFC 1035, section 4; RFC 3596).
//!
//! Invariant: whatever the bytes are, reading them ends: a pointer leads backwards or nowhere, a name has 255 bytes at
//! most, and a chain of aliases eight.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A question to a name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub id: u16,
    pub name: Name,
    pub family: Family,
}

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// What a server says to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// At least one
    Addresses(Vec<IpAddr>),
    /// The name exists, but has no address of this family.
    NoAddress,
    NoSuchName,
    /// There is more than a datagram holds: ask again over TCP.
    Truncated,
    /// Refused, failed, or unreadable.
    Failed,
}

/// A name as messages carry it: labels behind their lengths, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(Vec<u8>);

impl Name {
    /// `None` if no message can carry it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        for label in text.strip_suffix('.').unwrap_or(text).split('.') {
            let length = u8::try_from(label.len()).ok().filter(|length| (1..=LONGEST_LABEL).contains(length))?;
            wire.push(length);
            wire.extend(label.as_bytes());
        }
        wire.push(0);
        // no length is a letter
        wire.make_ascii_lowercase();
        (wire.len() <= LONGEST_NAME).then_some(Self(wire))
    }
}

impl Family {
    const fn code(self) -> u16 {
        match self {
            Self::V4 => 1,
            Self::V6 => 28,
        }
    }

    fn address(self, data: &[u8]) -> Option<IpAddr> {
        match self {
            Self::V4 => <[u8; 4]>::try_from(data).ok().map(|octets| Ipv4Addr::from(octets).into()),
            Self::V6 => <[u8; 16]>::try_from(data).ok().map(|octets| Ipv6Addr::from(octets).into()),
        }
    }
}

impl Question {
    /// As it is sent: one question, recursion desired.
    pub fn message(&self) -> Vec<u8> {
        let mut message = Vec::with_capacity(HEAD_BYTES + self.name.0.len() + 4);
        for word in [self.id, RECURSION_DESIRED, 1, 0, 0, 0] {
            message.extend(word.to_be_bytes());
        }
        message.extend(&self.name.0);
        message.extend(self.family.code().to_be_bytes());
        message.extend(INTERNET.to_be_bytes());
        message
    }

    /// What `message` says; `None` if it is no answer to this question.
    pub fn read(&self, message: &[u8]) -> Option<Answer> {
        let mut reader = Reader { message, at: 0 };
        let [id, flags, questions, answers] = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
        if id != self.id || flags & (RESPONSE | OPCODE) != RESPONSE {
            return None;
        }
        reader.at = HEAD_BYTES;
        // A server that couldn't read the question can't repeat it either.
        if questions == 0 && flags & CODE != NO_ERROR && flags & CODE != NO_SUCH_NAME {
            return Some(Answer::Failed);
        }
        let asked = (reader.name()?, reader.u16()?, reader.u16()?);
        if questions != 1 || asked.0 != self.name || (asked.1, asked.2) != (self.family.code(), INTERNET) {
            return None;
        }
        Some(match flags & CODE {
            _ if flags & TRUNCATED != 0 => Answer::Truncated,
            NO_ERROR => self.addresses(&mut reader, answers).unwrap_or(Answer::Failed),
            NO_SUCH_NAME => Answer::NoSuchName,
            _ => Answer::Failed,
        })
    }

    /// The addresses at the end of the chain of aliases, if all records can be read.
    fn addresses(&self, reader: &mut Reader<'_>, count: u16) -> Option<Answer> {
        let (mut aliases, mut addresses) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (owner, kind, class) = (reader.name()?, reader.u16()?, reader.u16()?);
            reader.bytes(4)?; // how long it may be kept: not at all
            let length = reader.u16()?;
            let mut inside = Reader { message: reader.message, at: reader.at };
            let data = reader.bytes(length.into())?;
            if class == INTERNET && kind == ALIAS {
                aliases.push((owner, inside.name()?));
            } else if class == INTERNET && kind == self.family.code() {
                addresses.push((owner, self.family.address(data)?));
            }
        }
        let mut name = &self.name;
        for _ in 0..LONGEST_CHAIN {
            let Some((_, target)) = aliases.iter().find(|(owner, _)| owner == name) else { break };
            name = target;
        }
        let theirs = addresses.iter().filter(|(owner, _)| owner == name).map(|(_, address)| *address);
        let theirs: Vec<IpAddr> = theirs.take(MOST_ADDRESSES).collect();
        Some(if theirs.is_empty() { Answer::NoAddress } else { Answer::Addresses(theirs) })
    }
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let bytes = self.message.get(self.at..self.at + count)?;
        self.at += count;
        Some(bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.bytes(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn u8(&mut self) -> Option<u8> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    fn name(&mut self) -> Option<Name> {
        let (mut wire, mut earliest, mut end) = (Vec::new(), self.at, None);
        loop {
            let length = self.u8()?;
            match length {
                0 => break,
                1..=LONGEST_LABEL => {
                    wire.push(length);
                    wire.extend(self.bytes(length.into())?);
                }
                POINTER.. => {
                    let target = usize::from(u16::from_be_bytes([length & !POINTER, self.u8()?]));
                    end.get_or_insert(self.at);
                    if target >= earliest {
                        return None;
                    }
                    (earliest, self.at) = (target, target);
                }
                _ => return None,
            }
            if wire.len() >= LONGEST_NAME {
                return None;
            }
        }
        self.at = end.unwrap_or(self.at);
        wire.push(0);
        wire.make_ascii_lowercase();
        Some(Name(wire))
    }
}

const HEAD_BYTES: usize = 12;
const RESPONSE: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const TRUNCATED: u16 = 0x0200;
const RECURSION_DESIRED: u16 = 0x0100;
const CODE: u16 = 0x000f;
const NO_ERROR: u16 = 0;
const NO_SUCH_NAME: u16 = 3;
const INTERNET: u16 = 1;
const ALIAS: u16 = 5;
/// The two highest bits of a length: the rest of the name stands elsewhere.
const POINTER: u8 = 0xc0;
const LONGEST_LABEL: u8 = 63;
/// Lengths and the zero at the end included.
const LONGEST_NAME: usize = 255;
/// AWS's and the usual content networks' have three.
const LONGEST_CHAIN: usize = 8;
/// More than any agent tries.
const MOST_ADDRESSES: usize = 16;

#[cfg(test)]
mod tests;
