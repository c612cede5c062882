//! The `nat` table of the older iptables, which keeps its rules outside nf_tables, as the kernel hands it out
//! (linux/netfilter_ipv4/ip_tables.h, x_tables.h): entries back to back, each an address test, matches and a target.
//!
//! Reading never trusts a length; what can't be followed to its end is `None`. Numbers are in the machine's own order
//! unless they come from the network.

use std::net::Ipv4Addr;

use super::expression::Relation;
use super::interfaces::InterfacePattern;
use super::leftover::{self, Backend, OldRule};

/// `sizeof(struct ipt_entry)`, and where in it things stand.
const ENTRY_BYTES: usize = 112;
const DESTINATION_AT: usize = 4;
const DESTINATION_MASK_AT: usize = 12;
const INTERFACE_AT: usize = 16;
const INTERFACE_MASK_AT: usize = 48;
const INTERFACE_BYTES: usize = 16;
const INVERTED_AT: usize = 83;
const TARGET_OFFSET_AT: usize = 88;
const NEXT_OFFSET_AT: usize = 90;
/// `IPT_INV_VIA_IN` and `IPT_INV_DSTIP`.
const INVERTED_INTERFACE: u8 = 0x01;
const INVERTED_DESTINATION: u8 = 0x10;
/// `struct xt_entry_match` and `xt_entry_target` begin alike: size (2), name (29), revision (1).
const EXTENSION_BYTES: usize = 32;
const NAME_AT: usize = 2;
const REVISION_AT: usize = 31;
/// Built-in hooks of iptables; the first is PREROUTING.
pub const HOOKS: usize = 5;
const PREROUTING: usize = 0;

/// The table as `IPT_SO_GET_INFO` and `IPT_SO_GET_ENTRIES` give it and `IPT_SO_SET_REPLACE` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyTable {
    pub valid_hooks: u32,
    /// Offset of each hook's first entry.
    pub hook_entry: [u32; HOOKS],
    /// Offset of each hook's policy, its last entry.
    pub underflow: [u32; HOOKS],
    pub count: u32,
    pub entries: Vec<u8>,
}

/// An old rule and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyRule {
    pub rule: OldRule,
    /// Its place among all entries, and its bytes.
    pub index: usize,
    offset: usize,
    length: usize,
}

/// kube2iam's rules in PREROUTING.
pub fn old_rules(table: &LegacyTable, metadata: &[Ipv4Addr]) -> Option<Vec<LegacyRule>> {
    let from = usize::try_from(table.hook_entry[PREROUTING]).ok()?;
    let to = usize::try_from(table.underflow[PREROUTING]).ok()?;
    let mut rules = Vec::new();
    for (index, (offset, entry)) in walk(&table.entries)?.into_iter().enumerate() {
        let rule = if (from..to).contains(&offset) { old_rule(entry, metadata) } else { None };
        rules.extend(rule.map(|rule| LegacyRule { rule, index, offset, length: entry.len() }));
    }
    Some(rules)
}

/// The table less one rule of PREROUTING: what comes after it moves up, and so does every offset that points there.
pub fn without(table: &LegacyTable, rule: &LegacyRule) -> Option<LegacyTable> {
    let (from, length) = (u32::try_from(rule.offset).ok()?, u32::try_from(rule.length).ok()?);
    let moved = |offset: u32| if offset > from { offset - length } else { offset };
    let mut entries = Vec::with_capacity(table.entries.len());
    for (offset, entry) in walk(&table.entries)? {
        if offset == rule.offset {
            continue;
        }
        let start = entries.len();
        entries.extend_from_slice(entry);
        if let Some((at, target)) = jump(entry) {
            let target = moved(target).to_ne_bytes();
            entries.get_mut(start + at..start + at + 4)?.copy_from_slice(&target);
        }
    }
    Some(LegacyTable {
        valid_hooks: table.valid_hooks,
        hook_entry: table.hook_entry.map(moved),
        underflow: table.underflow.map(moved),
        count: table.count.checked_sub(1)?,
        entries,
    })
}

/// Every entry with its offset.
fn walk(entries: &[u8]) -> Option<Vec<(usize, &[u8])>> {
    let mut found = Vec::new();
    let mut offset = 0;
    while offset < entries.len() {
        let length = usize::from(leftover::native_u16(entries, offset + NEXT_OFFSET_AT)?);
        if length < ENTRY_BYTES {
            return None;
        }
        found.push((offset, entries.get(offset..offset + length)?));
        offset += length;
    }
    Some(found)
}

