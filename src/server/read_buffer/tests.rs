use super::*;

#[test]
fn buffer_grows_to_the_limit_and_no_further() {
    let mut reader = ReadBuffer::new();
    let mut endless = io::repeat(b'x');
    for _ in 0..100 {
        if reader.unread().len() < 8_192 {
            reader.fill(&mut endless, 8_192).unwrap();
        }
    }
    assert_eq!(reader.unread().len(), 8_192);
    reader.clear();
    assert_eq!((reader.unread().len(), reader.buffer.len()), (0, SMALL));
}

#[test]
fn consumed_bytes_make_room_for_new_ones() {
    let mut reader = ReadBuffer::new();
    let mut source: &[u8] = &[7; 3 * SMALL];
    reader.fill(&mut source, SMALL + 1).unwrap();
    reader.consume(SMALL - 10);
    assert_eq!(reader.fill(&mut source, SMALL + 1).unwrap().len(), SMALL - 10);
    assert_eq!((reader.unread().len(), reader.buffer.len()), (SMALL, SMALL));
}

#[test]
fn a_wiped_head_leaves_no_byte_and_what_follows_it_stays() {
    let mut reader = ReadBuffer::new();
    reader.fill(&mut &b"secret next"[..], 100).unwrap();
    reader.wipe(7);
    reader.consume(7);
    assert_eq!(reader.unread(), b"next");
    assert!(!reader.buffer.windows(6).any(|bytes| bytes == b"secret"));
    reader.clear();
    assert!(reader.buffer.iter().all(|byte| *byte == 0));
}

#[test]
fn neither_moving_nor_clearing_leaves_a_second_copy() {
    let mut reader = ReadBuffer::new();
    let head = [&[b'.'; SMALL - 16][..], b"secret of a head"].concat();
    reader.fill(&mut &*head, SMALL + 1).unwrap();
    reader.consume(SMALL - 16);
    reader.fill(&mut &b"!"[..], SMALL + 1).unwrap();
    assert_eq!(reader.unread(), b"secret of a head!");
    let copies = reader.buffer.windows(6).filter(|bytes| *bytes == b"secret").count();
    assert_eq!(copies, 1);
    reader.consume(10);
    reader.clear();
    assert!(reader.buffer.iter().all(|byte| *byte == 0));
}

#[test]
fn consuming_more_than_is_unread_empties_the_buffer() {
    let mut reader = ReadBuffer::new();
    reader.fill(&mut &b"abc"[..], 100).unwrap();
    reader.consume(1);
    assert_eq!(reader.unread(), b"bc");
    reader.consume(50);
    assert!(reader.is_empty());
}
