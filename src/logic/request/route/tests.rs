mod container;
mod forwarding;

use super::*;
use crate::logic::request::message::Headers;

fn ask(method: Method, target: &str, facing: Facing) -> Route {
    route(&Request { method, target, headers: Headers::default() }, facing, &RouteRules::default())
}

fn get(target: &str) -> Route {
    ask(Method::Get, target, Facing::Metadata)
}

#[test]
fn the_routes_of_kube2iam_for_every_version() {
    for version in ["latest", "2009-04-04", "1.0", "x"] {
        let at = |rest: &str| get(&format!("/{version}/meta-data/iam{rest}"));
        assert_eq!(at("/security-credentials"), Route::RoleList(DocumentForm::Plain));
        assert_eq!(at("/security-credentials/"), Route::RoleList(DocumentForm::Plain));
        assert_eq!(at("/security-credentials/app"), Route::RoleDocument(DocumentForm::Plain, "app".into()));
        assert_eq!(at("/security-credentials/team/app"), Route::RoleDocument(DocumentForm::Plain, "team/app".into()));
        assert_eq!(at("/security-credentials/team%2Fapp"), Route::RoleDocument(DocumentForm::Plain, "team/app".into()));
        assert_eq!(
            at("/security-credentials/arn:aws:iam::1:role%2Fapp"),
            Route::RoleDocument(DocumentForm::Plain, "arn:aws:iam::1:role/app".into())
        );
        assert_eq!(at("/security-credentials-extended/"), Route::RoleList(DocumentForm::Extended));
        assert_eq!(at("/security-credentials-extended/app"), Route::RoleDocument(DocumentForm::Extended, "app".into()));
        for role in ["app", "team/app", "team%2Fapp", "arn:aws:iam::1:role%2Fapp"] {
            let open = at(&format!("/security-credentials/{role}"));
            for closed in ["/", "%2F", "%2f/", "//", "/."] {
                assert_eq!(at(&format!("/security-credentials/{role}{closed}")), open, "{role}{closed}");
            }
        }
        assert_eq!(
            at("/security-credentials-extended/app/"),
            Route::RoleDocument(DocumentForm::Extended, "app".into())
        );
        assert_eq!(at("/info"), Route::IamInfo);
        assert_eq!(at(""), Route::IamListing);
        assert_eq!(at("/"), Route::IamListing);
    }
}

#[test]
fn other_spellings_of_the_credential_tree_are_refused() {
    for (target, reason) in [
        ("/latest/META-DATA/iam/info", Reason::NotFound),
        ("/latest/meta-data/IAM/security-credentials/", Reason::NotFound),
        ("/latest/meta-data/iam./info", Reason::NotFound),
        ("/latest/meta-data/iam+/info", Reason::NotFound),
        ("/latest/meta-data/IAM-", Reason::NotFound),
        ("/latest/meta-data/iam/info/", Reason::NotFound),
        ("/latest/meta-data/identity-credentials/ec2/security-credentials/ec2-instance", Reason::NotFound),
        ("/iam/security-credentials/", Reason::NotFound),
        ("/meta-data/iam/info", Reason::NotFound),
        ("/latest/x/meta-data/iam/info", Reason::NotFound),
        ("/latest/meta-data%2fiam/info", Reason::BadPath),
        ("/latest/meta-data/iam%2fsecurity-credentials/app", Reason::BadPath),
        ("/latest/meta-data/iam%20/info", Reason::BadPath),
        ("/latest/user-data", Reason::KeptBack),
        ("/latest/USER-DATA/", Reason::KeptBack),
        ("/2011-01-01/dynamic/instance-identity/pkcs7", Reason::KeptBack),
        ("/latest/dynamic/instance-identity/RSA2048", Reason::KeptBack),
        ("/latest/dynamic/instance-identity/new-proof", Reason::KeptBack),
        ("/latest/dynamic/fws/instance-monitoring", Reason::KeptBack),
        ("/latest/meta-data/managed-ssh-keys/signer-cert", Reason::KeptBack),
    ] {
        assert_eq!(get(target), Route::Refuse(reason), "{target}");
    }
}

#[test]
fn suffixes_parameters_and_variants_of_a_sensitive_word_are_sensitive() {
    for (target, reason) in [
        ("/latest/meta-data/iam.json", Reason::NotFound),
        ("/latest/meta-data/iam,1/info", Reason::NotFound),
        ("/latest/meta-data/iam=x/security-credentials", Reason::NotFound),
        ("/latest/meta-data/iam:80/info", Reason::NotFound),
        ("/latest/meta-data/iam+x/info", Reason::NotFound),
        ("/latest/meta-data/container-credentials-v2/app", Reason::NotFound),
        ("/latest/meta-data/security_credentials/app", Reason::NotFound),
        ("/latest/meta-data/x:credentials/app", Reason::NotFound),
        ("/latest/user-data.txt", Reason::KeptBack),
        ("/openstack/latest/user_data", Reason::KeptBack),
        ("/latest/dynamic/instance-identity/pkcs7.pem", Reason::KeptBack),
        ("/latest/dynamic/instance-identity,x/new-proof", Reason::KeptBack),
        ("/latest/dynamic/instance-identity/document.sig", Reason::KeptBack),
        ("/latest/dynamic/fws@x/instance-monitoring", Reason::KeptBack),
    ] {
        assert_eq!(get(target), Route::Refuse(reason), "{target}");
    }
    for target in ["/latest/meta-data/tags/instance/iam.role", "/latest/meta-data/public-keys/0=iam/openssh-key"] {
        assert!(matches!(get(target), Route::Forward(_)), "{target}");
    }
}

