//! Cuts connections to the metadata address that are older than the rules: NAT rules see only the first packet of a
//! connection, so a tracked one would continue to the real service (linux/netfilter/nfnetlink_conntrack.h).

use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;
use rustix::net::netlink;

use super::message::{Attributes, NetlinkMessage, attribute, nested};
use super::netfilter::{CONNTRACK, FAMILY_ANY, attributes_of, request};
use super::socket::{FLAG_DUMP, Netlink};

/// `IPCTNL_MSG_CT_GET`, `IPCTNL_MSG_CT_DELETE`.
const GET: u8 = 1;
const DELETE: u8 = 2;
/// `CTA_*`: the two directions, and the fields that distinguish otherwise equal entries.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
/// `CTA_TUPLE_IP`, `CTA_TUPLE_PROTO`, and their fields: sources and destinations of both families, ports.
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const SOURCE_V4: u16 = 1;
const DESTINATION_V4: u16 = 2;
const SOURCE_V6: u16 = 3;
const DESTINATION_V6: u16 = 4;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;
/// Maximum entries deleted per call. More than a node's pods have; the rules drop the packets of any others.
const CUT_MAX: usize = 65_536;

/// Selects the entries to cut.
#[derive(Clone, Debug)]
pub(super) struct Stale<'a> {
    /// Destinations of entries to cut
    pub(super) metadata: &'a [IpAddr],
    /// Destination port; `None` for any
    pub(super) port: Option<u16>,
    /// The node's own addresses, whose connections are kept: the node may use the real service
    pub(super) own: &'a [IpAddr],
    /// Agents whose connections are kept
    pub(super) agents: &'a [SocketAddr],
}

/// Deletes the selected entries; returns their number.
pub(super) fn cut(stale: &Stale<'_>) -> Result<usize, Errno> {
    let mut netlink = Netlink::open(Some(netlink::NETFILTER))?;
    let mut deletions = Vec::new();
    let all = request(CONNTRACK, GET, FLAG_DUMP, FAMILY_ANY, Attributes::new());
    let dumped = netlink.ask(all, &mut |reply| {
        let entry = attributes_of(&reply);
        if deletions.len() < CUT_MAX && stale.matches(entry) {
            deletions.extend(deletion(reply.body, entry));
        }
    });
    let mut cut = 0;
    for deletion in deletions {
        match netlink.ask(deletion, &mut |_| {}) {
            Ok(()) => cut += 1,
            // The entry expired meanwhile.
            Err(Errno::NOENT) => {}
            Err(cause) => return Err(cause),
        }
    }
    dumped.map(|()| cut)
}

impl Stale<'_> {
    fn matches(&self, entry: &[u8]) -> bool {
        let original = |v4, v6| address(entry, ORIGINAL, v4, v6);
        let to_metadata = original(DESTINATION_V4, DESTINATION_V6).is_some_and(|ip| self.metadata.contains(&ip));
        let at_port = self.port.is_none_or(|wanted| port(entry, ORIGINAL, DESTINATION_PORT) == Some(wanted));
        let from_node = original(SOURCE_V4, SOURCE_V6).is_some_and(|ip| self.own.contains(&ip));
        let answers = address(entry, REPLY, SOURCE_V4, SOURCE_V6).zip(port(entry, REPLY, SOURCE_PORT));
        let by_agent = answers.is_some_and(|(ip, port)| self.agents.contains(&SocketAddr::new(ip, port)));
        to_metadata && at_port && !from_node && !by_agent
    }
}

fn address(entry: &[u8], direction: u16, v4: u16, v6: u16) -> Option<IpAddr> {
    let tuple = nested(entry, &[direction, TUPLE_IP])?;
    let v4 = attribute(tuple, v4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(IpAddr::from);
    v4.or_else(|| <[u8; 16]>::try_from(attribute(tuple, v6)?).ok().map(IpAddr::from))
}

fn port(entry: &[u8], direction: u16, which: u16) -> Option<u16> {
    let bytes = nested(entry, &[direction, TUPLE_PROTOCOL, which])?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

/// Identifies the entry by fields of the dump: addresses and ports, zone, id.
fn deletion(body: &[u8], entry: &[u8]) -> Option<NetlinkMessage> {
    const NESTED: u16 = 0x8000;
    let mut list = Attributes::new().bytes(ORIGINAL | NESTED, attribute(entry, ORIGINAL)?);
    for kind in [ID, ZONE] {
        if let Some(value) = attribute(entry, kind) {
            list = list.bytes(kind, value);
        }
    }
    Some(request(CONNTRACK, DELETE, 0, *body.first()?, list))
}

#[cfg(test)]
mod tests;
