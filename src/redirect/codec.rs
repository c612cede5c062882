//! Encodes expressions as nf_tables attributes, and decodes them (linux/netfilter/nf_tables.h).
//!
//! Writes only the encoding that the kernel returns, so that written rules compare equal to those read. A known
//! expression in another encoding (another register, another flag) decodes as foreign.

use crate::logic::redirect::expression::{Expression, Header, Meta, NftVerdict, Relation};
use crate::logic::redirect::resolve::Family;

use super::message::{Attributes, attribute, attributes, long, nested, number, text};

/// `NFTA_LIST_ELEM`, `NFTA_EXPR_NAME`, `NFTA_EXPR_DATA`.
const ELEMENT: u16 = 1;
const NAME: u16 = 1;
const DATA: u16 = 2;
/// `NFTA_DATA_VALUE`, `NFTA_DATA_VERDICT`, `NFTA_VERDICT_CODE`.
const VALUE: u16 = 1;
const VERDICT: u16 = 2;
const CODE: u16 = 1;
/// `NFT_REG_VERDICT`; 1 to 4 are the 16-byte registers.
const REGISTER_VERDICT: u32 = 0;
const REGISTER: u32 = 1;
const REGISTER_PORT: u32 = 2;
/// `NF_DROP`, and `NFT_RETURN` (-5).
const CODE_DROP: u32 = 0;
const CODE_RETURN: u32 = (-5i32).cast_unsigned();
/// `NFT_NAT_DNAT`; the flags the kernel adds for a given address and a given port.
const NAT_DESTINATION: u32 = 1;
const NAT_FLAGS_ADDRESS_AND_PORT: u32 = 3;

/// A rule's expressions as the value of `NFTA_RULE_EXPRESSIONS`.
pub(super) fn write(expressions: &[Expression]) -> Attributes {
    expressions.iter().filter_map(write_one).fold(Attributes::new(), |list, (name, data)| {
        list.nest(ELEMENT, Attributes::new().text(NAME, name).nest(DATA, data))
    })
}

/// `None` for expressions that are only read; the agent's rules contain none of them.
fn write_one(expression: &Expression) -> Option<(&'static str, Attributes)> {
    let new = Attributes::new;
    Some(match expression {
        Expression::LoadMeta(meta) => ("meta", new().number(1, REGISTER).number(2, meta_key(*meta))),
        Expression::LoadPayload { header, offset, length } => {
            let data = new().number(1, REGISTER).number(2, header_base(*header));
            ("payload", data.number(3, *offset).number(4, *length))
        }
        Expression::Compare { relation, value } => {
            let data = new().number(1, REGISTER).number(2, relation_code(*relation));
            ("cmp", data.nest(3, new().bytes(VALUE, value)))
        }
        Expression::Immediate { register, value } => {
            ("immediate", new().number(1, *register).nest(2, new().bytes(VALUE, value)))
        }
        Expression::Verdict(verdict) => {
            let code = new().number(CODE, verdict_code(*verdict));
            ("immediate", new().number(1, REGISTER_VERDICT).nest(2, new().nest(VERDICT, code)))
        }
        Expression::Counter => ("counter", new().long(1, 0).long(2, 0)),
        Expression::DestinationNat(family) => {
            let data = new().number(1, NAT_DESTINATION).number(2, family_number(*family));
            ("nat", data.number(3, REGISTER).number(5, REGISTER_PORT))
        }
        Expression::Target { .. } | Expression::Match { .. } | Expression::Foreign(_) => return None,
    })
}

/// The inverse of [`write()`], for any rule.
pub(super) fn read(list: &[u8]) -> Vec<Expression> {
    attributes(list).map(|(_, element)| read_one(element)).collect()
}

fn read_one(element: &[u8]) -> Expression {
    let name = text(element, NAME).unwrap_or_default();
    let data = attribute(element, DATA).unwrap_or_default();
    let known = match name {
        "meta" => read_meta(data),
        "payload" => read_payload(data),
        "cmp" => read_compare(data),
        "immediate" => read_immediate(data),
        "counter" => Some(Expression::Counter),
        "nat" => read_nat(data),
        "target" => read_target(data),
        "match" => read_match(data),
        _ => None,
    };
    known.unwrap_or_else(|| Expression::Foreign(name.to_owned()))
}

fn read_meta(data: &[u8]) -> Option<Expression> {
    let meta = [Meta::InterfaceName, Meta::OutputInterfaceName, Meta::NetworkProtocol, Meta::TransportProtocol];
    let key = number(data, 2)?;
    let found = meta.into_iter().find(|meta| meta_key(*meta) == key)?;
    (number(data, 1)? == REGISTER).then_some(Expression::LoadMeta(found))
}