#[test]
fn other_paths_are_forwarded_and_some_listings_filtered() {
    for target in [
        "/latest/meta-data/placement/region",
        "/latest/dynamic/instance-identity/document",
        "/latest/meta-data/tags/instance/iam",
        "/latest/meta-data/placement/",
    ] {
        assert!(matches!(get(target), Route::Forward(path) if path.as_str() == target), "{target}");
    }
    for target in [
        "/",
        "/latest",
        "/latest/",
        "/latest/meta-data",
        "/latest/meta-data/",
        "/latest/dynamic/",
        "/latest/dynamic/instance-identity/",
    ] {
        assert!(matches!(get(target), Route::Listing(path) if path.as_str() == target), "{target}");
    }
}

#[test]
fn a_filtered_listing_is_requested_without_a_query() {
    let query = |target: &str| match get(target) {
        Route::Listing(path) | Route::Forward(path) => path.query().map(str::to_owned),
        other => panic!("{other:?}"),
    };
    for listing in ["/", "/latest/", "/latest/meta-data/", "/latest/dynamic/instance-identity/"] {
        assert_eq!(query(&format!("{listing}?recursive=true")), None, "{listing}");
    }
    assert_eq!(query("/latest/meta-data/placement/?recursive=true").as_deref(), Some("recursive=true"));
}

#[test]
fn allowed_paths_are_forwarded_and_denied_paths_blocked() {
    let rules = RouteRules {
        allowed: vec!["user-data".into(), "instance-identity".into()],
        denied: vec![Regex::new("/placement/").unwrap()],
        ..RouteRules::default()
    };
    let forwarded = |target: &str| {
        matches!(
            route(&Request { method: Method::Get, target, headers: Headers::default() }, Facing::Metadata, &rules),
            Route::Forward(_)
        )
    };
    assert!(forwarded("/latest/user-data"));
    assert!(forwarded("/latest/dynamic/instance-identity/pkcs7"));
    assert!(!forwarded("/latest/dynamic/fws/x"));
    assert!(!forwarded("/latest/meta-data/PLACEMENT/region"));
}

#[test]
fn a_denied_path_is_denied_in_every_spelling() {
    let rules =
        RouteRules { denied: vec![Regex::new("^/latest/meta-data/hostname$").unwrap()], ..RouteRules::default() };
    for target in ["hostname", "hostname/", "HOSTNAME", "hostname.", "x/../hostname", "hostname?a"] {
        let target = format!("/latest/meta-data/{target}");
        let request = Request { method: Method::Get, target: &target, headers: Headers::default() };
        assert_eq!(route(&request, Facing::Metadata, &rules), Route::Refuse(Reason::KeptBack), "{target}");
    }
}

#[test]
fn methods() {
    let token = "/latest/api/token";
    for (method, target, route) in [
        (Method::Put, token, Route::Token),
        (Method::Options, token, Route::TokenOptions),
        (Method::Get, token, Route::TokenMethod),
        (Method::Delete, token, Route::TokenMethod),
        (Method::Put, "/2011-01-01/api/token", Route::Refuse(Reason::TokenPathVersioned)),
        (Method::Get, "/2011-01-01/api/token", Route::TokenMethod),
        (Method::Delete, "/latest/meta-data/iam/security-credentials/app", Route::Refuse(Reason::MethodNotAllowed)),
        (Method::Post, "/latest/meta-data/placement/region", Route::Refuse(Reason::MethodNotAllowed)),
        (Method::Put, "/latest/user-data", Route::Refuse(Reason::KeptBack)),
        (Method::Head, "/latest/meta-data/iam/info", Route::IamInfo),
    ] {
        assert_eq!(ask(method, target, Facing::Metadata), route, "{method:?} {target}");
    }
}

#[test]
fn the_agents_pages_are_served_at_the_node_only() {
    let rules = RouteRules { metrics: true, debug: true, ..RouteRules::default() };
    for (target, page) in [
        ("/healthz", OwnPage::Health),
        ("/readyz", OwnPage::Ready),
        ("/metrics", OwnPage::Metrics),
        ("/debug/store", OwnPage::Store),
    ] {
        let request = Request { method: Method::Get, target, headers: Headers::default() };
        assert_eq!(route(&request, Facing::Node, &rules), Route::Page(page));
        assert_eq!(route(&request, Facing::Metadata, &rules), Route::Refuse(Reason::NotFound));
    }
    for target in ["/metrics", "/debug/store", "/debug/x", "/HEALTHZ", "/healthz/x"] {
        assert_eq!(ask(Method::Get, target, Facing::Node), Route::Refuse(Reason::NotFound), "{target}");
    }
}

