//! nf_tables expressions, as far as this program writes or reads them.
//!
//! Values go through register 1, as in rules of `nft`; a NAT port goes through register 2. Other expressions become
//! [`Foreign`](Expression::Foreign), so two equal lists mean that two rules do the same.

use std::net::IpAddr;

use super::interfaces::InterfacePattern;
use super::resolve::Family;

/// `NFPROTO_IPV4` and `NFPROTO_IPV6` of linux/netfilter.h.
const PROTOCOL_V4: u8 = 2;
const PROTOCOL_V6: u8 = 10;
/// Protocol numbers of TCP and ICMP (IANA, "Protocol Numbers").
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_ICMP: u8 = 1;
/// Length of an interface name with its padding (IFNAMSIZ): comparing all of it compares whole names.
const INTERFACE_BYTES: usize = 16;
/// Offsets of the destination address in the IPv4 (RFC 791) and IPv6 (RFC 8200) header, and of the port in TCP's and
/// UDP's.
const DESTINATION_V4_OFFSET: u32 = 16;
const DESTINATION_V6_OFFSET: u32 = 24;
const DESTINATION_PORT_OFFSET: u32 = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    LoadMeta(Meta),
    LoadPayload {
        header: Header,
        offset: u32,
        length: u32,
    },
    Compare {
        relation: Relation,
        value: Vec<u8>,
    },
    Immediate {
        register: u32,
        value: Vec<u8>,
    },
    Verdict(NftVerdict),
    Counter,
    /// To the address in register 1 and the port in register 2
    DestinationNat(Family),
    /// A target written by iptables-nft
    Target {
        name: String,
        revision: u32,
        info: Vec<u8>,
    },
    /// A match written by iptables-nft
    Match {
        name: String,
        info: Vec<u8>,
    },
    /// Any other expression, by name
    Foreign(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meta {
    InterfaceName,
    OutputInterfaceName,
    NetworkProtocol,
    TransportProtocol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    Network,
    Transport,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Equal,
    Different,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NftVerdict {
    Drop,
    Return,
}

/// `ip daddr` or `ip6 daddr` compared with each of `ips`, which are of one family.
pub(super) fn destination(relation: Relation, ips: &[IpAddr]) -> Vec<Expression> {
    let (protocol, load) = match ips.first() {
        None => return Vec::new(),
        Some(IpAddr::V4(_)) => (PROTOCOL_V4, LOAD_DESTINATION_V4),
        Some(IpAddr::V6(_)) => (PROTOCOL_V6, LOAD_DESTINATION_V6),
    };
    let mut list = vec![Expression::LoadMeta(Meta::NetworkProtocol), equal(vec![protocol])];
    for ip in ips {
        list.extend([load.clone(), Expression::Compare { relation, value: octets(*ip) }]);
    }
    list
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// `iifname` or `oifname` compared with a name or a prefix.
pub(super) fn interface(which: Meta, relation: Relation, pattern: &InterfacePattern) -> Vec<Expression> {
    let value = match pattern {
        InterfacePattern::Name(name) => {
            let mut bytes = name.as_bytes().to_vec();
            bytes.resize(INTERFACE_BYTES, 0);
            bytes
        }
        InterfacePattern::Prefix(prefix) => prefix.as_bytes().to_vec(),
    };
    vec![Expression::LoadMeta(which), Expression::Compare { relation, value }]
}

/// The inverse of [`interface`]'s value. iptables ends a whole name with a single zero byte.
pub(super) fn interface_pattern(value: &[u8]) -> Option<InterfacePattern> {
    let name: Vec<u8> = value.iter().copied().take_while(|byte| *byte != 0).collect();
    let whole = name.len() < value.len();
    let name = String::from_utf8(name).ok().filter(|name| !name.is_empty())?;
    Some(if whole { InterfacePattern::Name(name) } else { InterfacePattern::Prefix(name) })
}

pub(super) fn tcp_port(port: u16) -> Vec<Expression> {
    vec![
        Expression::LoadMeta(Meta::TransportProtocol),
        equal(vec![PROTOCOL_TCP]),
        Expression::LoadPayload { header: Header::Transport, offset: DESTINATION_PORT_OFFSET, length: 2 },
        equal(port.to_be_bytes().to_vec()),
    ]
}

pub(super) fn icmp() -> Vec<Expression> {
    vec![Expression::LoadMeta(Meta::TransportProtocol), equal(vec![PROTOCOL_ICMP])]
}

pub(super) fn destination_nat(ip: IpAddr, port: u16) -> Vec<Expression> {
    let family = if ip.is_ipv4() { Family::V4 } else { Family::V6 };
    vec![
        Expression::Immediate { register: 1, value: octets(ip) },
        Expression::Immediate { register: 2, value: port.to_be_bytes().to_vec() },
        Expression::DestinationNat(family),
    ]
}

fn equal(value: Vec<u8>) -> Expression {
    Expression::Compare { relation: Relation::Equal, value }
}

/// All values that a rule compares with the loaded field: address, port or interface.
pub(super) fn comparisons(rule: &[Expression], load: &Expression) -> Vec<(Relation, Vec<u8>)> {
    let pairs = rule.windows(2).filter_map(|pair| match pair {
        [first, Expression::Compare { relation, value }] if first == load => Some((*relation, value.clone())),
        _ => None,
    });
    pairs.collect()
}

/// The first of these values.
pub(super) fn compared(rule: &[Expression], load: &Expression) -> Option<(Relation, Vec<u8>)> {
    comparisons(rule, load).into_iter().next()
}

/// The loads that [`compared`] searches for.
pub(super) const LOAD_DESTINATION_V4: Expression =
    Expression::LoadPayload { header: Header::Network, offset: DESTINATION_V4_OFFSET, length: 4 };
pub(super) const LOAD_DESTINATION_V6: Expression =
    Expression::LoadPayload { header: Header::Network, offset: DESTINATION_V6_OFFSET, length: 16 };
pub(super) const LOAD_DESTINATION_PORT: Expression =
    Expression::LoadPayload { header: Header::Transport, offset: DESTINATION_PORT_OFFSET, length: 2 };
pub(super) const LOAD_INTERFACE: Expression = Expression::LoadMeta(Meta::InterfaceName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn icmp_is_matched_by_its_protocol_number() {
        assert_eq!(icmp(), [Expression::LoadMeta(Meta::TransportProtocol), equal(vec![1])]);
    }
}
