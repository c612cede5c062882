use super::*;

#[test]
fn a_policy_keeps_its_text() {
    for text in ["", "{\"a\":\"\u{ff}\t\"}"] {
        let policy = SessionPolicy::new(text).unwrap();
        assert_eq!((policy.text().as_str(), policy.characters()), (text, text.chars().count()));
        assert_eq!(format!("{policy:?}"), text);
    }
    assert!(SessionPolicy::new("\u{100}").is_none() && SessionPolicy::new("\u{1}").is_none());
}
