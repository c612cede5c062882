//! IMDSv2 session tokens: stateless, ours, and good for one pod only.
//!
//! A token says who it is for (the pod's uid, or the address that asked while the pod wasn't known), when it ends
//! and under which key it was made, and proves it by a MAC. Nothing is remembered per token; keys rotate, the
//! last two are valid, so a token lives through a rotation.

use std::net::IpAddr;
use std::time::Duration;

use ring::hmac;

use super::time::Wall;

/// Whom a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bearer<'a> {
    Pod(&'a str),
    Address(IpAddr),
}

/// The keys under which tokens are made and read.
#[derive(Clone)]
pub struct TokenKeys {
    current: Key,
    previous: Option<Key>,
}

#[derive(Clone)]
struct Key {
    id: u32,
    mac: hmac::Key,
    since: Wall,
}

impl TokenKeys {
    /// Starts with one key of 32 random bytes.
    pub fn new(secret: &[u8; 32], now: Wall) -> Self {
        Self { current: Key::new(secret, now), previous: None }
    }

    /// Whether the current key has served its time.
    pub fn is_rotation_due(&self, now: Wall) -> bool {
        now.since(self.current.since) >= ROTATION || now < self.current.since.before(ROTATION)
    }

    /// Puts a new key in front; what it replaces stays valid until the next rotation.
    pub fn rotate(&mut self, secret: &[u8; 32], now: Wall) {
        let retired = std::mem::replace(&mut self.current, Key::new(secret, now));
        self.previous = Some(retired);
    }

    /// A token for `bearer` that lives `ttl_s` seconds from `now`.
    pub fn issue(&self, bearer: Bearer<'_>, ttl_s: u32, now: Wall) -> String {
        let mut token = [0; TOKEN_BYTES];
        let expiry = now.after(Duration::from_secs(u64::from(ttl_s))).unix_millis();
        token[0] = bearer.kind();
        token[1..5].copy_from_slice(&self.current.id.to_be_bytes());
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
        let id = u32::from_be_bytes(claim[1..5].try_into().ok()?);
        let key = [Some(&self.current), self.previous.as_ref()].into_iter().flatten().find(|key| key.id == id)?;
        hmac::verify(&key.mac, &signed(claim, bearer), tag).ok()?;
        let expiry = Wall::from_unix_millis(i64::from_be_bytes(claim[5..13].try_into().ok()?));
        (now < expiry).then(|| expiry.since(now))
    }
}

impl Key {
    fn new(secret: &[u8; 32], since: Wall) -> Self {
        let mac = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let fingerprint = hmac::sign(&mac, b"key id");
        let id = u32::from_be_bytes([
            fingerprint.as_ref()[0],
            fingerprint.as_ref()[1],
            fingerprint.as_ref()[2],
            fingerprint.as_ref()[3],
        ]);
        Self { id, mac, since }
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
    for (four, three) in text.chunks_exact(4).zip(bytes.chunks_exact_mut(3)) {
        let mut bits = 0;
        for letter in four {
            bits = bits << 6 | u32::try_from(ALPHABET.iter().position(|known| known == letter)?).ok()?;
        }
        three.copy_from_slice(&bits.to_be_bytes()[1..]);
    }
    Some(bytes)
}

const POD: u8 = 1;
const ADDRESS: u8 = 2;
/// Kind, key id, expiry in milliseconds since the epoch.
const CLAIM_BYTES: usize = 1 + 4 + 8;
/// The claim and a tag of 32 bytes: 45, which base64 turns into 60 characters without padding.
const TOKEN_BYTES: usize = CLAIM_BYTES + 32;
/// Six hours, as on EC2.
pub const LONGEST_TTL_S: u32 = 21_600;
/// How long a key makes tokens; twice the longest life of a token, so a token never outlives its key.
const ROTATION: Duration = Duration::from_secs(12 * 3_600);
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const NOON: Wall = Wall::from_unix_seconds(1_800_000_000);
    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 8));

    fn keys() -> TokenKeys {
        TokenKeys::new(&[7; 32], NOON)
    }

    #[test]
    fn a_token_is_good_for_its_pod_at_any_of_its_addresses_until_it_ends() {
        let token = keys().issue(Bearer::Pod("uid-1"), 60, NOON);
        let check = |uid, millis| {
            keys().check(token.as_bytes(), OTHER, uid, Wall::from_unix_millis(NOON.unix_millis() + millis))
        };
        assert_eq!(check(Some("uid-1"), 0), Some(Duration::from_secs(60)));
        assert_eq!(check(Some("uid-1"), 59_999), Some(Duration::from_millis(1)));
        assert_eq!(check(Some("uid-1"), 60_000), None);
        assert_eq!(check(Some("uid-2"), 0), None);
        assert_eq!(check(None, 0), None);
    }

    #[test]
    fn a_token_of_an_unknown_pod_is_good_for_its_address() {
        let token = keys().issue(Bearer::Address(PEER), 60, NOON);
        assert!(keys().check(token.as_bytes(), PEER, None, NOON).is_some());
        assert!(keys().check(token.as_bytes(), PEER, Some("uid-1"), NOON).is_some());
        assert!(keys().check(token.as_bytes(), OTHER, Some("uid-1"), NOON).is_none());
    }

    #[test]
    fn no_changed_token_passes() {
        let token = keys().issue(Bearer::Address(PEER), 60, NOON).into_bytes();
        for place in 0..token.len() {
            let mut forged = token.clone();
            forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
            assert!(keys().check(&forged, PEER, None, NOON).is_none(), "{place}");
        }
        for forged in [b"".as_slice(), b"x", &token[1..], &[token.as_slice(), b"A"].concat(), &[0xff; 60]] {
            assert!(keys().check(forged, PEER, None, NOON).is_none());
        }
    }

    #[test]
    fn tokens_live_through_one_rotation_and_a_restart_with_the_same_key() {
        let mut keys = keys();
        let token = keys.issue(Bearer::Address(PEER), LONGEST_TTL_S, NOON);
        assert!(self::keys().check(token.as_bytes(), PEER, None, NOON).is_some());
        assert!(!keys.is_rotation_due(NOON.after(ROTATION - Duration::from_secs(1))));
        assert!(keys.is_rotation_due(NOON.after(ROTATION)));
        keys.rotate(&[8; 32], NOON);
        assert!(keys.check(token.as_bytes(), PEER, None, NOON).is_some());
        keys.rotate(&[9; 32], NOON);
        assert!(keys.check(token.as_bytes(), PEER, None, NOON).is_none());
    }

    #[test]
    fn ttls_are_one_second_to_six_hours() {
        for (header, ttl) in [
            (Some("1"), Some(1)),
            (Some("21600"), Some(21_600)),
            (Some(" 60 "), Some(60)),
            (Some("0"), None),
            (Some("21601"), None),
            (Some("-1"), None),
            (Some("+1"), None),
            (Some("1.5"), None),
            (Some(""), None),
            (Some("99999999999"), None),
            (None, None),
        ] {
            assert_eq!(parse_ttl(header.map(str::as_bytes)), ttl, "{header:?}");
        }
    }
}
