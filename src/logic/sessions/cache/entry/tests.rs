use super::*;

#[test]
fn random_bits_make_a_fraction_below_one() {
    assert_eq!([0, 1 << 63].map(fraction), [0.0, 0.5]);
    assert!(fraction(u64::MAX) < 1.0 && fraction(u64::MAX) > 0.999_999);
}