fn old_rule(entry: &[u8], metadata: &[Ipv4Addr]) -> Option<OldRule> {
    let destination = entry.get(DESTINATION_AT..DESTINATION_AT + 4)?;
    let mask = entry.get(DESTINATION_MASK_AT..DESTINATION_MASK_AT + 4)?;
    let inverted = *entry.get(INVERTED_AT)?;
    let (name, revision, info) = extension(target(entry)?)?;
    let metadata = metadata.iter().copied().find(|ip| destination == ip.octets())?;
    let ours = mask == [0xff; 4] && inverted & INVERTED_DESTINATION == 0;
    (ours && name == b"DNAT").then(|| OldRule {
        backend: Backend::Legacy,
        metadata,
        port: port(entry),
        target: leftover::dnat_target(u32::from(revision), info),
        interface: interface(entry, inverted),
    })
}

fn target(entry: &[u8]) -> Option<&[u8]> {
    entry.get(usize::from(leftover::native_u16(entry, TARGET_OFFSET_AT)?)..)
}

/// Name, revision and data of a match or a target.
fn extension(bytes: &[u8]) -> Option<(&[u8], u8, &[u8])> {
    let size = usize::from(leftover::native_u16(bytes, 0)?);
    let name = bytes.get(NAME_AT..REVISION_AT)?;
    let name = name.split(|byte| *byte == 0).next()?;
    Some((name, *bytes.get(REVISION_AT)?, bytes.get(EXTENSION_BYTES..size)?))
}

/// The one port its `tcp` match asks for.
fn port(entry: &[u8]) -> Option<u16> {
    let end = usize::from(leftover::native_u16(entry, TARGET_OFFSET_AT)?);
    let mut offset = ENTRY_BYTES;
    while offset < end {
        let bytes = entry.get(offset..end)?;
        let (name, _, info) = extension(bytes)?;
        if name == b"tcp" {
            return leftover::tcp_match_port(info);
        }
        offset += EXTENSION_BYTES + info.len();
    }
    None
}

/// A mask of ones as long as the compared bytes; it covers the final zero of a whole name.
fn interface(entry: &[u8], inverted: u8) -> Option<(Relation, InterfacePattern)> {
    let name = entry.get(INTERFACE_AT..INTERFACE_AT + INTERFACE_BYTES)?;
    let mask = entry.get(INTERFACE_MASK_AT..INTERFACE_MASK_AT + INTERFACE_BYTES)?;
    let compared = mask.iter().take_while(|byte| **byte != 0).count();
    let pattern = super::expression::interface_pattern(name.get(..compared)?)?;
    let relation = if inverted & INVERTED_INTERFACE == 0 { Relation::Equal } else { Relation::Different };
    Some((relation, pattern))
}

