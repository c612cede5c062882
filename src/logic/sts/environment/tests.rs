use super::*;

fn environment(variables: &[(&str, &str)]) -> AwsEnvironment {
    AwsEnvironment::from_lookup(&|name| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    })
}

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "CANARY-KEY")];
const WEB: [(&str, &str); 2] =
    [("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/token"), ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/node")];
const CONTAINER: [(&str, &str); 1] = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials")];

fn word(source: &NodeSource) -> &'static str {
    match source {
        NodeSource::Environment(_) => "environment",
        NodeSource::WebIdentity(_) => "web identity",
        NodeSource::Container(_) => "container",
        NodeSource::InstanceRole => "instance role",
    }
}

#[test]
fn the_first_configured_source_is_used() {
    let all: Vec<_> = KEYS.into_iter().chain(WEB).chain(CONTAINER).collect();
    for (variables, expected) in [
        (&all[..], "environment"),
        (&all[2..], "web identity"),
        (&all[4..], "container"),
        (&[("AWS_SESSION_TOKEN", "alone")], "instance role"),
        (&[("AWS_ROLE_ARN", "alone")], "instance role"),
        (&[("AWS_ACCESS_KEY_ID", "")], "instance role"),
        (&[], "instance role"),
    ] {
        assert_eq!(word(&environment(variables).node_source().unwrap()), expected, "{variables:?}");
    }
}

#[test]
fn a_half_configured_source_is_an_error_that_names_the_variable() {
    for (variables, name) in [
        (&KEYS[..1], "AWS_SECRET_ACCESS_KEY"),
        (&KEYS[1..], "AWS_ACCESS_KEY_ID"),
        (&WEB[..1], "AWS_ROLE_ARN"),
        (&[WEB[0], ("AWS_ROLE_ARN", "node")], "AWS_ROLE_ARN"),
        (&[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "v2/x")], "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
        (&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://evil.example/")], "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        (&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "nonsense")], "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    ] {
        let error = environment(variables).node_source().unwrap_err();
        assert_eq!(error.name, name, "{variables:?}");
        assert!(!error.to_string().contains("CANARY"));
    }
}

#[test]
fn container_endpoints_are_limited_like_in_the_sdks() {
    for (url, allowed) in [
        ("http://169.254.170.2/x", true),
        ("http://169.254.170.23/v1/credentials", true),
        ("http://[fd00:ec2::23]/v1/credentials", true),
        ("http://127.0.0.1:51679/x", true),
        ("http://127.9.9.9/x", true),
        ("http://[::1]:80/x", true),
        ("http://localhost/x", true),
        ("https://anything.example/x", true),
        ("http://169.254.169.254/x", false),
        ("http://169.254.170.2.evil.example/x", false),
        ("http://10.0.0.1/x", false),
    ] {
        let found = environment(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)]).node_source();
        assert_eq!(found.is_ok(), allowed, "{url}");
    }
}

#[test]
fn relative_uri_and_token_file_win_over_full_uri_and_token() {
    let variables = [
        CONTAINER[0],
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/uuid?x=1"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "CANARY"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/var/run/token"),
    ];
    let NodeSource::Container(container) = environment(&variables).node_source().unwrap() else {
        panic!("no container")
    };
    assert_eq!(container.url.to_string(), "http://169.254.170.2/v2/credentials/uuid?x=1");
    assert_eq!(container.token, ContainerToken::File("/var/run/token".to_owned()));
    let NodeSource::Container(container) = environment(&variables[..3]).node_source().unwrap() else { panic!("none") };
    assert_eq!(container.token, ContainerToken::Value(Secret::new("CANARY".to_owned())));
    assert!(!format!("{container:?}").contains("CANARY"));
}

#[test]
fn web_identity_always_has_a_session_name() {
    let named = [WEB[0], WEB[1], ("AWS_ROLE_SESSION_NAME", "node-7")];
    for (variables, expected) in [(&named[..], "node-7"), (&named[..2], "kube2iam")] {
        let NodeSource::WebIdentity(web) = environment(variables).node_source().unwrap() else { panic!("none") };
        assert_eq!(web.session_name, expected);
        assert_eq!((web.token_file.as_str(), web.role.name()), ("/var/token", "node"));
    }
}

#[test]
fn endpoints_follow_the_variables() {
    let endpoints = environment(&[
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_USE_FIPS_ENDPOINT", "True"),
        ("AWS_STS_REGIONAL_ENDPOINTS", "legacy"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:5000"),
    ])
    .endpoints()
    .unwrap();
    assert_eq!(endpoints.region.as_deref(), Some("eu-west-1"));
    assert!(endpoints.fips && endpoints.legacy_global && !endpoints.dual_stack);
    assert_eq!(endpoints.endpoint(None).unwrap().url, "http://127.0.0.1:5000/");
    let both = environment(&[("AWS_DEFAULT_REGION", "eu-west-1"), ("AWS_REGION", "us-east-1")]);
    assert_eq!(both.region.as_deref(), Some("us-east-1"));
    for (name, value) in [
        ("AWS_USE_FIPS_ENDPOINT", "yes"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "1"),
        ("AWS_STS_REGIONAL_ENDPOINTS", "global"),
        ("AWS_ENDPOINT_URL_STS", "sts.example.com"),
        ("AWS_ENDPOINT_URL", "ftp://x"),
    ] {
        assert_eq!(environment(&[(name, value)]).endpoints().unwrap_err().name, name);
    }
}

#[test]
fn the_first_bundle_and_the_upper_case_proxy_win_and_secrets_are_redacted() {
    let found = environment(&[
        ("SSL_CERT_FILE", "/b"),
        ("AWS_CA_BUNDLE", "/a"),
        ("https_proxy", "http://small"),
        ("HTTPS_PROXY", "http://user:CANARY@proxy:3128"),
        ("http_proxy", "http://small"),
        ("no_proxy", ".internal"),
        KEYS[0],
        KEYS[1],
        ("AWS_SESSION_TOKEN", "CANARY-TOKEN"),
    ]);
    assert_eq!(found.ca_bundle.as_deref(), Some("/a"));
    assert_eq!(found.proxy.https_proxy.as_ref().unwrap().expose(), "http://user:CANARY@proxy:3128");
    assert_eq!(found.proxy.http_proxy.as_ref().unwrap().expose(), "http://small");
    assert_eq!(found.proxy.no_proxy.as_deref(), Some(".internal"));
    assert!(!format!("{found:?}").contains("CANARY"));
}

#[test]
fn a_variable_that_is_wrong_is_named_with_the_cause() {
    let error = EnvironmentError { name: "AWS_REGION", cause: "no such region".into() };
    assert_eq!(error.to_string(), "failed to use `AWS_REGION`: no such region");
}
