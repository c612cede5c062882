use super::*;

fn take(bytes: &[u8]) -> Result<Option<usize>, BadHead> {
    let mut body = ChunkedBody::new(&Limits::default());
    let taken = body.take(bytes)?;
    Ok(body.is_complete().then_some(taken))
}

const GOOD: [&str; 8] = [
    "0\r\n\r\n",
    "000\r\n\r\n",
    "3\r\nabc\r\n0\r\n\r\n",
    "A\r\n0123456789\r\n1\r\n\n\r\n0\r\n\r\n",
    "3;name\r\nabc\r\n0;name=\"a value\";x\r\n\r\n",
    "0\r\nTrailer: x\r\nContent-Length: 5\r\n\r\n",
    "000000000000003\r\nabc\r\n0\r\n\r\n",
    "2\r\n\r\n\r\n0\r\n\r\n",
];

#[test]
fn end_of_a_body_is_found_however_the_bytes_are_split() {
    for good in GOOD {
        let followed = format!("{good}GET /next HTTP/1.1\r\n\r\n");
        assert_eq!(take(followed.as_bytes()), Ok(Some(good.len())), "{good:?}");
        for piece in 1..good.len() {
            let mut body = ChunkedBody::new(&Limits::default());
            let mut taken = 0;
            for piece in followed.as_bytes().chunks(piece) {
                taken += body.take(piece).unwrap();
            }
            assert_eq!((taken, body.is_complete()), (good.len(), true), "{good:?} in pieces of {piece}");
        }
        for end in 0..good.len() {
            assert_eq!(take(&good.as_bytes()[..end]), Ok(None), "{good:?} up to {end}");
        }
    }
}

#[test]
fn ambiguous_framing_is_malformed() {
    for bad in [
        "\r\n",
        ";\r\n",
        "g\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\n",
        " 1\r\n",
        "1 \r\n",
        "1\n",
        "1\r\r",
        "1;\n",
        "1;a\0",
        "0000000000000001\r\n",
        "3\r\nabcd",
        "3\r\nabc\n",
        "3\r\nabc\r\r",
        "0\r\n\n",
        "0\r\na\n",
        "0\r\n\r\r",
        "0\r\na\0",
    ] {
        assert_eq!(take(bad.as_bytes()), Err(BadHead::Malformed), "{bad:?}");
    }
}

#[test]
fn data_and_framing_are_bounded() {
    let limit = Limits::default().body_bytes;
    let data = |size: usize| format!("{size:x}\r\n{}\r\n", "b".repeat(size));
    let whole = data(usize::try_from(limit).unwrap()) + "0\r\n\r\n";
    assert_eq!(take(whole.as_bytes()), Ok(Some(whole.len())));
    for (bad, endless) in [
        (BadHead::BodyTooLong, "2001\r\n".to_owned()),
        (BadHead::BodyTooLong, "fffffffffffffff\r\n".to_owned()),
        (BadHead::BodyTooLong, data(1_000).repeat(9)),
        (BadHead::TooLong, format!("1;{}", "e".repeat(10_000))),
        (BadHead::TooLong, "1;e\r\nb\r\n".repeat(1_500)),
        (BadHead::TooLong, format!("0\r\n{}", "Trailer: x\r\n".repeat(1_000))),
        (BadHead::TooLong, format!("0\r\n{}", "t".repeat(10_000))),
    ] {
        assert_eq!(take(endless.as_bytes()), Err(bad), "{}", &endless[..40.min(endless.len())]);
    }
}
