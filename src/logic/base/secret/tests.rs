use super::*;

const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhcHAifQ.c2lnbmF0dXJlLW9mLWEtdG9rZW4";

#[test]
fn no_piece_of_a_truncated_secret_is_left_in_a_text() {
    assert_eq!(without_secrets(&format!("got {TOKEN}, é"), &[TOKEN]), "got [secret], é");
    assert_eq!(without_secrets("nothing", &[TOKEN, ""]), "nothing");
    assert_eq!(without_secrets("hunter2 and hunter", &["hunter2"]), "[secret] and hunter");
    assert_eq!(without_secrets("éé", &["éé"]), "[secret]");
    for start in 0..TOKEN.len() {
        for end in start + SHORTEST_PIECE..=TOKEN.len() {
            let piece = &TOKEN[start..end];
            assert_eq!(without_secrets(&format!("<{piece}>"), &["another secret than it", TOKEN]), "<[secret]>");
        }
    }
}

#[test]
fn a_secret_is_never_formatted() {
    let secret = Secret::new(String::from("hunter2"));
    assert_eq!(format!("{secret:?}"), "[secret]");
    assert_eq!(secret.expose(), "hunter2");
}
