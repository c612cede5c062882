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
