use super::*;

#[test]
fn keys_are_told_from_other_texts() {
    let longest = "n".repeat(63);
    for (text, fits) in [
        ("iam.amazonaws.com/role", true),
        ("role", true),
        (longest.as_str(), true),
        ("", false),
        ("/role", false),
        ("iam.amazonaws.com/", false),
        ("a/b/c", false),
        ("key=value", false),
        ("key:NoSchedule", false),
        ("two words", false),
    ] {
        assert_eq!(is_key(text), fits, "{text}");
    }
    assert!(!is_key(&format!("{longest}n")));
}
