//! Reads, creates and removes the link and the address of container credentials (rtnetlink(7)). Reading needs no
//! capability.

use std::net::Ipv4Addr;

use rustix::io::Errno;

use crate::logic::redirect::address::{
    ADDRESS, AddressOnLink, FoundAddress, FoundLink, LINK, LOOPBACK, LOOPBACK_LABEL, Place,
};

use super::message::{Attributes, NetlinkMessage, NetlinkReply, attribute, native_u32, nested, text};
use super::rtnetlink::{
    ADDRESS_ADDRESS, ADDRESS_BYTES, ADDRESS_LOCAL, DELETE_ADDRESS, DELETE_LINK, GET_ADDRESS, GET_LINK, LINK_BYTES,
    LINK_NAME, NEW_ADDRESS, NEW_LINK, ROUTE, V4, dump,
};
use super::socket::{FLAG_CREATE, FLAG_EXCLUSIVE, Netlink, read_consistently};

/// `IFF_UP`.
const UP: u32 = 1;
/// `IFLA_LINKINFO`, within it `IFLA_INFO_KIND`.
const LINK_INFO: u16 = 18;
const INFO_KIND: u16 = 1;
/// `IFA_LABEL`.
const ADDRESS_LABEL: u16 = 3;
const WHOLE_PREFIX: u8 = 32;
/// `IFA_F_PERMANENT`.
const PERMANENT: u8 = 0x80;
/// `RT_SCOPE_LINK`: the kernel never uses such an address as the source of packets to other networks.
const SCOPE_LINK: u8 = 253;

/// An rtnetlink socket.
#[derive(Debug)]
pub(super) struct Links {
    netlink: Netlink,
}

impl Links {
    pub(super) fn open() -> Result<Self, Errno> {
        Ok(Self { netlink: Netlink::open(ROUTE)? })
    }

    pub(super) fn find(&mut self) -> Result<FoundAddress, Errno> {
        read_consistently(|| self.read())
    }

    fn read(&mut self) -> Result<FoundAddress, Errno> {
        let (mut links, mut holders) = (Vec::new(), Vec::new());
        self.netlink.ask(dump(GET_LINK, &[0; LINK_BYTES]), &mut |reply| links.extend(link(reply.body)))?;
        let mut fixed = [0; ADDRESS_BYTES];
        fixed[0] = V4;
        self.netlink.ask(dump(GET_ADDRESS, &fixed), &mut |reply| holders.extend(holder(reply.body)))?;
        let by_name = |wanted: &str| links.iter().find(|(name, _)| name == wanted).map(|(_, link)| link.clone());
        let name_of = |index: u32| links.iter().find(|(_, link)| link.index == index).map(|(name, _)| name.clone());
        let named = |holder: AddressOnLink| {
            let interface = name_of(holder.index).unwrap_or_else(|| holder.index.to_string());
            AddressOnLink { interface, ..holder }
        };
        let holders = holders.into_iter().map(named).collect();
        Ok(FoundAddress { link: by_name(LINK), loopback: by_name(LOOPBACK), holders })
    }

    /// Fails with `EOPNOTSUPP` on a kernel without links of that kind.
    pub(super) fn make(&mut self, kind: &str) -> Result<(), Errno> {
        let list = Attributes::new().text(LINK_NAME, LINK).nest(LINK_INFO, Attributes::new().text(INFO_KIND, kind));
        self.change(NEW_LINK, FLAG_CREATE | FLAG_EXCLUSIVE, &link_fixed(0), list)
    }

    pub(super) fn raise(&mut self, index: u32) -> Result<(), Errno> {
        self.change(NEW_LINK, 0, &link_fixed(index), Attributes::new())
    }

    pub(super) fn delete_link(&mut self, index: u32) -> Result<(), Errno> {
        self.change(DELETE_LINK, 0, &link_fixed(index), Attributes::new())
    }

    pub(super) fn assign(&mut self, place: Place, index: u32) -> Result<(), Errno> {
        let label = match place {
            Place::OwnLink => LINK,
            Place::Loopback => LOOPBACK_LABEL,
        };
        let list = address().text(ADDRESS_LABEL, label);
        self.change(NEW_ADDRESS, FLAG_CREATE | FLAG_EXCLUSIVE, &address_fixed(index), list)
    }

    /// The label ensures that only the agent's own address is deleted.
    pub(super) fn delete_from_loopback(&mut self, index: u32) -> Result<(), Errno> {
        let list = address().text(ADDRESS_LABEL, LOOPBACK_LABEL);
        self.change(DELETE_ADDRESS, 0, &address_fixed(index), list)
    }

    fn change(&mut self, kind: u16, flags: u16, fixed: &[u8], list: Attributes) -> Result<(), Errno> {
        self.netlink.ask(NetlinkMessage::new(kind, flags, fixed, list), &mut |_| {})
    }
}

/// `struct ifinfomsg` that brings a link up.
fn link_fixed(index: u32) -> Vec<u8> {
    [[0; 4], index.to_ne_bytes(), UP.to_ne_bytes(), UP.to_ne_bytes()].concat()
}

/// `struct ifaddrmsg`.
fn address_fixed(index: u32) -> Vec<u8> {
    [[V4, WHOLE_PREFIX, PERMANENT, SCOPE_LINK], index.to_ne_bytes()].concat()
}

fn address() -> Attributes {
    Attributes::new().bytes(ADDRESS_LOCAL, &ADDRESS.octets()).bytes(ADDRESS_ADDRESS, &ADDRESS.octets())
}

fn link(body: &[u8]) -> Option<(String, FoundLink)> {
    let list = body.get(LINK_BYTES..)?;
    let kind = nested(list, &[LINK_INFO]).and_then(|info| text(info, INFO_KIND)).unwrap_or_default().to_owned();
    let link = FoundLink { index: native_u32(body, 4)?, kind, is_up: native_u32(body, 8)? & UP != 0 };
    Some((text(list, LINK_NAME)?.to_owned(), link))
}

/// Parses an address message; `None` for other addresses. On a point-to-point link the local end counts.
fn holder(body: &[u8]) -> Option<AddressOnLink> {
    let list = body.get(ADDRESS_BYTES..)?;
    let own = attribute(list, ADDRESS_LOCAL).or_else(|| attribute(list, ADDRESS_ADDRESS))?;
    let own = <[u8; 4]>::try_from(own).ok().map(Ipv4Addr::from)?;
    let label = text(list, ADDRESS_LABEL).unwrap_or_default().to_owned();
    (own == ADDRESS).then_some(AddressOnLink { index: native_u32(body, 4)?, interface: String::new(), label })
}

/// Whether a notification concerns the agent's link or the address.
pub(super) fn concerns(reply: &NetlinkReply<'_>) -> bool {
    match reply.kind {
        NEW_LINK | DELETE_LINK => link(reply.body).is_some_and(|(name, _)| name == LINK || name == LOOPBACK),
        NEW_ADDRESS | DELETE_ADDRESS => holder(reply.body).is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