#[test]
fn metadata_requests_are_recognised_by_host_then_by_the_redirect() {
    for (target, host, redirected, expected) in [
        ("/", Some("169.254.169.254"), false, Facing::Metadata),
        ("/", Some("169.254.169.254:80"), false, Facing::Metadata),
        ("/", Some("169.254.169.254:8181"), false, Facing::Metadata),
        ("/", Some("[fd00:ec2::254]:8181"), false, Facing::Metadata),
        ("/", Some("fd00:ec2::254"), false, Facing::Metadata),
        ("/", Some("::ffff:169.254.169.254"), false, Facing::Metadata),
        ("/", Some("instance-data.:80"), false, Facing::Metadata),
        ("/", Some("[fd00:ec2:0::254]"), false, Facing::Metadata),
        ("/", Some("Instance-Data"), false, Facing::Metadata),
        ("/", None, false, Facing::Metadata),
        ("/", Some(""), false, Facing::Metadata),
        ("/", Some("10.0.0.1:8181"), false, Facing::Node),
        ("/", Some("10.0.0.1:8181"), true, Facing::Metadata),
        ("http://169.254.169.254/healthz", Some("10.0.0.1"), false, Facing::Metadata),
        ("http://10.0.0.1/", Some("169.254.169.254"), false, Facing::Node),
    ] {
        let headers = Headers { host: host.map(str::as_bytes), ..Headers::default() };
        assert_eq!(
            facing(&Request { method: Method::Get, target, headers }, || redirected, || None, &RouteRules::default()),
            expected,
            "{target} {host:?}"
        );
    }
}

#[test]
fn listings_show_only_paths_that_are_served() {
    let rules = RouteRules::default();
    for (path, listing, role, shown) in [
        (
            "/latest/meta-data/",
            "ami-id\niam/\nidentity-credentials/\nplacement/",
            IamEntry::Shown,
            "ami-id\niam/\nplacement/",
        ),
        ("/latest/meta-data/", "ami-id\niam/\nplacement/", IamEntry::Hidden, "ami-id\nplacement/"),
        ("/latest/meta-data", "ami-id\nplacement/", IamEntry::Shown, "ami-id\niam/\nplacement/"),
        ("/latest/", "dynamic\nmeta-data\nuser-data", IamEntry::Shown, "dynamic\nmeta-data"),
        ("/latest/dynamic/", "fws/\ninstance-identity/", IamEntry::Shown, "instance-identity/"),
        ("/latest/dynamic/instance-identity/", "document\npkcs7\nsignature", IamEntry::Shown, "document"),
        ("/", "1.0\nlatest", IamEntry::Shown, "1.0\nlatest"),
    ] {
        let path = CanonicalPath::parse(path, |_| false).unwrap();
        assert_eq!(filter_listing(&path, listing, role, &rules), shown, "{path:?}");
    }
}

#[test]
fn handlers_have_the_names_that_dashboards_of_kube2iam_know() {
    let path = || CanonicalPath::parse("/", |_| false).unwrap();
    for (route, name) in [
        (Route::RoleList(DocumentForm::Plain), "securityCredentialsHandler"),
        (Route::RoleDocument(DocumentForm::Plain, "app".into()), "roleHandler"),
        (Route::IamInfo, "iamHandler"),
        (Route::Page(OwnPage::Health), "healthHandler"),
        (Route::Page(OwnPage::Store), "debugStoreHandler"),
        (Route::Page(OwnPage::Metrics), "metricsHandler"),
        (Route::Forward(path()), "reverseProxyHandler"),
        (Route::Token, "tokenHandler"),
        (Route::ContainerCredentials, "containerCredentialsHandler"),
    ] {
        assert_eq!(route.handler(), name);
    }
}

#[test]
fn only_the_exact_path_is_the_token_path() {
    assert_eq!(ask(Method::Put, "/latest/api/token", Facing::Metadata), Route::Token);
    for target in ["/latest/API/token", "/latest/api/token/x", "/Latest/api/token", "/2021-01-03/api/token"] {
        let route = ask(Method::Put, target, Facing::Metadata);
        assert_eq!(route, Route::Refuse(Reason::TokenPathVersioned), "{target}");
    }
}

#[test]
fn an_absolute_target_names_the_metadata_service() {
    for host in ["169.254.169.254", "169.254.169.254:80", "[fd00:ec2::254]"] {
        assert_eq!(get(&format!("http://{host}/latest/meta-data/iam/info")), Route::IamInfo, "{host}");
    }
    for host in ["example.com", "169.254.169.254:8080", "169.254.170.2"] {
        assert_eq!(get(&format!("http://{host}/latest/meta-data/iam/info")), Route::Refuse(Reason::BadPath), "{host}");
    }
}
