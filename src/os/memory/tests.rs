use super::*;

#[test]
fn headroom_check_releases_its_pages() {
    assert!((0..10_000).all(|_| has_headroom()));
}
