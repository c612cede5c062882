//! Messages of netfilter's subsystems (linux/netfilter/nfnetlink.h), shared by [`super::nftables`] and
//! [`super::conntrack`].

use super::message::{Attributes, NetlinkMessage, NetlinkReply};

/// `NFNL_SUBSYS_CTNETLINK`, `NFNL_SUBSYS_NFTABLES`: the upper byte of a message's kind.
pub(super) const CONNTRACK: u8 = 1;
pub(super) const NFTABLES: u8 = 10;
/// `NFPROTO_UNSPEC` (all families), `NFPROTO_INET`, `NFPROTO_IPV4`.
pub(super) const FAMILY_ANY: u8 = 0;
pub(super) const FAMILY_INET: u8 = 1;
pub(super) const FAMILY_V4: u8 = 2;
/// `struct nfgenmsg`: family, version, resource.
const FIXED_BYTES: usize = 4;

/// A request to a subsystem.
pub(super) fn request(subsystem: u8, kind: u8, flags: u16, family: u8, list: Attributes) -> NetlinkMessage {
    NetlinkMessage::new(u16::from_be_bytes([subsystem, kind]), flags, &[family, 0, 0, 0], list)
}

/// The attributes of a message from a subsystem.
pub(super) fn attributes_of<'a>(reply: &NetlinkReply<'a>) -> &'a [u8] {
    reply.body.get(FIXED_BYTES..).unwrap_or_default()
}

/// The address family of a subsystem's message.
pub(super) fn family_of(reply: &NetlinkReply<'_>) -> Option<u8> {
    reply.body.first().copied()
}

/// The subsystem that sent a message.
pub(super) const fn subsystem_of(reply: &NetlinkReply<'_>) -> u8 {
    reply.kind.to_be_bytes()[0]
}
