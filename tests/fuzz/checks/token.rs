//! Session tokens: only what was issued is taken, from its bearer alone, under its key, up to its end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use kube2iam::for_tests::{Bearer, LONGEST_TTL_S, TokenKeys, Wall, parse_ttl};

/// A token, a TTL header or a record of keys; also what a token is made of: the bearer, its life and the key.
pub(crate) fn check(bytes: &[u8]) {
    let keys = TokenKeys::new(&[0x5a; 32], NOW);
    for peer in [V4, V6] {
        for uid in [None, Some("uid-1")] {
            assert_eq!(keys.check(bytes, peer, uid, NOW), None, "nobody issued {bytes:?}");
        }
    }
    if keys.is_foreign(bytes) {
        let is_letter = |b: &u8| b.is_ascii_alphanumeric() || b"+/-_=".contains(b);
        assert!(bytes.len() >= 40 && bytes.iter().all(is_letter), "{bytes:?} is no token");
    }
    ttl(bytes);
    record(bytes);
    let text = String::from_utf8_lossy(bytes);
    let ttl_s =
        1 + bytes.iter().fold(0, |sum: u32, byte| sum.wrapping_mul(31).wrapping_add((*byte).into())) % LONGEST_TTL_S;
    for bearer in [Bearer::Pod(&text), Bearer::Address(V4), Bearer::Address(V6)] {
        issued(bearer, ttl_s, &text);
    }
}

fn issued(bearer: Bearer<'_>, ttl_s: u32, text: &str) {
    let mut keys = TokenKeys::new(&[7; 32], NOW);
    let token = keys.issue(bearer, ttl_s, NOW);
    assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{token:?}");
    let (peer, uid, strangers): (_, _, [(IpAddr, Option<&str>); 3]) = match bearer {
        Bearer::Pod(uid) => (V4, Some(uid), [(V4, None), (V6, Some("x-another")), (V4, Some(&text[..0]))]),
        Bearer::Address(peer) => (peer, None, [(OTHER, None), (OTHER, Some(text)), (OTHER_V6, Some("uid-1"))]),
    };
    let left = |keys: &TokenKeys, token: &[u8], now: Wall| keys.check(token, peer, uid, now);
    let life = Duration::from_secs(ttl_s.into());
    assert_eq!(left(&keys, token.as_bytes(), NOW), Some(life));
    assert_eq!(left(&keys, token.as_bytes(), NOW.after(life)), None, "a token outlives its time");
    assert!(left(&keys, token.as_bytes(), NOW.after(life - Duration::from_millis(1))).is_some());
    for (peer, uid) in strangers {
        let own = matches!(bearer, Bearer::Pod(own) if uid == Some(own));
        assert!(own || keys.check(token.as_bytes(), peer, uid, NOW).is_none(), "{peer} {uid:?} is not {bearer:?}");
    }
    assert!(!keys.is_foreign(token.as_bytes()));
    for bit in 0..token.len() * 8 {
        let mut forged = token.clone().into_bytes();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(left(&keys, &forged, NOW), None, "bit {bit} of {token} counts for nothing");
    }
    for longer in [format!("{token}="), format!(" {token}"), format!("{token}A"), token[1..].to_owned()] {
        assert_eq!(left(&keys, longer.as_bytes(), NOW), None, "{longer:?}");
    }
    assert_eq!(left(&TokenKeys::new(&[8; 32], NOW), token.as_bytes(), NOW), None, "another key takes it");
    keys.rotate(&[8; 32], NOW);
    assert!(left(&keys, token.as_bytes(), NOW).is_some() && !keys.lacks_key_of(token.as_bytes()));
    keys.rotate(&[9; 32], NOW);
    assert!(left(&keys, token.as_bytes(), NOW).is_none() && keys.lacks_key_of(token.as_bytes()));
    assert!(keys.is_foreign(token.as_bytes()), "a key that is gone is none of ours");
}

/// 1 to 21600 in digits, blanks around them, and nothing else.
fn ttl(bytes: &[u8]) {
    let digits = std::str::from_utf8(bytes).ok().map(str::trim).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let known = digits.filter(|text| (1..=6).contains(&text.len())).and_then(|text| text.parse().ok());
    assert_eq!(parse_ttl(Some(bytes)), known.filter(|ttl| (1..=21_600).contains(ttl)));
}

/// What is taken for a record is one: written again, it says the same.
fn record(bytes: &[u8]) {
    let Some(keys) = std::str::from_utf8(bytes).ok().and_then(TokenKeys::from_record) else { return };
    let again = TokenKeys::from_record(keys.to_record().expose()).expect("a record that was written is read");
    assert_eq!(again.to_record().expose(), keys.to_record().expose());
    let token = keys.issue(Bearer::Address(V4), 60, NOW);
    assert!(again.check(token.as_bytes(), V4, None, NOW).is_some());
}

const NOW: Wall = Wall::from_unix_seconds(1_800_000_000);
const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const OTHER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2));
