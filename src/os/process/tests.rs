use super::*;

#[test]
fn usage_is_plausible() {
    let usage = usage();
    assert!(usage.resident_bytes > 1 << 20 && usage.virtual_bytes > usage.resident_bytes, "{usage:?}");
    assert!(usage.threads > 0 && usage.descriptors > 2 && usage.started_s > 1e9, "{usage:?}");
    assert!(usage.most_descriptors.is_none_or(|most| most >= usage.descriptors), "{usage:?}");
}
