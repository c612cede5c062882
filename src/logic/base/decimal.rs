//! Whole numbers as text, for heads and log lines, of which each answer has several: without a formatter.

/// Appends the digits of a number.
pub fn push_decimal(out: &mut Vec<u8>, number: u64) {
    if number >= 10 {
        push_decimal(out, number / 10);
    }
    out.push(b'0' + (number % 10) as u8); // below 10, so it fits
}

#[cfg(test)]
mod tests;
