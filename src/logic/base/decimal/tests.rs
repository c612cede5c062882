use super::*;

#[test]
fn every_length_has_room() {
    for number in [0, 9, 10, 4_095, u64::MAX] {
        let mut out = b"x".to_vec();
        push_decimal(&mut out, number);
        assert_eq!(out, format!("x{number}").into_bytes());
    }
}
