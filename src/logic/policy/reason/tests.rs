use super::*;
use std::collections::HashSet;

#[test]
fn reason_codes_are_distinct_and_plain() {
    let words: HashSet<&str> = Reason::ALL.iter().map(|reason| reason.word()).collect();
    assert_eq!(words.len(), Reason::ALL.len());
    assert!(words.iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
}

#[test]
fn a_refusal_of_tags_differs_from_a_refusal_of_the_role() {
    let of = |code: &str, message: &str| {
        let (kind, request_id) = (StsFailureKind::Refused, None);
        Reason::of_sts(&StsFailure { kind, code: code.into(), message: message.into(), request_id })
    };
    let tags = "User: x is not authorized to perform: sts:TagSession on resource: y";
    assert_eq!(of("AccessDenied", tags), Reason::TagsRefused);
    assert_eq!(of("AccessDenied", "is not authorized to perform: sts:AssumeRole"), Reason::StsRefused);
    assert_eq!(of("ValidationError", tags), Reason::StsRefused);
}
