//! nf_tables over netlink: reads, writes and deletes a table, each atomically (linux/netfilter/nf_tables.h).
//!
//! The agent's tables never have `NFT_TABLE_F_OWNER`: they would vanish with the process and expose the node's role.

use rustix::io::Errno;
use rustix::net::netlink;

use crate::logic::redirect::compare::{Count, FoundChain, FoundRule, FoundTable};
use crate::logic::redirect::ruleset::{Chain, POLICY_ACCEPT, Rule};

use super::codec;
use super::message::{Attributes, NetlinkMessage, attribute, long, number, text};
use super::netfilter::{self, FAMILY_INET, FAMILY_V4, NFTABLES, attributes_of, family_of};
use super::socket::{FLAG_ACK, FLAG_APPEND, FLAG_CREATE, FLAG_DUMP, FLAG_REQUEST, Netlink, NetlinkRefusal};

/// `NFT_MSG_*`.
const TABLE_NEW: u8 = 0;
const TABLE_GET: u8 = 1;
const TABLE_DELETE: u8 = 2;
const CHAIN_NEW: u8 = 3;
const CHAIN_GET: u8 = 4;
const RULE_NEW: u8 = 6;
const RULE_GET: u8 = 7;
const RULE_DELETE: u8 = 8;
const GENERATION_GET: u8 = 16;
/// `NFNL_MSG_BATCH_BEGIN`, `NFNL_MSG_BATCH_END`, `NFNL_BATCH_GENID`.
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const BATCH_GENERATION: u16 = 1;

/// Attributes. Every kind of object names its table in the first one.
pub(super) const OBJECT_TABLE: u16 = 1;
const TABLE_FLAGS: u16 = 2;
const TABLE_USE: u16 = 3;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_USERDATA: u16 = 7;
const GENERATION_ID: u16 = 1;

/// The ruleset's generation id, which the kernel increments on every change by any process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GenerationId(u32);

#[derive(Debug)]
pub(super) struct Nftables {
    netlink: Netlink,
    /// The table of family `inet` that is read and written
    table: &'static str,
}

impl Nftables {
    pub(super) fn open(table: &'static str) -> Result<Self, Errno> {
        Ok(Self { netlink: Netlink::open(Some(netlink::NETFILTER))?, table })
    }

    /// The current generation id. This is the first request made: a kernel without nf_tables refuses it.
    pub(super) fn generation_id(&mut self) -> Result<GenerationId, Errno> {
        let mut generation_id = None;
        self.netlink.ask(request(GENERATION_GET, 0, 0, Attributes::new()), &mut |reply| {
            generation_id = number(attributes_of(&reply), GENERATION_ID);
        })?;
        generation_id.map(GenerationId).ok_or(Errno::PROTO)
    }

    /// The table, with those of `chains` that exist.
    pub(super) fn table(&mut self, chains: &[&str]) -> Result<Option<FoundTable>, Errno> {
        let mut table = FoundTable::default();
        let name = Attributes::new().text(OBJECT_TABLE, self.table);
        let found = self.netlink.ask(request(TABLE_GET, 0, FAMILY_INET, name), &mut |reply| {
            let list = attributes_of(&reply);
            table.flags = number(list, TABLE_FLAGS).unwrap_or_default();
            table.members = number(list, TABLE_USE).unwrap_or_default();
        });
        if absent(found)? {
            return Ok(None);
        }
        for chain in chains {
            table.chains.extend(self.chain(chain)?);
        }
        Ok(Some(table))
    }

    fn chain(&mut self, name: &str) -> Result<Option<FoundChain>, Errno> {
        let mut chain = FoundChain { name: name.to_owned(), ..FoundChain::default() };
        let list = Attributes::new().text(OBJECT_TABLE, self.table).text(CHAIN_NAME, name);
        let found = self.netlink.ask(request(CHAIN_GET, 0, FAMILY_INET, list), &mut |reply| {
            let list = attributes_of(&reply);
            let hook = attribute(list, CHAIN_HOOK).unwrap_or_default();
            chain.hook = number(hook, HOOK_NUMBER).unwrap_or(u32::MAX);
            chain.priority = number(hook, HOOK_PRIORITY).unwrap_or_default().cast_signed();
            chain.policy = number(list, CHAIN_POLICY).unwrap_or_default();
            chain.kind = text(list, CHAIN_TYPE).unwrap_or_default().to_owned();
        });
        if absent(found)? {
            return Ok(None);
        }
        chain.rules = self.rules(FAMILY_INET, self.table, name)?;
        Ok(Some(chain))
    }

    /// The rules of `chain` in iptables' IPv4 `table`; empty if there is no such chain.
    pub(super) fn iptables_rules(&mut self, table: &str, chain: &str) -> Result<Vec<FoundRule>, Errno> {
        self.rules(FAMILY_V4, table, chain)
    }

    /// Older kernels ignore the dump's filter, so every rule is checked again.
    fn rules(&mut self, family: u8, table: &str, chain: &str) -> Result<Vec<FoundRule>, Errno> {
        let mut rules = Vec::new();
        let list = Attributes::new().text(OBJECT_TABLE, table).text(RULE_CHAIN, chain);
        let found = self.netlink.ask(request(RULE_GET, FLAG_DUMP, family, list), &mut |reply| {
            let list = attributes_of(&reply);
            let ours = family_of(&reply) == Some(family)
                && text(list, OBJECT_TABLE) == Some(table)
                && text(list, RULE_CHAIN) == Some(chain);
            rules.extend(ours.then(|| found_rule(list)));
        });
        absent(found).map(|_| rules)
    }

