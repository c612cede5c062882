//! IMDSv2 session tokens: stateless, ours, and good for one pod only.
//!
//! A token says who it is for (the pod's uid, or the address that asked while the pod wasn't known), when it ends
//! and under which key it was made, and proves it by a MAC. Nothing is remembered per token; keys rotate, the
//! last two are valid, so a token lives through a rotation. As a [`record`] they go from one agent to the next.

mod record;

use std::net::IpAddr;
use std::time::Duration;

use ring::hmac;

use crate::logic::base::secret::Secret;
use crate::logic::base::time::Wall;

pub use record::LONGEST_RECORD;

/// Whom a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bearer<'a> {
    Pod(&'a str),
    Address(IpAddr),
}

impl Bearer<'_> {
    /// How long a token for this bearer lives when it was asked for `asked_s` seconds. Addresses go from pod to pod: a
    /// token that is good for whichever pod has this one must not outlive its pod for long.
    pub fn grant_ttl_s(self, asked_s: u32) -> u32 {
        match self {
            Self::Pod(_) => asked_s,
            Self::Address(_) => asked_s.min(LONGEST_ADDRESS_TTL_S),
        }
    }
}

/// The keys under which tokens are made and read.
#[derive(Clone)]
pub struct TokenKeys {
    current: MacKey,
    previous: Option<MacKey>,
}

#[derive(Clone)]
struct MacKey {
    id: u32,
    secret: Secret<[u8; 32]>,
    mac: hmac::Key,
    since: Wall,
}

impl TokenKeys {
    /// Starts with one key of 32 random bytes.
    pub fn new(secret: &[u8; 32], now: Wall) -> Self {
        Self { current: MacKey::new(secret, now), previous: None }
    }

    /// Whether the current key has served its time.
    pub fn is_rotation_due(&self, now: Wall) -> bool {
        now.since(self.current.since) >= ROTATION || now < self.current.since.before(ROTATION)
    }

    /// Puts a new key in front; what it replaces stays valid until the next rotation.
    pub fn rotate(&mut self, secret: &[u8; 32], now: Wall) {
        let retired = std::mem::replace(&mut self.current, MacKey::new(secret, now));
        self.previous = Some(retired);
    }

    /// A token for `bearer` that lives `ttl_s` seconds from `now`.
    pub fn issue(&self, bearer: Bearer<'_>, ttl_s: u32, now: Wall) -> String {
        let mut token = [0; TOKEN_BYTES];
        let expiry = now.after(Duration::from_secs(u64::from(ttl_s))).unix_millis();
        token[0] = bearer.kind();
        token[KEY_ID].copy_from_slice(&self.current.id.to_be_bytes());
        token[5..13].copy_from_slice(&expiry.to_be_bytes());
        let tag = self.current.tag(&token[..CLAIM_BYTES], bearer);
        token[CLAIM_BYTES..].copy_from_slice(tag.as_ref());
        base64_url(&token)
    }

    /// How long a token is still good for the peer, known by its address and perhaps by its pod; `None`: it isn't.
    pub fn check(&self, token: &[u8], peer: IpAddr, pod_uid: Option<&str>, now: Wall) -> Option<Duration> {
        let token = read_base64_url(token)?;
        let bearer = match (token[0], pod_uid) {
            (POD, Some(uid)) => Bearer::Pod(uid),
            (ADDRESS, _) => Bearer::Address(peer),
            _ => return None,
        };
        let (claim, tag) = token.split_at(CLAIM_BYTES);
        let key = self.all().find(|key| key.id == key_id(&token))?;
        hmac::verify(&key.mac, &signed(claim, bearer), tag).ok()?;
        let expiry = expiry(claim)?;
        (now < expiry).then(|| expiry.since(now))
    }

    /// Whether `token` has the form of ours, but was made under a key that isn't among these.
    pub fn lacks_key_of(&self, token: &[u8]) -> bool {
        read_base64_url(token).is_some_and(|token| self.all().all(|key| key.id != key_id(&token)))
    }

    /// Whether `token` claims to be a pod's, of one of these keys and not yet expired: only who knows the pod can check it.
    pub fn may_be_of_pod(&self, token: &[u8], now: Wall) -> bool {
        read_base64_url(token).is_some_and(|token| {
            let is_ours = self.all().any(|key| key.id == key_id(&token));
            token[0] == POD && is_ours && expiry(&token).is_some_and(|expiry| now < expiry)
        })
    }

    /// Whether the key that makes tokens here is one that `held` lacks.
    pub fn is_ahead_of(&self, held: &Self) -> bool {
        held.all().all(|key| key.id != self.current.id)
    }

    /// Whether `token` has the form of a session token but none of these keys made it, as one of the real metadata
    /// service or of an agent whose keys are lost. That proves nothing: where tokens are optional it counts as none,
    /// which is what anyone may send. What names one of these keys and doesn't pass [`TokenKeys::check`] is forged,
    /// cut off, expired or another pod's.
    pub fn is_foreign(&self, token: &[u8]) -> bool {
        let bare = token.strip_suffix(b"==").or_else(|| token.strip_suffix(b"=")).unwrap_or(token);
        let is_token = token.len() >= SHORTEST_TOKEN
            && token.len().is_multiple_of(4)
            && bare.iter().all(|letter| sextet(*letter).is_some());
        is_token && named_key(bare).is_none_or(|id| self.all().all(|key| key.id != id))
    }

