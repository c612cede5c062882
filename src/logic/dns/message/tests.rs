use proptest::prelude::*;

use super::*;

fn question(family: Family) -> Question {
    Question { id: 0xbeef, name: Name::parse("sts.test").unwrap(), family }
}

/// An answer with these flags and records, the question repeated.
fn answer(flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
    answer_to(&question(Family::V4), flags, records)
}

fn answer_to(question: &Question, flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let mut message = question.message();
    message[2..4].copy_from_slice(&(RESPONSE | flags).to_be_bytes());
    message[7] = u8::try_from(records.len()).unwrap();
    message.extend(records.concat());
    message
}

/// A record of `owner`, which is a name or a pointer.
fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    [owner, &kind.to_be_bytes(), &[0, 1, 0, 0, 0, 60], &length, data].concat()
}

fn name(text: &str) -> Vec<u8> {
    Name::parse(text).unwrap().0
}

/// The name in the question.
const ASKED: [u8; 2] = [0xc0, 12];

fn found(addresses: &[&str]) -> Option<Answer> {
    Some(Answer::Addresses(addresses.iter().map(|address| address.parse().unwrap()).collect()))
}

#[test]
fn a_question_is_sent_as_rfc_1035_has_it() {
    let sent = question(Family::V6).message();
    assert_eq!(sent, b"\xbe\xef\x01\0\0\x01\0\0\0\0\0\0\x03sts\x04test\0\0\x1c\0\x01");
}

#[test]
fn addresses_of_the_name_and_nobody_elses_are_taken() {
    let records = [
        record(&ASKED, 1, &[10, 0, 0, 1]),
        record(&name("other.test"), 1, &[10, 0, 0, 9]),
        record(&name("STS.Test"), 1, &[10, 0, 0, 2]),
        record(&ASKED, 28, &[0; 16]),
        record(&ASKED, 16, b"\x04text"),
    ];
    assert_eq!(question(Family::V4).read(&answer(0x0180, &records)), found(&["10.0.0.1", "10.0.0.2"]));
    let v6 = question(Family::V6);
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    assert_eq!(v6.read(&answer_to(&v6, 0, &[record(&ASKED, 28, &octets)])), found(&["fd00::"]));
    let many: Vec<_> = (0..200).map(|last| record(&ASKED, 1, &[10, 0, 1, last])).collect();
    let Some(Answer::Addresses(taken)) = question(Family::V4).read(&answer(0, &many)) else { panic!() };
    assert_eq!(taken.len(), MOST_ADDRESSES);
}

#[test]
fn aliases_are_followed_in_any_order_and_not_for_ever() {
    let (a, b) = (name("a.test"), name("b.test"));
    let address = record(&b, 1, &[10, 0, 0, 1]);
    let chain = [address.clone(), record(&a, 5, &b), record(&ASKED, 5, &a)];
    assert_eq!(question(Family::V4).read(&answer(0, &chain)), found(&["10.0.0.1"]));
    assert_eq!(question(Family::V4).read(&answer(0, &[record(&ASKED, 5, &a), address])), Some(Answer::NoAddress));
    let circle = [record(&ASKED, 5, &a), record(&a, 5, &ASKED)];
    assert_eq!(question(Family::V4).read(&answer(0, &circle)), Some(Answer::NoAddress));
    let links: Vec<Vec<u8>> = (0..=LONGEST_CHAIN).map(|nth| name(&format!("n{nth}.test"))).collect();
    let chain = |length: usize| {
        let mut records = vec![record(&ASKED, 5, &links[0])];
        records.extend((1..length).map(|nth| record(&links[nth - 1], 5, &links[nth])));
        records.push(record(&links[length - 1], 1, &[10, 0, 0, 1]));
        question(Family::V4).read(&answer(0, &records))
    };
    assert_eq!(chain(LONGEST_CHAIN), found(&["10.0.0.1"]));
    assert_eq!(chain(LONGEST_CHAIN + 1), Some(Answer::NoAddress));
}

