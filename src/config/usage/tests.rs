use super::*;

#[test]
fn an_error_is_one_line_and_never_long() {
    let long = "é\n".repeat(1_000);
    let error = UsageError::value("--node", &long, "a name").to_string();
    assert!(!error.contains('\n') && error.len() < 400, "{error}");
    assert!(error.ends_with("…` for `--node`: allowed is a name"));
}