    fn all(&self) -> impl Iterator<Item = &MacKey> {
        [Some(&self.current), self.previous.as_ref()].into_iter().flatten()
    }
}

impl MacKey {
    fn new(secret: &[u8; 32], since: Wall) -> Self {
        let mac = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let fingerprint = hmac::sign(&mac, b"key id");
        let id = u32::from_be_bytes([
            fingerprint.as_ref()[0],
            fingerprint.as_ref()[1],
            fingerprint.as_ref()[2],
            fingerprint.as_ref()[3],
        ]);
        Self { id, secret: Secret::new(*secret), mac, since }
    }

    fn tag(&self, claim: &[u8], bearer: Bearer<'_>) -> hmac::Tag {
        hmac::sign(&self.mac, &signed(claim, bearer))
    }
}

impl Bearer<'_> {
    const fn kind(self) -> u8 {
        match self {
            Self::Pod(_) => POD,
            Self::Address(_) => ADDRESS,
        }
    }
}

/// The key that a token of any length names, if it is one of ours.
fn named_key(letters: &[u8]) -> Option<u32> {
    let mut head = [0; KEY_ID.end.next_multiple_of(3)];
    decode(letters.get(..head.len() / 3 * 4)?, &mut head)?;
    head[KEY_ID].try_into().ok().map(u32::from_be_bytes)
}

fn key_id(token: &[u8; TOKEN_BYTES]) -> u32 {
    u32::from_be_bytes([token[1], token[2], token[3], token[4]])
}

fn expiry(claim: &[u8]) -> Option<Wall> {
    Some(Wall::from_unix_millis(i64::from_be_bytes(claim.get(5..CLAIM_BYTES)?.try_into().ok()?)))
}

/// The bytes under the MAC: the claim has a fixed length, so what follows can't be mistaken for a part of it.
fn signed(claim: &[u8], bearer: Bearer<'_>) -> Vec<u8> {
    let mut bytes = claim.to_vec();
    match bearer {
        Bearer::Pod(uid) => bytes.extend_from_slice(uid.as_bytes()),
        Bearer::Address(IpAddr::V4(address)) => bytes.extend_from_slice(&address.octets()),
        Bearer::Address(IpAddr::V6(address)) => bytes.extend_from_slice(&address.octets()),
    }
    bytes
}

/// Reads the TTL header of a token request: 1..=21600 seconds.
pub fn parse_ttl(header: Option<&[u8]>) -> Option<u32> {
    let text = std::str::from_utf8(header?).ok()?.trim();
    let plain = !text.is_empty() && text.len() <= 6 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|ttl| plain && (1..=LONGEST_TTL_S).contains(ttl))
}

/// Base64 for URLs without padding (RFC 4648, section 5). The length of a token makes it come out even.
fn base64_url(bytes: &[u8; TOKEN_BYTES]) -> String {
    let group = |three: &[u8]| {
        let bits = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
        [18, 12, 6, 0].map(|shift| char::from(ALPHABET[(bits >> shift & 63) as usize]))
    };
    bytes.chunks_exact(3).flat_map(group).collect()
}

fn read_base64_url(text: &[u8]) -> Option<[u8; TOKEN_BYTES]> {
    if text.len() != TOKEN_BYTES / 3 * 4 {
        return None;
    }
    let mut bytes = [0; TOKEN_BYTES];
    let of_urls = !text.iter().any(|letter| matches!(letter, b'+' | b'/'));
    of_urls.then(|| decode(text, &mut bytes)).flatten().map(|()| bytes)
}

/// Turns groups of four letters into groups of three bytes.
fn decode(letters: &[u8], bytes: &mut [u8]) -> Option<()> {
    for (four, three) in letters.chunks_exact(4).zip(bytes.chunks_exact_mut(3)) {
        let mut bits = 0;
        for letter in four {
            bits = bits << 6 | sextet(*letter)?;
        }
        three.copy_from_slice(&bits.to_be_bytes()[1..]);
    }
    Some(())
}

/// The six bits that a letter stands for, in either alphabet of base64 (RFC 4648, sections 4 and 5).
fn sextet(letter: u8) -> Option<u32> {
    Some(match letter {
        b'A'..=b'Z' => u32::from(letter - b'A'),
        b'a'..=b'z' => u32::from(letter - b'a') + 26,
        b'0'..=b'9' => u32::from(letter - b'0') + 52,
        b'-' | b'+' => 62,
        b'_' | b'/' => 63,
        _ => return None,
    })
}

const POD: u8 = 1;
const ADDRESS: u8 = 2;
/// Kind, key id, expiry in milliseconds since the epoch.
const CLAIM_BYTES: usize = 1 + 4 + 8;
/// The claim and a tag of 32 bytes: 45, which base64 turns into 60 characters without padding.
const TOKEN_BYTES: usize = CLAIM_BYTES + 32;
const KEY_ID: std::ops::Range<usize> = 1..5;
/// Letters of the shortest text that can pass for a token of the real service: theirs have 44 and more.
const SHORTEST_TOKEN: usize = 40;
/// Six hours, as on EC2.
pub const LONGEST_TTL_S: u32 = 21_600;
/// By then the pod is known, or isn't one of the node's.
const LONGEST_ADDRESS_TTL_S: u32 = 60;
/// How long a key makes tokens; twice the longest life of a token, so a token never outlives its key.
const ROTATION: Duration = Duration::from_secs(12 * 3_600);
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[cfg(test)]
mod tests;