/// Where in the entry a jump to another chain has its offset, and that offset. Verdicts are negative.
fn jump(entry: &[u8]) -> Option<(usize, u32)> {
    let at = usize::from(leftover::native_u16(entry, TARGET_OFFSET_AT)?);
    let (name, _, info) = extension(entry.get(at..)?)?;
    let verdict = i32::from_ne_bytes(info.get(..4)?.try_into().ok()?);
    let offset = u32::try_from(verdict).ok()?;
    name.is_empty().then_some((at + EXTENSION_BYTES, offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::redirect::METADATA_V4;

    fn with_extension(entry: &mut Vec<u8>, name: &str, revision: u8, info: &[u8]) {
        let size = u16::try_from(EXTENSION_BYTES + info.len()).unwrap();
        entry.extend(size.to_ne_bytes());
        entry.extend(name.as_bytes());
        entry.extend(vec![0; 29 - name.len()]);
        entry.push(revision);
        entry.extend(info);
    }

    fn entry(destination: [u8; 4], interface: &str, matches: &[(&str, &[u8])], target: (&str, u8, &[u8])) -> Vec<u8> {
        let mut entry = vec![0; ENTRY_BYTES];
        entry[DESTINATION_AT..DESTINATION_AT + 4].copy_from_slice(&destination);
        if destination != [0; 4] {
            entry[DESTINATION_MASK_AT..DESTINATION_MASK_AT + 4].copy_from_slice(&[0xff; 4]);
        }
        entry[INTERFACE_AT..INTERFACE_AT + interface.len()].copy_from_slice(interface.as_bytes());
        entry[INTERFACE_MASK_AT..=INTERFACE_MASK_AT + interface.len()].fill(0xff);
        for (name, info) in matches {
            with_extension(&mut entry, name, 0, info);
        }
        let at = u16::try_from(entry.len()).unwrap();
        with_extension(&mut entry, target.0, target.1, target.2);
        let length = u16::try_from(entry.len()).unwrap();
        entry[TARGET_OFFSET_AT..TARGET_OFFSET_AT + 2].copy_from_slice(&at.to_ne_bytes());
        entry[NEXT_OFFSET_AT..NEXT_OFFSET_AT + 2].copy_from_slice(&length.to_ne_bytes());
        entry
    }

    fn verdict(verdict: i32) -> Vec<u8> {
        let mut info = verdict.to_ne_bytes().to_vec();
        info.extend([0; 4]);
        entry([0; 4], "", &[], ("", 0, &info))
    }

    fn kube2iam() -> Vec<u8> {
        let mut tcp = Vec::new();
        for port in [0u16, 65_535, 80, 80] {
            tcp.extend(port.to_ne_bytes());
        }
        tcp.extend([0; 8]);
        let mut range = vec![0; 44];
        range[4..8].copy_from_slice(&[10, 0, 0, 1]);
        range[36..38].copy_from_slice(&8181u16.to_be_bytes());
        entry([169, 254, 169, 254], "docker0", &[("tcp", &tcp)], ("DNAT", 2, &range))
    }

    /// PREROUTING: a jump to the chain at the end, kube2iam's rule, the policy; then that chain: one return.
    fn table() -> LegacyTable {
        let (jump_bytes, ours, policy) = (verdict(0).len(), kube2iam().len(), verdict(-2).len());
        let chain = jump_bytes + ours + policy;
        let entries = [verdict(i32::try_from(chain).unwrap()), kube2iam(), verdict(-2), verdict(-5)].concat();
        let at = |offset: usize| u32::try_from(offset).unwrap();
        LegacyTable {
            valid_hooks: 1,
            hook_entry: [0; HOOKS],
            underflow: [at(jump_bytes + ours), 0, 0, 0, 0],
            count: 4,
            entries,
        }
    }

    #[test]
    fn kube2iams_rule_is_found_and_named() {
        let rules = old_rules(&table(), &[METADATA_V4]).unwrap();
        assert_eq!(rules.len(), 1);
        assert_eq!(rules[0].index, 1);
        assert_eq!(
            rules[0].rule.deletion(),
            "iptables-legacy -t nat -D PREROUTING -p tcp -d 169.254.169.254 --dport 80 -i docker0 -j DNAT --to-destination 10.0.0.1:8181"
        );
        assert_eq!(old_rules(&table(), &[[10, 0, 0, 9].into()]), Some(vec![]));
    }

    #[test]
    fn taking_it_out_moves_what_points_behind_it() {
        let table = table();
        let rule = old_rules(&table, &[METADATA_V4]).unwrap().remove(0);
        let rest = without(&table, &rule).unwrap();
        let entry_bytes = verdict(0).len();
        let chain = i32::try_from(2 * entry_bytes).unwrap();
        assert_eq!(rest.entries, [verdict(chain), verdict(-2), verdict(-5)].concat());
        assert_eq!(rest.underflow[0], u32::try_from(entry_bytes).unwrap());
        assert_eq!((rest.count, rest.hook_entry), (3, [0; HOOKS]));
        assert_eq!(old_rules(&rest, &[METADATA_V4]), Some(vec![]));
    }

    #[test]
    fn no_cut_and_no_flipped_byte_makes_the_reader_panic() {
        let whole = table();
        for length in 0..whole.entries.len() {
            let cut = LegacyTable { entries: whole.entries[..length].to_vec(), ..whole.clone() };
            let _ = old_rules(&cut, &[METADATA_V4]);
        }
        for at in 0..whole.entries.len() {
            let mut bent = whole.clone();
            bent.entries[at] ^= 0xff;
            for rule in old_rules(&bent, &[METADATA_V4]).unwrap_or_default() {
                let _ = without(&bent, &rule);
            }
        }
    }
}
