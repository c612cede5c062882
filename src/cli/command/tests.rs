use std::os::unix::ffi::OsStringExt;

use super::*;

#[test]
fn a_word_that_is_not_utf_8_is_named_by_its_position_and_not_repeated() {
    let words = |last: &[u8]| ["--node=n".into(), OsString::from_vec(last.to_vec())].into_iter();
    assert_eq!(texts(words(b"--debug")), Ok(vec!["--node=n".to_owned(), "--debug".to_owned()]));
    let error = texts(words(b"--api-token=s3cret\xff")).unwrap_err();
    assert_eq!(error, "failed to read `command line`: word 2 is not UTF-8");
}
