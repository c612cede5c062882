use super::*;

#[test]
fn certificate_name_is_the_urls_host() {
    let name = |url: &str| host_name(&url.parse().unwrap());
    for (url, expected) in [
        ("https://sts.eu-west-1.amazonaws.com/", "sts.eu-west-1.amazonaws.com"),
        ("https://user:word@10.96.0.1:6443/x", "10.96.0.1"),
        ("https://[fd00::1]:443/", "fd00::1"),
    ] {
        assert_eq!(name(url).unwrap().to_str(), expected);
    }
    let refused = name("https://a..b/").unwrap_err().to_string();
    assert_eq!(refused, "no certificate can be of the URL's host");
}
