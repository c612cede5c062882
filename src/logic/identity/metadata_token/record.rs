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
mod tests;