#[test]
fn codes_say_whether_there_is_such_a_name() {
    for (flags, expected) in [
        (0, Answer::NoAddress),
        (1, Answer::Failed),
        (2, Answer::Failed),
        (3, Answer::NoSuchName),
        (5, Answer::Failed),
        (0x0200, Answer::Truncated),
        (0x0202, Answer::Truncated),
    ] {
        assert_eq!(question(Family::V4).read(&answer(flags, &[])), Some(expected), "{flags:x}");
    }
}

#[test]
fn what_answers_another_question_is_no_answer() {
    let right = answer(0, &[record(&ASKED, 1, &[10, 0, 0, 1])]);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut message = right.clone();
        change(&mut message);
        question(Family::V4).read(&message)
    };
    assert_eq!(changed(&|_| {}), found(&["10.0.0.1"]));
    assert_eq!(changed(&|message| message[13..16].copy_from_slice(b"StS")), found(&["10.0.0.1"]));
    for change in [
        &(|message: &mut Vec<u8>| message[1] ^= 1) as &dyn Fn(&mut Vec<u8>),
        &|message| message[2] &= 0x7f,
        &|message| message[2] |= 0x08,
        &|message| message[13] = b'x',
        &|message| message[23] = 28,
        &|message| message[25] = 3,
        &|message| message[5] = 0,
        &|message| message[5] = 2,
        &|message| message.truncate(11),
        &|message| message.truncate(20),
    ] {
        assert_eq!(changed(change), None);
    }
    // a server that could make nothing of the question
    assert_eq!(question(Family::V4).read(b"\xbe\xef\x81\x81\0\0\0\0\0\0\0\0"), Some(Answer::Failed));
    assert_eq!(question(Family::V4).read(b"\xbe\xef\x81\x83\0\0\0\0\0\0\0\0"), None);
}

#[test]
fn what_can_not_be_read_is_a_failure() {
    let target = record(&ASKED, 5, &[0xc0, 255]);
    for records in [
        vec![record(&[0xc0, 28], 1, &[10, 0, 0, 1])], // at itself: the first record begins at 26
        vec![record(&[0xc0, 26], 1, &[10, 0, 0, 1])],
        vec![record(&[1, b'a', 0xc0, 26], 1, &[10, 0, 0, 1])],
        vec![record(&[0xff, 0xff], 1, &[10, 0, 0, 1])],
        vec![record(&[0x40, 0], 1, &[10, 0, 0, 1])],
        vec![record(&ASKED, 1, &[10, 0, 0])],
        vec![target],
        vec![record(&ASKED, 1, &[10, 0, 0, 1])[..10].to_vec()],
    ] {
        assert_eq!(question(Family::V4).read(&answer(0, &records)), Some(Answer::Failed), "{records:?}");
    }
}

#[test]
fn names_that_no_message_carries_are_not_asked_for() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    assert_eq!(Name::parse(&longest).unwrap().0.len(), LONGEST_NAME);
    assert_eq!(Name::parse("A.b."), Name::parse("a.B"));
    for wrong in ["", ".", "a..b", ".a", "a..", &format!("{label}a.b"), &format!("{longest}a")] {
        assert_eq!(Name::parse(wrong), None, "{wrong}");
    }
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(tail in prop::collection::vec(any::<u8>(), 0..300), records in 0..6_u8) {
        let mut message = answer(0, &[]);
        message[7] = records;
        message.extend(&tail);
        let _ = question(Family::V4).read(&message);
        let _ = question(Family::V4).read(&tail);
    }

    #[test]
    fn no_change_of_a_byte_or_two_is_too_strange(at in 0..120_usize, byte in any::<u8>(), cut in 0..120_usize) {
        let (a, b) = (name("a.test"), [1, b'b', 0xc0, 16]);
        let chain = [record(&ASKED, 5, &a), record(&a, 5, &b), record(&b, 1, &[10, 0, 0, 1])];
        let mut message = answer(0, &chain);
        message.truncate(message.len() - cut.min(message.len()));
        if let Some(there) = message.get_mut(at) {
            *there = byte;
        }
        let _ = question(Family::V4).read(&message);
    }
}
