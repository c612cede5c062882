use super::*;

#[test]
fn long_targets_are_truncated_visibly_at_a_character_boundary() {
    let whole = "é".repeat(MAX_TARGET_CHARS);
    assert_eq!(cut(&whole), whole);
    assert_eq!(cut(&format!("{whole}é")), format!("{whole}..."));
}
