//! The tree that a pod sees: its own credentials answered here, the node's things kept back, the rest as it is.

use crate::site::{NOBODY, OWN, POD, REGION, ROLES, Site};
use crate::standins::STS_CANARY;
use crate::standins::client::{self, Ask};
use crate::standins::kubernetes::PodSpec;
use crate::standins::metadata::NODE_CANARY;

const KEPT_BACK: [&str; 7] = [
    "/latest/user-data",
    "/2021-03-23/user-data",
    "/latest/dynamic/instance-identity/signature",
    "/latest/dynamic/instance-identity/pkcs7",
    "/latest/dynamic/instance-identity/rsa2048",
    "/latest/dynamic/fws/instance-monitoring",
    "/latest/meta-data/managed-ssh-keys/signer-cert",
];

const PLAIN: [&str; 6] = [
    REGION,
    "/latest/dynamic/instance-identity/document",
    "/latest/meta-data/placement/availability-zone",
    "/latest/meta-data/tags/instance/team",
    "/2021-03-23/meta-data/network/interfaces/macs/02:00:00:00:00:01/vpc-id",
    "/latest/meta-data/hostname",
];

#[test]
fn the_nodes_own_things_are_kept_back_and_the_rest_is_not() {
    let site = Site::open(&[]);
    for path in KEPT_BACK {
        let answer = site.get(path);
        assert_eq!((answer.status, answer.text().as_str()), (403, "kept_back\n"), "{path}");
        assert_eq!(site.fetched(path), 0, "{path}");
    }
    for path in PLAIN {
        assert_eq!((site.get(path).status, site.fetched(path)), (200, 1), "{path}");
    }
    assert_eq!(site.metric("kube2iam_refusals_total{reason=\"kept_back\"}"), Some(7.0));
}

#[test]
fn each_is_opened_by_its_name_and_further_ones_closed() {
    let site = Site::open(&[
        "--metadata-allow=user-data,instance-identity",
        "--metadata-deny=/placement/",
        "--metadata-deny=hostname$",
    ]);
    for (path, status) in [
        ("/latest/user-data", 200),
        ("/latest/dynamic/instance-identity/pkcs7", 200),
        ("/latest/dynamic/fws/instance-monitoring", 403),
        ("/latest/meta-data/managed-ssh-keys/signer-cert", 403),
        (REGION, 403),
        ("/latest/META-DATA/Placement/region", 403),
        ("/latest/meta-data/hostname", 403),
        ("/latest/meta-data/hostname/", 403),
        ("/latest/meta-data/instance-id", 200),
        ("/latest/meta-data/iam/security-credentials/node-role", 403),
        ("/latest/meta-data/identity-credentials/ec2/info", 404),
    ] {
        assert_eq!(site.get(path).status, status, "{path}");
    }
    let listing = site.get("/latest/meta-data/").text();
    assert!(!listing.contains("placement") && !listing.contains("hostname"), "{listing}");
    let listing = site.get("/latest/dynamic/").text();
    assert_eq!(listing, "instance-identity/");
    let every = Site::open(&["--metadata-allow=fws", "--metadata-allow=managed-ssh-keys"]);
    every.lab.metadata.put("meta-data/managed-ssh-keys/signer-cert", "key");
    assert_eq!(
        [every.get(KEPT_BACK[5]).status, every.get(KEPT_BACK[6]).status, every.get(KEPT_BACK[0]).status],
        [200, 200, 403]
    );
}

#[test]
fn listings_show_what_can_be_had_and_iam_to_pods_with_a_role() {
    let site = Site::open(&["--backoff-max-elapsed-time=300ms"]);
    site.lab.kubernetes.add_pod(PodSpec::new("default", "bare").ip("127.0.0.9"));
    let names = "ami-id\nhostname\niam/\ninstance-id\ninstance-type\nlocal-hostname\nlocal-ipv4\nmac\nnetwork/\nplacement/\nservices/\ntags/";
    for spelling in ["/latest/meta-data/", "/latest/meta-data", "/2021-03-23/meta-data/", "//latest/./meta-data/"] {
        assert_eq!(site.get(spelling).text(), names, "{spelling}");
    }
    let bare = |path: &str| client::get(site.addr(), "127.0.0.9", path);
    for from in ["127.0.0.9", NOBODY] {
        let listing = client::get(site.addr(), from, "/latest/meta-data/").text();
        assert_eq!(listing, names.replace("iam/\n", ""), "{from}");
    }
    assert_eq!(site.get("/").text(), "1.0\n2009-04-04\n2016-09-02\n2021-03-23\nlatest");
    assert_eq!(site.get("/latest/").text(), "dynamic\nmeta-data");
    assert_eq!(site.get("/latest/dynamic").text(), "instance-identity/");
    assert_eq!(site.get("/latest/dynamic/instance-identity/").text(), "document");
    assert_eq!(site.get("/latest/meta-data/iam").text(), "info\nsecurity-credentials/");
    assert_eq!(site.get("/latest/meta-data/iam/").text(), "info\nsecurity-credentials/");
    for path in ["/latest/meta-data/iam/", "/latest/meta-data/iam/info", ROLES] {
        assert_eq!((bare(path).status, bare(path).text().as_str()), (404, "no_role\n"), "{path}");
    }
}

