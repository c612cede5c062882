use super::*;

fn environment(no_proxy: &str) -> ProxyEnvironment {
    ProxyEnvironment {
        https_proxy: Some(Secret::new("http://tls-proxy:3128".to_owned())),
        http_proxy: Some(Secret::new("http://plain-proxy:3128".to_owned())),
        no_proxy: Some(no_proxy.to_owned()),
    }
}

#[test]
fn the_scheme_determines_the_proxy() {
    let environment = environment("");
    let chosen = |scheme| environment.proxy_for(scheme, "sts.eu-west-1.amazonaws.com", 443).unwrap().expose().clone();
    assert_eq!(chosen(Scheme::Https), "http://tls-proxy:3128");
    assert_eq!(chosen(Scheme::Http), "http://plain-proxy:3128");
    let only_http = ProxyEnvironment { https_proxy: None, ..environment.clone() };
    assert!(only_http.proxy_for(Scheme::Https, "sts.amazonaws.com", 443).is_none());
    let blank = ProxyEnvironment { https_proxy: Some(Secret::new(" ".to_owned())), ..environment };
    assert!(blank.proxy_for(Scheme::Https, "sts.amazonaws.com", 443).is_none());
}

#[test]
fn no_proxy_has_the_meaning_of_go() {
    for (no_proxy, host, direct) in [
        ("", "example.com", false),
        ("", "localhost", true),
        ("", "127.0.0.9", true),
        ("", "::1", true),
        ("*", "example.com", true),
        ("example.com", "example.com", true),
        ("example.com", "EXAMPLE.com", true),
        ("example.com", "example.com.", true),
        ("example.com", "sts.example.com", true),
        ("example.com", "notexample.com", false),
        (".example.com", "example.com", false),
        ("example.com", ".example.com", false),
        (".example.com", "sts.example.com", true),
        ("*.example.com", "sts.example.com", true),
        ("*.example.com", "example.com", false),
        ("a.b, Example.com ,c.d", "example.com", true),
        ("example.com:443", "example.com", true),
        ("example.com:8443", "example.com", false),
        ("10.0.0.0/8", "10.200.3.4", true),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("0.0.0.0/0", "11.0.0.1", true),
        ("10.1.2.3/32", "10.1.2.3", true),
        ("10.1.2.3/32", "10.1.2.2", false),
        ("10.0.0.0/33", "10.0.0.1", false),
        ("10.0.0.0/x", "10.0.0.1", false),
        ("fd00::/8", "fd12::1", true),
        ("fd00::/8", "fe12::1", false),
        ("::/0", "fe12::1", true),
        ("fd00::1/128", "fd00::1", true),
        ("fd00::1/128", "fd00::2", false),
        ("fd00::/129", "fd00::1", false),
        ("10.0.0.0/8", "fd12::1", false),
        ("10.96.0.1", "10.96.0.1", true),
        ("10.96.0.1:443", "10.96.0.1", true),
        ("fd00::1", "fd00::1", true),
        ("[fd00::1]:443", "fd00::1", true),
        ("[fd00::1]:6443", "fd00::1", false),
        (",,", "example.com", false),
        (":443", "example.com", false),
    ] {
        let environment = environment(no_proxy);
        let through = environment.proxy_for(Scheme::Https, host, 443);
        assert_eq!(through.is_none(), direct, "NO_PROXY={no_proxy} host={host}");
    }
}
