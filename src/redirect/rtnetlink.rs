//! Messages about links and addresses (rtnetlink(7)): kinds, structures and attributes shared by [`super::host`] and
//! [`super::link`].

use rustix::net::Protocol;

use super::message::{Attributes, NetlinkMessage};
use super::socket::FLAG_DUMP;

/// `NETLINK_ROUTE` is number 0, which rustix expresses as `None`.
pub(super) const ROUTE: Option<Protocol> = None;

/// `RTM_NEWLINK`, `RTM_DELLINK`, `RTM_GETLINK`; `RTM_NEWADDR`, `RTM_DELADDR`, `RTM_GETADDR`.
pub(super) const NEW_LINK: u16 = 16;
pub(super) const DELETE_LINK: u16 = 17;
pub(super) const GET_LINK: u16 = 18;
pub(super) const NEW_ADDRESS: u16 = 20;
pub(super) const DELETE_ADDRESS: u16 = 21;
pub(super) const GET_ADDRESS: u16 = 22;

/// Sizes of `struct ifinfomsg` and `struct ifaddrmsg`, the fixed headers of these messages.
pub(super) const LINK_BYTES: usize = 16;
pub(super) const ADDRESS_BYTES: usize = 8;

/// `IFLA_IFNAME`; `IFA_ADDRESS`, `IFA_LOCAL`.
pub(super) const LINK_NAME: u16 = 3;
pub(super) const ADDRESS_ADDRESS: u16 = 1;
pub(super) const ADDRESS_LOCAL: u16 = 2;

/// `AF_INET`, `AF_INET6`.
pub(super) const V4: u8 = 2;
pub(super) const V6: u8 = 10;

/// A request for all objects of a kind.
pub(super) fn dump(kind: u16, fixed: &[u8]) -> NetlinkMessage {
    NetlinkMessage::new(kind, FLAG_DUMP, fixed, Attributes::new())
}