fn read_payload(data: &[u8]) -> Option<Expression> {
    let base = number(data, 2)?;
    let header = [Header::Network, Header::Transport].into_iter().find(|header| header_base(*header) == base)?;
    let load = Expression::LoadPayload { header, offset: number(data, 3)?, length: number(data, 4)? };
    (number(data, 1)? == REGISTER).then_some(load)
}

fn read_compare(data: &[u8]) -> Option<Expression> {
    let code = number(data, 2)?;
    let relation = [Relation::Equal, Relation::Different].into_iter().find(|r| relation_code(*r) == code)?;
    let value = nested(data, &[3, VALUE])?.to_vec();
    (number(data, 1)? == REGISTER).then_some(Expression::Compare { relation, value })
}

fn read_immediate(data: &[u8]) -> Option<Expression> {
    let register = number(data, 1)?;
    if register != REGISTER_VERDICT {
        return Some(Expression::Immediate { register, value: nested(data, &[2, VALUE])?.to_vec() });
    }
    let code = number(nested(data, &[2, VERDICT])?, CODE)?;
    let verdict = [NftVerdict::Drop, NftVerdict::Return].into_iter().find(|verdict| verdict_code(*verdict) == code)?;
    Some(Expression::Verdict(verdict))
}

/// Address and port may be ranges; the agent's rules use only ranges of length one.
fn read_nat(data: &[u8]) -> Option<Expression> {
    let family = number(data, 2)?;
    let family = [Family::V4, Family::V6].into_iter().find(|known| family_number(*known) == family)?;
    let plain = number(data, 1)? == NAT_DESTINATION
        && number(data, 3)? == REGISTER
        && number(data, 4).is_none_or(|last| last == REGISTER)
        && number(data, 5)? == REGISTER_PORT
        && number(data, 6).is_none_or(|last| last == REGISTER_PORT)
        && number(data, 7).is_none_or(|flags| flags & !NAT_FLAGS_ADDRESS_AND_PORT == 0);
    plain.then_some(Expression::DestinationNat(family))
}

/// iptables' own structures, wrapped (`NFTA_TARGET_*`).
fn read_target(data: &[u8]) -> Option<Expression> {
    let info = attribute(data, 3)?.to_vec();
    Some(Expression::Target { name: text(data, 1)?.to_owned(), revision: number(data, 2)?, info })
}

fn read_match(data: &[u8]) -> Option<Expression> {
    Some(Expression::Match { name: text(data, 1)?.to_owned(), info: attribute(data, 3)?.to_vec() })
}

/// Bytes and packets of a rule's counter.
pub(super) fn counted(list: &[u8]) -> Option<(u64, u64)> {
    let data = attributes(list).find(|(_, element)| text(element, NAME) == Some("counter"))?.1;
    let data = attribute(data, DATA)?;
    Some((long(data, 1)?, long(data, 2)?))
}

/// `nft` stores a comment in a rule's user data as type 0, length, text, zero byte (libnftnl/udata.h).
pub(super) fn comment(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len() + 1).expect("a comment is a word and a number of at most 20 digits");
    [&[0, length], text.as_bytes(), &[0]].concat()
}

/// The inverse of [`comment`].
pub(super) fn read_comment(mut data: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = data {
        let value = rest.get(..usize::from(*length))?;
        if *kind == 0 {
            return std::str::from_utf8(value).ok().map(|text| text.trim_end_matches('\0').to_owned());
        }
        data = rest.get(usize::from(*length)..)?;
    }
    None
}

/// `NFT_META_IIFNAME`, `NFT_META_OIFNAME`, `NFT_META_NFPROTO`, `NFT_META_L4PROTO`.
fn meta_key(meta: Meta) -> u32 {
    match meta {
        Meta::InterfaceName => 6,
        Meta::OutputInterfaceName => 7,
        Meta::NetworkProtocol => 15,
        Meta::TransportProtocol => 16,
    }
}

/// `NFT_PAYLOAD_NETWORK_HEADER`, `NFT_PAYLOAD_TRANSPORT_HEADER`.
fn header_base(header: Header) -> u32 {
    match header {
        Header::Network => 1,
        Header::Transport => 2,
    }
}

/// `NFT_CMP_EQ`, `NFT_CMP_NEQ`.
fn relation_code(relation: Relation) -> u32 {
    match relation {
        Relation::Equal => 0,
        Relation::Different => 1,
    }
}

fn verdict_code(verdict: NftVerdict) -> u32 {
    match verdict {
        NftVerdict::Drop => CODE_DROP,
        NftVerdict::Return => CODE_RETURN,
    }
}

/// `NFPROTO_IPV4`, `NFPROTO_IPV6`.
pub(super) fn family_number(family: Family) -> u32 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

#[cfg(test)]
mod tests;
