//! Whole numbers as text, for heads and log lines, of which each answer has several: without a formatter.

/// Appends the digits of a number.
pub fn push_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut room = [0; MOST_DIGITS];
    let mut first = room.len();
    loop {
        first -= 1;
        room[first] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        if number == 0 {
            return out.extend_from_slice(&room[first..]);
        }
    }
}

/// Of `u64::MAX`
const MOST_DIGITS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_room() {
        for number in [0, 9, 10, 4_095, u64::MAX] {
            let mut out = b"x".to_vec();
            push_decimal(&mut out, number);
            assert_eq!(out, format!("x{number}").into_bytes());
        }
    }
}
