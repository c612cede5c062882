use super::*;

#[test]
fn authorities_have_five_forms() {
    for (text, read) in [
        ("169.254.169.254", Some("169.254.169.254:80")),
        ("127.0.0.1:8080", Some("127.0.0.1:8080")),
        ("imds.local", Some("imds.local:80")),
        ("imds:1", Some("imds:1")),
        ("fd00:ec2::254", Some("[fd00:ec2::254]:80")),
        ("[fd00:ec2::254]", Some("[fd00:ec2::254]:80")),
        ("[FD00:EC2:0::254]:8080", Some("[fd00:ec2::254]:8080")),
        ("", None),
        (":80", None),
        ("host:", None),
        ("host:0", None),
        ("host:65536", None),
        ("host:+80", None),
        ("http://host", None),
        ("host/path", None),
        ("a host", None),
        ("[1.2.3.4]", None),
        ("[::1", None),
        ("[::1]80", None),
    ] {
        assert_eq!(Authority::parse(text, 80).map(|read| read.to_string()).as_deref(), read, "{text}");
    }
}

#[test]
fn ports_are_digits() {
    for (text, number) in [
        ("8181", Some(8181)),
        ("1", Some(1)),
        ("65535", Some(65_535)),
        ("08181", Some(8181)),
        ("0", None),
        ("65536", None),
        ("+80", None),
        ("-1", None),
        ("http", None),
        (" 80", None),
        ("", None),
    ] {
        assert_eq!(port_number(text), number, "{text}");
    }
}

#[test]
fn urls_are_split_into_their_parts() {
    for (text, authority, host, target, base) in [
        ("http://127.0.0.1:5000", "127.0.0.1:5000", "127.0.0.1", "", "http://127.0.0.1:5000"),
        ("http://127.0.0.1:5000/", "127.0.0.1:5000", "127.0.0.1", "/", "http://127.0.0.1:5000"),
        (
            "HTTPS://sts.example.com:443/a/b",
            "sts.example.com",
            "sts.example.com",
            "/a/b",
            "https://sts.example.com/a/b",
        ),
        ("http://sts.example.com:80", "sts.example.com", "sts.example.com", "", "http://sts.example.com"),
        ("https://x:80", "x:80", "x", "", "https://x:80"),
        ("http://[fd00:ec2::254]", "[fd00:ec2::254]", "fd00:ec2::254", "", "http://[fd00:ec2::254]"),
        (
            "http://[fd00:ec2::23]:8080/v1",
            "[fd00:ec2::23]:8080",
            "fd00:ec2::23",
            "/v1",
            "http://[fd00:ec2::23]:8080/v1",
        ),
        ("http://localhost?id=1", "localhost", "localhost", "/?id=1", "http://localhost/?id=1"),
    ] {
        let url = ServiceUrl::parse(text).unwrap();
        assert_eq!((url.authority(), url.host(), url.target(), url.base().as_str()), (authority, host, target, base));
    }
}

#[test]
fn texts_that_could_mislead_a_request_are_refused() {
    for text in [
        "",
        "127.0.0.1",
        "ftp://x",
        "http://",
        "http:///path",
        "http://user:secret@host",
        "http://host:0",
        "http://host:99999",
        "http://host:+80",
        "http://host:80:80",
        "http://fd00:ec2::254",
        "http://[nonsense]",
        "http://ho st",
        "http://host/\r\nX: y",
        "http://host/#part",
        "http://-host",
        "http://h\u{f6}st",
    ] {
        assert!(ServiceUrl::parse(text).is_err(), "{text}");
    }
}

#[test]
fn hosts_and_ports_are_split() {
    for (text, port) in [("http://h", 80), ("https://h", 443), ("https://h:8443/x", 8_443), ("http://[fd00::1]:1", 1)] {
        assert_eq!(ServiceUrl::parse(text).unwrap().port(), port, "{text}");
    }
    let address = |text| Authority::parse(text, 80).unwrap().address();
    assert_eq!(address("10.0.0.1:81"), Some("10.0.0.1".parse().unwrap()));
    assert_eq!(address("[fd00::1]"), Some("fd00::1".parse().unwrap()));
    assert_eq!(address("example.com"), None);
}

#[test]
fn a_text_that_is_no_address_of_a_service_is_shown_with_the_reason() {
    let error = ServiceUrl::parse("ftp://h").unwrap_err().to_string();
    assert_eq!(error, "`ftp://h` is not the address of a service: it must begin with http:// or https://");
}
