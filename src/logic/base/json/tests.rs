use super::*;

#[test]
fn json_is_written_on_one_line() {
    assert_eq!(text("a\"\n"), r#""a\"\n""#);
    assert_eq!(text(&serde_json::json!({ "b": 1, "a": null })), r#"{"a":null,"b":1}"#);
}

#[test]
fn a_document_must_be_complete_and_utf8() {
    assert_eq!(read::<u8>(b" 7 ").unwrap(), 7);
    assert_eq!(read::<u8>(b"7 8").unwrap_err().to_string(), "trailing characters at line 1 column 3");
    assert!(read::<String>(b"\"\xff\"").unwrap_err().to_string().starts_with("invalid utf-8 sequence"));
}
