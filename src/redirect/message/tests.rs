use super::*;

fn example() -> Vec<u8> {
    let inner = Attributes::new().number(1, 80).long(2, 1 << 40);
    let list = Attributes::new().text(1, "kube2iam").nest(4, inner).bytes(5, b"abc");
    NetlinkMessage::new(0xa06, 5, &[1, 0, 0, 10], list).to_bytes(9)
}

#[test]
fn written_message_can_be_parsed() {
    let bytes = example();
    assert_eq!(bytes.len() % 4, 0);
    let found: Vec<NetlinkReply<'_>> = replies(&bytes).collect();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].kind, found[0].flags, found[0].sequence), (0xa06, 5, 9));
    let list = &found[0].body[4..];
    assert_eq!(text(list, 1), Some("kube2iam"));
    assert_eq!(nested(list, &[4, 1]), Some(&80u32.to_be_bytes()[..]));
    assert_eq!(long(attribute(list, 4).unwrap(), 2), Some(1 << 40));
    assert_eq!(attribute(list, 5), Some(&b"abc"[..]));
    assert_eq!(number(list, 6), None);
}

#[test]
fn two_messages_in_one_datagram_are_both_read() {
    let bytes = [example(), example()].concat();
    assert_eq!(replies(&bytes).count(), 2);
}

#[test]
fn truncated_and_corrupted_messages_never_panic_or_loop() {
    let whole = example();
    let read = |bytes: &[u8]| {
        replies(bytes).map(|reply| attributes(reply.body.get(4..).unwrap_or_default()).count()).sum::<usize>()
    };
    for length in 0..whole.len() {
        assert!(read(&whole[..length]) <= 3);
    }
    for at in 0..whole.len() {
        let mut corrupted = whole.clone();
        corrupted[at] ^= 0xff;
        assert!(read(&corrupted) <= whole.len() / 4);
    }
}