    /// Creates or replaces the table. With a `generation_id`, fails with `ERESTART` if the ruleset changed since.
    pub(super) fn write(
        &mut self,
        chains: &[Chain],
        generation: u64,
        generation_id: Option<GenerationId>,
    ) -> Result<(), NetlinkRefusal> {
        let table = self.table;
        let name = || Attributes::new().text(OBJECT_TABLE, table);
        // Creating it first makes the deletion succeed.
        let mut messages = vec![
            request(TABLE_NEW, FLAG_CREATE, FAMILY_INET, name()),
            request(TABLE_DELETE, 0, FAMILY_INET, name()),
            request(TABLE_NEW, FLAG_CREATE, FAMILY_INET, name()),
        ];
        messages.extend(chains.iter().map(|chain| chain_message(table, chain)));
        for chain in chains {
            messages.extend(chain.rules.iter().map(|rule| rule_message(table, chain.name, rule, generation)));
        }
        self.batch(messages, generation_id)
    }

    /// Deletes the table; `ENOENT` if there is none.
    pub(super) fn delete(&mut self) -> Result<(), NetlinkRefusal> {
        let name = Attributes::new().text(OBJECT_TABLE, self.table);
        self.batch(vec![request(TABLE_DELETE, 0, FAMILY_INET, name)], None)
    }

    /// Deletes one rule of iptables' IPv4 `table`.
    pub(super) fn delete_iptables_rule(&mut self, table: &str, chain: &str, handle: u64) -> Result<(), NetlinkRefusal> {
        let list = Attributes::new().text(OBJECT_TABLE, table).text(RULE_CHAIN, chain).long(RULE_HANDLE, handle);
        self.batch(vec![request(RULE_DELETE, 0, FAMILY_V4, list)], None)
    }

    /// Applies all of `messages` or none. The last one requests an ACK; the batch markers can't before Linux 6.10.
    fn batch(
        &mut self,
        mut messages: Vec<NetlinkMessage>,
        generation_id: Option<GenerationId>,
    ) -> Result<(), NetlinkRefusal> {
        if let Some(last) = messages.last_mut() {
            last.flags |= FLAG_ACK;
        }
        let guard = generation_id
            .map_or_else(Attributes::new, |generation_id| Attributes::new().number(BATCH_GENERATION, generation_id.0));
        messages.insert(0, batch_marker(BATCH_BEGIN, guard));
        messages.push(batch_marker(BATCH_END, Attributes::new()));
        for message in &mut messages {
            message.flags |= FLAG_REQUEST;
        }
        self.netlink.batch(&messages)
    }
}

fn request(kind: u8, flags: u16, family: u8, list: Attributes) -> NetlinkMessage {
    netfilter::request(NFTABLES, kind, flags, family, list)
}

/// The first or last message of a batch, which names the subsystem.
fn batch_marker(kind: u16, list: Attributes) -> NetlinkMessage {
    NetlinkMessage::new(kind, 0, &[0, 0, 0, NFTABLES], list)
}

fn chain_message(table: &str, chain: &Chain) -> NetlinkMessage {
    let hook = Attributes::new().number(HOOK_NUMBER, chain.hook.number());
    let hook = hook.number(HOOK_PRIORITY, chain.priority.cast_unsigned());
    let list = Attributes::new().text(OBJECT_TABLE, table).text(CHAIN_NAME, chain.name).nest(CHAIN_HOOK, hook);
    let list = list.number(CHAIN_POLICY, POLICY_ACCEPT).text(CHAIN_TYPE, chain.kind.word());
    request(CHAIN_NEW, FLAG_CREATE, FAMILY_INET, list)
}

fn rule_message(table: &str, chain: &str, rule: &Rule, generation: u64) -> NetlinkMessage {
    let list = Attributes::new().text(OBJECT_TABLE, table).text(RULE_CHAIN, chain);
    let list = list.nest(RULE_EXPRESSIONS, codec::write(&rule.expressions()));
    let list = match rule.comment(generation) {
        Some(comment) => list.bytes(RULE_USERDATA, &codec::comment(&comment)),
        None => list,
    };
    request(RULE_NEW, FLAG_CREATE | FLAG_APPEND, FAMILY_INET, list)
}

fn found_rule(list: &[u8]) -> FoundRule {
    let expressions = attribute(list, RULE_EXPRESSIONS).unwrap_or_default();
    let (bytes, packets) = codec::counted(expressions).unwrap_or_default();
    FoundRule {
        handle: long(list, RULE_HANDLE).unwrap_or_default(),
        expressions: codec::read(expressions),
        count: Count { packets, bytes },
        comment: attribute(list, RULE_USERDATA).and_then(codec::read_comment),
    }
}

/// Whether the requested object doesn't exist.
fn absent(answer: Result<(), Errno>) -> Result<bool, Errno> {
    match answer {
        Ok(()) => Ok(false),
        Err(Errno::NOENT) => Ok(true),
        Err(cause) => Err(cause),
    }
}
