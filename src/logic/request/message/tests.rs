use super::*;

#[test]
fn a_method_is_known_by_its_exact_name() {
    let known = ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"];
    for name in known {
        assert_eq!(Method::parse(name).label(), name);
        assert_eq!(Method::parse(&name.to_lowercase()).label(), "OTHER");
    }
    assert_eq!(Method::parse("BREW"), Method::Other);
}

#[test]
fn a_shown_token_is_kept_without_its_scheme_and_never_printed() {
    let shown = ShownToken::new(b" Bearer  abc ");
    assert_eq!(shown.expose(), b" Bearer  abc ");
    assert_eq!(shown.kept().unwrap().expose(), "abc");
    assert!(ShownToken::new(b"\xff").kept().is_none());
    assert_eq!(format!("{shown:?}"), "[secret]");
}

#[test]
fn a_body_of_any_source_is_read_as_text() {
    let stream = |bytes: &'static [u8]| Body::Stream { source: Box::new(bytes), length: None };
    for body in [
        Body::Static(b"text"),
        Body::Owned(b"text".to_vec()),
        Body::Shared(Arc::new(b"text".to_vec())),
        stream(b"text"),
    ] {
        assert_eq!(body.into_text().unwrap(), "text");
    }
    assert_eq!(Body::Empty.into_text().unwrap(), "");
    for body in [Body::Static(b"\xff"), Body::Owned(vec![0xff]), stream(b"\xff")] {
        assert!(body.into_text().is_err());
    }
}
