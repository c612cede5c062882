//! IMDSv2 session tokens: stateless, issued by the agent, and valid for one pod only.
//!
//! A token contains its bearer (the pod's UID, or the source address while the pod wasn't known), its expiry and the
//! ID of its key, authenticated by a MAC. No state is kept per token. Keys rotate and the last two are valid, so a
//! token survives a rotation. A [`record`] passes the keys from one agent to the next.

mod record;

use std::net::IpAddr;
use std::time::Duration;

use ring::hmac;

use crate::logic::base::secret::Secret;
use crate::logic::base::time::Wall;

pub use record::LONGEST_RECORD;

/// The pod or address that a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bearer<'a> {
    Pod(&'a str),
    Address(IpAddr),
}

impl Bearer<'_> {
    /// The lifetime of a token for this bearer when a client asks for `asked_s` seconds. Addresses move between pods,
    /// so a token for an address must expire soon after its pod.
    pub fn grant_ttl_s(self, asked_s: u32) -> u32 {
        match self {
            Self::Pod(_) => asked_s,
            Self::Address(_) => asked_s.min(LONGEST_ADDRESS_TTL_S),
        }
    }
}

/// The keys that sign and verify tokens.
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
    /// Starts with one key from 32 random bytes.
    pub fn new(secret: &[u8; 32], now: Wall) -> Self {
        Self { current: MacKey::new(secret, now), previous: None }
    }

    /// Whether the current key is due for rotation.
    pub fn is_rotation_due(&self, now: Wall) -> bool {
        now.since(self.current.since) >= ROTATION || now < self.current.since.before(ROTATION)
    }

    /// Makes a new key the current one; the replaced key stays valid until the next rotation.
    pub fn rotate(&mut self, secret: &[u8; 32], now: Wall) {
        let retired = std::mem::replace(&mut self.current, MacKey::new(secret, now));
        self.previous = Some(retired);
    }

    /// Issues a token for `bearer` that is valid for `ttl_s` seconds from `now`.
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

    /// The remaining lifetime of a token from this address, and pod if known; `None` if the token is invalid.
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

    /// Whether `token` has the agent's format, but was made with a key that isn't among these.
    pub fn lacks_key_of(&self, token: &[u8]) -> bool {
        read_base64_url(token).is_some_and(|token| self.all().all(|key| key.id != key_id(&token)))
    }

    /// Whether `token` claims to be a pod's, unexpired and made with one of these keys. It can be verified only once
    /// the pod is known.
    pub fn may_be_of_pod(&self, token: &[u8], now: Wall) -> bool {
        read_base64_url(token).is_some_and(|token| {
            let is_ours = self.all().any(|key| key.id == key_id(&token));
            token[0] == POD && is_ours && expiry(&token).is_some_and(|expiry| now < expiry)
        })
    }

    /// Whether `held` lacks the current key of these.
    pub fn is_ahead_of(&self, held: &Self) -> bool {
        held.all().all(|key| key.id != self.current.id)
    }

    /// Whether `token` looks like a session token that none of these keys made, such as one from the real metadata
    /// service or from an agent whose keys were lost. It proves nothing: where tokens are optional the request counts
    /// as one without a token, which any client may send. A token that names one of these keys and fails
    /// [`TokenKeys::check`] is forged, truncated, expired or another pod's.
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

/// The ID of the key that a token of any length would name in the agent's format.
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

/// The bytes under the MAC. The claim has a fixed length, so the bearer's bytes can't be confused with it.
fn signed(claim: &[u8], bearer: Bearer<'_>) -> Vec<u8> {
    let mut bytes = claim.to_vec();
    match bearer {
        Bearer::Pod(uid) => bytes.extend_from_slice(uid.as_bytes()),
        Bearer::Address(IpAddr::V4(address)) => bytes.extend_from_slice(&address.octets()),
        Bearer::Address(IpAddr::V6(address)) => bytes.extend_from_slice(&address.octets()),
    }
    bytes
}

/// Parses the TTL header of a token request: 1..=21600 seconds.
pub fn parse_ttl(header: Option<&[u8]>) -> Option<u32> {
    let text = std::str::from_utf8(header?).ok()?.trim();
    let plain = !text.is_empty() && text.len() <= 6 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|ttl| plain && (1..=LONGEST_TTL_S).contains(ttl))
}

/// Base64 for URLs without padding (RFC 4648, section 5). The length of a token is a multiple of three.
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

/// Decodes groups of four letters into groups of three bytes.
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

/// The six bits of a letter, in either base64 alphabet (RFC 4648, sections 4 and 5).
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
/// Kind, key ID, and expiry in milliseconds since the Unix epoch.
const CLAIM_BYTES: usize = 1 + 4 + 8;
/// The claim and a 32-byte tag: 45 bytes, which base64 encodes as 60 characters without padding.
const TOKEN_BYTES: usize = CLAIM_BYTES + 32;
const KEY_ID: std::ops::Range<usize> = 1..5;
/// Letters of the shortest text that may be a token of the real service: those have 44 and more.
const SHORTEST_TOKEN: usize = 40;
/// Six hours, as on EC2.
pub const LONGEST_TTL_S: u32 = 21_600;
/// By then the pod is known, or it isn't on this node.
const LONGEST_ADDRESS_TTL_S: u32 = 60;
/// How long a key issues tokens: twice the longest token lifetime, so that a token never outlives its key.
const ROTATION: Duration = Duration::from_secs(12 * 3_600);
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[cfg(test)]
mod tests;