#[test]
fn iam_info_and_the_extended_document_speak_of_the_pods_role() {
    let site = Site::open(&[]);
    let info = site.get("/latest/meta-data/iam/info").json();
    assert_eq!(info["Code"], "Success");
    assert_eq!(info["InstanceProfileArn"], "arn:aws:iam::123456789012:instance-profile/app");
    let extended = "/latest/meta-data/iam/security-credentials-extended/";
    assert_eq!([site.get(extended).text(), site.get(ROLES).text()], ["app", "app"]);
    let (plain, more) = (site.get(OWN).json(), site.get(&format!("{extended}app")).json());
    assert_eq!(more["AccountId"], "123456789012");
    assert_eq!((&plain["AccountId"], &plain["SecretAccessKey"]), (&serde_json::Value::Null, &more["SecretAccessKey"]));
    assert!(more["SecretAccessKey"].as_str().unwrap().starts_with(STS_CANARY));
    for other in ["node-role", "App", "app/x/", "app/x", "", "other"].iter().filter(|other| !other.is_empty()) {
        for tree in [ROLES, extended] {
            let answer = site.get(&format!("{tree}{other}"));
            assert_eq!((answer.status, answer.text().as_str()), (403, "other_role\n"), "{other}");
        }
    }
    for path in ["info", "security-credentials/ec2-instance", "", "x"] {
        let answer = site.get(&format!("/latest/meta-data/identity-credentials/ec2/{path}"));
        assert_eq!((answer.status, answer.text().as_str()), (404, "not_found\n"), "{path}");
    }
    let canonical = ["iam", "identity-credentials"].map(|tree| format!("/latest/meta-data/{tree}"));
    assert!(!site.lab.metadata.seen().iter().any(|seen| canonical.iter().any(|tree| seen.path().starts_with(tree))));
}

/// EC2 answers it so, and some clients glue their paths together.
#[test]
fn a_role_with_a_closing_slash_is_the_roles_document() {
    let site = Site::open(&[]);
    let web = "127.0.0.10";
    site.lab.kubernetes.add_pod(PodSpec::new("default", "path").ip(web).role("team/web"));
    let trees = [ROLES.to_owned(), ROLES.replace("-credentials/", "-credentials-extended/")];
    for (from, role) in [(POD, "app"), (web, "team/web"), (web, "team%2Fweb"), (web, "team%2fweb")] {
        for path in trees.iter().map(|tree| format!("{tree}{role}")) {
            for closed in ["/", "%2F"].map(|end| format!("{path}{end}")) {
                let [open, answer] = [&path, &closed].map(|path| client::get(site.addr(), from, path));
                let head = Ask::new("HEAD", &closed).send(site.addr(), from);
                assert_eq!((answer.status, head.status, answer.text()), (200, 200, open.text()), "{closed}");
            }
        }
        let other = client::get(site.addr(), from, &format!("{ROLES}other/"));
        assert_eq!((other.status, other.text().as_str()), (403, "other_role\n"));
    }
}

#[test]
fn head_is_get_without_a_body() {
    let site = Site::open(&[]);
    for path in
        [ROLES, OWN, REGION, "/latest/meta-data/", "/latest/meta-data/iam/info", "/latest/user-data", "/latest/none"]
    {
        let (got, told) = (site.get(path), site.ask(&Ask::new("HEAD", path)));
        let length = got.body.len().to_string();
        assert_eq!((told.status, told.header("Content-Length")), (got.status, Some(length.as_str())), "{path}");
        assert_eq!(told.header("Content-Type"), got.header("Content-Type"), "{path}");
    }
    // Nothing follows: the next answer on the connection is the next answer.
    let mut connection = client::Connection::open(site.addr(), POD);
    for path in [OWN, REGION] {
        assert_eq!(connection.ask(&Ask::new("HEAD", path)).status, 200);
        assert_eq!(connection.ask(&Ask::get(ROLES)).text(), "app");
    }
}

#[test]
fn only_get_and_head_do_anything() {
    let site = Site::open(&[]);
    for path in [ROLES, OWN, REGION, "/", "/latest/meta-data/", "/latest/meta-data/iam/info"] {
        let before = site.fetched(path.trim_end_matches('/'));
        for method in ["PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE", "get", "PROPFIND"] {
            let answer = site.ask(&Ask::new(method, path).body(b"body"));
            assert_eq!((answer.status, answer.header("Allow")), (405, Some("GET, HEAD")), "{method} {path}");
            assert!(!answer.text().contains(STS_CANARY) && !answer.text().contains(NODE_CANARY));
        }
        assert_eq!(site.fetched(path.trim_end_matches('/')), before);
    }
}
