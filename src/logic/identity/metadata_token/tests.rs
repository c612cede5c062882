use super::*;
use std::net::Ipv4Addr;

const NOON: Wall = Wall::from_unix_seconds(1_800_000_000);
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 8));

fn keys() -> TokenKeys {
    TokenKeys::new(&[7; 32], NOON)
}

#[test]
fn a_token_is_valid_for_its_pod_at_any_of_its_addresses_until_it_expires() {
    let token = keys().issue(Bearer::Pod("uid-1"), 60, NOON);
    let check =
        |uid, millis| keys().check(token.as_bytes(), OTHER, uid, Wall::from_unix_millis(NOON.unix_millis() + millis));
    assert_eq!(check(Some("uid-1"), 0), Some(Duration::from_secs(60)));
    assert_eq!(check(Some("uid-1"), 59_999), Some(Duration::from_millis(1)));
    assert_eq!(check(Some("uid-1"), 60_000), None);
    assert_eq!(check(Some("uid-2"), 0), None);
    assert_eq!(check(None, 0), None);
}

#[test]
fn a_token_of_an_unknown_pod_is_valid_for_its_address() {
    let token = keys().issue(Bearer::Address(PEER), 60, NOON);
    assert!(keys().check(token.as_bytes(), PEER, None, NOON).is_some());
    assert!(keys().check(token.as_bytes(), PEER, Some("uid-1"), NOON).is_some());
    assert!(keys().check(token.as_bytes(), OTHER, Some("uid-1"), NOON).is_none());
}

#[test]
fn no_modified_token_is_valid() {
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
fn tokens_survive_one_rotation_and_a_restart_with_the_same_key() {
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

#[test]
fn a_token_made_with_an_unknown_key_is_recognised() {
    let token = keys().issue(Bearer::Address(PEER), 60, NOON);
    let mut other = TokenKeys::new(&[8; 32], NOON);
    assert!(other.lacks_key_of(token.as_bytes()));
    assert!(!keys().lacks_key_of(token.as_bytes()));
    assert!(!other.lacks_key_of(b"no token at all"));
    other.rotate(&[7; 32], NOON);
    other.rotate(&[9; 32], NOON);
    assert!(!other.lacks_key_of(token.as_bytes()), "the previous key counts");
}

#[test]
fn a_token_for_an_address_lives_a_minute_at_most() {
    for (asked_s, granted_s) in [(1, 1), (60, 60), (61, 60), (LONGEST_TTL_S, 60)] {
        assert_eq!(Bearer::Address(PEER).grant_ttl_s(asked_s), granted_s);
        assert_eq!(Bearer::Pod("uid-1").grant_ttl_s(asked_s), asked_s);
    }
}

/// The first is as the real service writes its own.
#[test]
fn tokens_made_with_none_of_the_keys_are_foreign() {
    let keys = keys();
    let other = TokenKeys::new(&[8; 32], NOON).issue(Bearer::Address(PEER), 60, NOON);
    let x = "x".repeat(60);
    for token in ["kjcXUFMxlL5pelCmeaP+kdIGaA/yVwFQ+0q+nvhEvTw=", &x, &x[..40], &format!("{}==", &x[..54]), &other] {
        assert!(keys.is_foreign(token.as_bytes()), "{token}");
    }
    let own = keys.issue(Bearer::Pod("uid-1"), 60, NOON);
    let kind = format!("B{}", &own[1..]);
    let tag = format!("{}AAAA", &own[..56]);
    let same_bits = own.replace('-', "+").replace('_', "/");
    for token in ["", "x", &x[..36], &x[..59], &x.replace("xx", "x!"), &format!("{}===", &x[..57])] {
        assert!(!keys.is_foreign(token.as_bytes()), "{token} is malformed");
    }
    for token in [&own, &kind, &tag, &same_bits, &own[..40], &own[..56], &format!("{own}AAAA")] {
        assert!(!keys.is_foreign(token.as_bytes()), "{token} names our key");
    }
}

/// A key from the future stays for as long as a key lives: only a clock that was far ahead makes it due.
#[test]
fn a_key_is_due_for_rotation_when_the_clock_went_far_back() {
    let twelve_hours = Duration::from_secs(43_200);
    for (now, due) in [
        (NOON.before(twelve_hours), false),
        (NOON.before(twelve_hours + Duration::from_millis(1)), true),
        (NOON, false),
        (NOON.after(twelve_hours - Duration::from_millis(1)), false),
        (NOON.after(twelve_hours), true),
    ] {
        assert_eq!(keys().is_rotation_due(now), due, "{now:?}");
    }
}

#[test]
fn keys_are_ahead_of_those_that_lack_their_newest() {
    let (old, mut new) = (keys(), keys());
    assert!(!new.is_ahead_of(&old));
    new.rotate(&[8; 32], NOON);
    assert!(new.is_ahead_of(&old) && !old.is_ahead_of(&new));
}
