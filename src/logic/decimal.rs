//! Whole numbers as text, for heads and log lines, of which each answer has several: without a formatter.

/// The digits of a number, written at the end of `room`.
pub fn decimal(mut number: u64, room: &mut [u8; 20]) -> &str {
    let mut first = room.len();
    loop {
        first -= 1;
        room[first] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        if number == 0 {
            return std::str::from_utf8(&room[first..]).unwrap_or_default(); // digits are UTF-8
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_room() {
        for number in [0, 9, 10, 4_095, u64::MAX] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string());
        }
    }
}
