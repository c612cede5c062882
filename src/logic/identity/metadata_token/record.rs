//! The record that passes token keys from one agent to the next: a line with the format version, then one line per
//! key, the current key first, with its secret in hexadecimal digits and the start of its use in milliseconds since
//! the Unix epoch.
//!
//! A record is accepted as a whole or rejected.

use zeroize::Zeroizing;

use super::{MacKey, TokenKeys};
use crate::logic::base::secret::Secret;
use crate::logic::base::time::Wall;

impl TokenKeys {
    /// The record of these keys.
    pub fn to_record(&self) -> Secret<String> {
        // Allocated in full, so that no secret is left behind in a smaller buffer.
        let mut record = String::with_capacity(LONGEST_RECORD);
        record.push_str(FORM);
        for key in self.all() {
            for byte in key.secret.expose() {
                record.push(digit(byte >> 4));
                record.push(digit(byte & 0xf));
            }
            record.push_str(&format!(" {}\n", key.since.unix_millis()));
        }
        Secret::new(record)
    }

    /// Parses a record; `None` if it is malformed.
    pub fn from_record(text: &str) -> Option<Self> {
        let mut keys = text.strip_prefix(FORM)?.split_terminator('\n');
        let current = read_key(keys.next()?)?;
        let previous = keys.next().map(|line| read_key(line).ok_or(())).transpose().ok()?;
        keys.next().is_none().then_some(Self { current, previous })
    }
}

fn read_key(line: &str) -> Option<MacKey> {
    let (digits, since) = line.split_once(' ')?;
    let mut secret = Zeroizing::new([0; 32]);
    if digits.len() != 2 * secret.len() {
        return None;
    }
    for (pair, byte) in digits.as_bytes().chunks_exact(2).zip(secret.iter_mut()) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(MacKey::new(&secret, Wall::from_unix_millis(since.parse().ok()?)))
}

fn digit(value: u8) -> char {
    char::from(DIGITS[usize::from(value)])
}

fn value(digit: u8) -> Option<u8> {
    DIGITS.iter().position(|known| *known == digit).and_then(|value| u8::try_from(value).ok())
}

const FORM: &str = "kube2iam token keys 1\n";
const DIGITS: &[u8; 16] = b"0123456789abcdef";
/// Limit in bytes: the version line and two keys of at most 85 characters each.
pub const LONGEST_RECORD: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::identity::metadata_token::Bearer;
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    const NOON: Wall = Wall::from_unix_seconds(1_800_000_000);
    const PEER: Bearer<'_> = Bearer::Address(IpAddr::V4(Ipv4Addr::LOCALHOST));

    #[test]
    fn a_record_restores_both_keys_and_their_times() {
        let mut keys = TokenKeys::new(&[0xa5; 32], NOON);
        let early = keys.issue(PEER, 60, NOON);
        let one = keys.to_record();
        let later = NOON.after(Duration::from_secs(30));
        keys.rotate(&[8; 32], later);
        let two = keys.to_record();
        assert!(two.expose().len() <= LONGEST_RECORD);
        for (record, rotated_at) in [(one, NOON), (two, later)] {
            let read = TokenKeys::from_record(record.expose()).unwrap();
            assert_eq!(read.to_record(), record);
            assert!(read.check(early.as_bytes(), Ipv4Addr::LOCALHOST.into(), None, NOON).is_some());
            let due = rotated_at.after(Duration::from_secs(12 * 3_600));
            assert!(read.is_rotation_due(due) && !read.is_rotation_due(due.before(Duration::from_millis(1))));
        }
    }

    #[test]
    fn malformed_key_records_are_rejected() {
        let record = TokenKeys::new(&[7; 32], NOON).to_record();
        let record = record.expose();
        let (form, key) = record.split_once('\n').unwrap();
        for text in [
            String::new(),
            "\0".repeat(150),
            form.to_owned(),
            format!("{form}\n"),
            key.to_owned(),
            record.replace("07", "0g"),
            record.replace(' ', ""),
            format!("{form}\n{}", &key[1..]),
            format!("{form}\n0{key}"),
            format!("{form}\n{key}{key}{key}"),
            format!("{form}\n{key}garbage\n"),
            format!("{form}\n\n{key}"),
            record.replace(" 1", " 9999999999999999999"),
        ] {
            assert!(TokenKeys::from_record(&text).is_none(), "{text:?}");
        }
    }
}
