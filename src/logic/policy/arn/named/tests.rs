use super::*;

#[test]
fn the_text_of_an_annotation_survives_its_parsing() {
    let with_base = BaseArn::parse("arn:aws:iam::123456789012:role/team").unwrap();
    for base in [with_base, BaseArn::default()] {
        for text in [
            "",
            "app",
            "/app",
            "/a/b",
            "//app",
            "arn:aws:iam::123456789012:role/team/app",
            "arn:aws:iam::210987654321:role/b",
            "/arn:aws:iam::1:role/x",
            "not a role",
        ] {
            assert_eq!(NamedRole::parse(text, &base).written(), text);
        }
    }
    let malformed = NamedRole::parse(&"\u{e9}".repeat(2_000), &BaseArn::default());
    assert_eq!(malformed.written().chars().count(), LONGEST_MALFORMED);
}
