//! Netlink messages as bytes: a header, a fixed part, attributes (RFC 3549 sections 2.2 and 2.3, linux/netlink.h).
//!
//! Lengths and header fields have native byte order; netfilter's numbers within attributes are big endian. Parsing
//! never trusts a length: an invalid one ends the iteration.

/// `sizeof(struct nlmsghdr)` and of an attribute's header. Both are followed by padding to four bytes.
const HEADER_BYTES: usize = 16;
const ATTRIBUTE_HEADER_BYTES: usize = 4;
/// The two upper bits of an attribute's kind are flags: nested, and big endian.
const NESTED: u16 = 0x8000;
const KIND_MASK: u16 = 0x3fff;

/// A request, before it gets a sequence number.
#[derive(Clone, Debug)]
pub(super) struct NetlinkMessage {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) body: Vec<u8>,
}

impl NetlinkMessage {
    pub(super) fn new(kind: u16, flags: u16, fixed: &[u8], attributes: Attributes) -> Self {
        let mut body = fixed.to_vec();
        pad(&mut body);
        body.extend(attributes.0);
        Self { kind, flags, body }
    }

    /// The bytes to send. Every reply repeats `sequence`.
    pub(super) fn to_bytes(&self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(HEADER_BYTES + self.body.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.body.len());
        bytes.extend(length.to_ne_bytes());
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend(self.flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        // The sender's port: the kernel fills it in.
        bytes.extend(0u32.to_ne_bytes());
        bytes.extend(&self.body);
        pad(&mut bytes);
        bytes
    }
}

/// Attributes being written.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes(Vec<u8>);

impl Attributes {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(ATTRIBUTE_HEADER_BYTES + value.len());
        self.0.extend(length.expect("only names, addresses and a rule's few expressions are written").to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        pad(&mut self.0);
        self
    }

    /// A string, with the NUL terminator that the kernel expects.
    pub(super) fn text(self, kind: u16, value: &str) -> Self {
        self.bytes(kind, &[value.as_bytes(), &[0]].concat())
    }

    pub(super) fn number(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub(super) fn long(self, kind: u16, value: u64) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub(super) fn nest(self, kind: u16, inner: Self) -> Self {
        self.bytes(kind | NESTED, &inner.0)
    }
}

/// A received message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NetlinkReply<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) body: &'a [u8],
}

/// The messages of one datagram.
pub(super) fn replies(mut datagram: &[u8]) -> impl Iterator<Item = NetlinkReply<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(native_u32(datagram, 0)?).ok()?;
        let reply = NetlinkReply {
            kind: native_u16(datagram, 4)?,
            flags: native_u16(datagram, 6)?,
            sequence: native_u32(datagram, 8)?,
            body: datagram.get(HEADER_BYTES..length)?,
        };
        datagram = datagram.get(padded(length)..).unwrap_or_default();
        Some(reply)
    })
}

/// The attributes in `bytes`, with flags removed from kinds.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(native_u16(bytes, 0)?);
        let kind = native_u16(bytes, 2)? & KIND_MASK;
        let value = bytes.get(ATTRIBUTE_HEADER_BYTES..length)?;
        bytes = bytes.get(padded(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first attribute of `kind`.
pub(super) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// The attribute at a path of nested attributes.
pub(super) fn nested<'a>(bytes: &'a [u8], kinds: &[u16]) -> Option<&'a [u8]> {
    kinds.iter().try_fold(bytes, |inner, kind| attribute(inner, *kind))
}

pub(super) fn number(bytes: &[u8], kind: u16) -> Option<u32> {
    Some(u32::from_be_bytes(attribute(bytes, kind)?.try_into().ok()?))
}

pub(super) fn long(bytes: &[u8], kind: u16) -> Option<u64> {
    Some(u64::from_be_bytes(attribute(bytes, kind)?.try_into().ok()?))
}

pub(super) fn text(bytes: &[u8], kind: u16) -> Option<&str> {
    std::str::from_utf8(attribute(bytes, kind)?).ok().map(|text| text.trim_end_matches('\0'))
}

pub(super) fn native_u16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(super) fn native_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(padded(bytes.len()), 0);
}

#[cfg(test)]
mod tests;
