use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use parking_lot::Mutex;

use super::*;
use crate::clients::http::TlsOptions;
use crate::clients::stand_in::{Act, StandIn, WallAt, answer, refused_url};
use crate::clients::sts::{RegionSource, StsOptions};
use crate::logic::base::proxy::ProxyEnvironment;
use crate::logic::base::secret::Secret;
use crate::logic::base::time::Wall;
use crate::logic::base::url::ServiceUrl;
use crate::logic::request::message::Response;
use crate::logic::request::path::CanonicalPath;
use crate::logic::request::upstream::ImdsFailure;
use crate::logic::sts::endpoints::StsEndpoints;
use crate::logic::sts::environment::{AwsEnvironment, Container, ContainerToken};
use crate::logic::sts::tests::plain_call;
use crate::ports::Forwarded;

/// 2026-11-23T02:59:47Z
const NOW: Wall = Wall::from_unix_seconds(1_795_402_787);
const TIMEOUT: Duration = Duration::from_secs(20);

/// A metadata service with documents that a test may change.
#[derive(Default)]
struct Documents(Mutex<HashMap<String, String>>);

impl Imds for Documents {
    fn forward(&self, _: Forwarded, _: &CanonicalPath, _: Option<&[u8]>) -> Result<Response, ImdsFailure> {
        Err(ImdsFailure { status: None, cause: "not here".to_owned() })
    }

    fn read(&self, path: &str) -> Result<String, ImdsFailure> {
        let document = self.0.lock().get(path).cloned();
        document.ok_or_else(|| ImdsFailure { status: Some(404), cause: format!("failed to get `{path}`: 404") })
    }
}

impl Documents {
    fn put(&self, path: &str, text: &str) {
        self.0.lock().insert(path.to_owned(), text.to_owned());
    }
}

struct Node {
    imds: Arc<Documents>,
    clock: Arc<WallAt>,
    clients: SourceClients,
}

/// A node with STS at `url`.
fn node(url: &str) -> Node {
    let clock = WallAt::new(NOW);
    let options = StsOptions {
        endpoints: StsEndpoints { override_sts: Some(ServiceUrl::parse(url).unwrap()), ..StsEndpoints::default() },
        region: RegionSource::Given("eu-west-1".to_owned()),
        proxy: ProxyEnvironment::default(),
        tls: TlsOptions::public("STS"),
        attempt: Duration::from_secs(20),
    };
    let wire = Arc::new(StsWire::new(options, clock.clone()).unwrap());
    let imds = Arc::new(Documents::default());
    let clients = SourceClients { imds: imds.clone(), wire, clock: clock.clone() };
    Node { imds, clock, clients }
}

fn keys(text: &str) -> NodeSource {
    let credentials = Credentials {
        access_key_id: text.to_owned(),
        secret_access_key: Secret::new("CANARY".to_owned()),
        session_token: None,
        expiration: None,
    };
    NodeSource::Environment(credentials)
}

fn session(key: &str, expiration: &str) -> String {
    format!(
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{key}</AccessKeyId>\
         <SecretAccessKey>CANARY</SecretAccessKey><SessionToken>CANARY</SessionToken>\
         <Expiration>{expiration}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
    )
}

fn instance_document(key: &str, expiration: &str) -> String {
    format!(
        r#"{{"Code":"Success","AccessKeyId":"{key}","SecretAccessKey":"CANARY","Token":"CANARY","Expiration":"{expiration}"}}"#
    )
}

fn current(credentials: &Arc<dyn NodeCredentials>) -> Result<String, StsFailure> {
    credentials.current(TIMEOUT).map(|credentials| credentials.access_key_id.clone())
}

/// A file, removed on drop.
struct TokenFile(PathBuf);

impl TokenFile {
    fn new(name: &str, text: &str) -> Self {
        let file = Self(std::env::temp_dir().join(format!("kube2iam-{}-{name}", std::process::id())));
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        fs::write(&self.0, text).unwrap();
    }

    fn path(&self) -> String {
        self.0.to_str().unwrap().to_owned()
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn keys_from_the_environment_never_change() {
    let credentials = node_credentials(keys("AKIA"), None, &node(&refused_url()).clients).unwrap();
    let held = credentials.current(TIMEOUT).unwrap();
    credentials.reload(&held);
    assert_eq!(current(&credentials).unwrap(), "AKIA");
    assert_eq!(credentials.describe(), "environment variables");
}

#[test]
fn instance_credentials_are_cached_and_renewed_before_they_expire() {
    let node = node(&refused_url());
    let credentials = node_credentials(NodeSource::InstanceRole, None, &node.clients).unwrap();
    node.imds.put("/latest/meta-data/iam/security-credentials/", "node");
    let path = "/latest/meta-data/iam/security-credentials/node";
    node.imds.put(path, &instance_document("FIRST", "2026-11-23T03:59:47Z"));
    assert_eq!(current(&credentials).unwrap(), "FIRST");
    node.imds.put(path, &instance_document("SECOND", "2026-11-23T05:59:47Z"));
    assert_eq!(current(&credentials).unwrap(), "FIRST");
    node.clock.advance(Duration::from_secs(46 * 60));
    assert_eq!(current(&credentials).unwrap(), "SECOND");
}

#[test]
fn valid_credentials_stay_in_use_while_renewal_fails() {
    let node = node(&refused_url());
    let credentials = node_credentials(NodeSource::InstanceRole, None, &node.clients).unwrap();
    node.imds.put("/latest/meta-data/iam/security-credentials/", "node");
    node.imds
        .put("/latest/meta-data/iam/security-credentials/node", &instance_document("ONLY", "2026-11-23T03:59:47Z"));
    assert_eq!(current(&credentials).unwrap(), "ONLY");
    node.imds.0.lock().clear();
    node.clock.advance(Duration::from_secs(59 * 60));
    assert_eq!(current(&credentials).unwrap(), "ONLY");
    node.clock.advance(Duration::from_secs(61));
    let failure = current(&credentials).unwrap_err();
    assert_eq!((failure.kind, failure.code.as_str()), (StsFailureKind::NoNodeCredentials, "NoInstanceRole"));
}

#[test]
fn instance_without_a_usable_role_reports_the_cause() {
    let node = node(&refused_url());
    let fetched = || current(&node_credentials(NodeSource::InstanceRole, None, &node.clients).unwrap()).unwrap_err();
    assert_eq!(fetched().code, "NoInstanceRole");
    node.imds.put("/latest/meta-data/iam/security-credentials/", "<html>");
    assert_eq!(fetched().code, "NoMetadata");
    node.imds.put("/latest/meta-data/iam/security-credentials/", "node");
    let refused = r#"{"Code":"AssumeRoleUnauthorizedAccess","Message":"EC2 cannot assume it"}"#;
    node.imds.put("/latest/meta-data/iam/security-credentials/node", refused);
    let failure = fetched();
    assert_eq!(failure.to_string(), "AssumeRoleUnauthorizedAccess: EC2 cannot assume it");
    assert_eq!(failure.kind, StsFailureKind::NoNodeCredentials);
}

#[test]
fn rejected_credentials_are_fetched_again_and_newer_ones_stay() {
    let node = node(&refused_url());
    let credentials = node_credentials(NodeSource::InstanceRole, None, &node.clients).unwrap();
    node.imds.put("/latest/meta-data/iam/security-credentials/", "node");
    let path = "/latest/meta-data/iam/security-credentials/node";
    node.imds.put(path, &instance_document("FIRST", "2026-11-23T03:59:47Z"));
    let first = credentials.current(TIMEOUT).unwrap();
    node.imds.put(path, &instance_document("SECOND", "2026-11-23T05:59:47Z"));
    credentials.reload(&first);
    assert_eq!(current(&credentials).unwrap(), "SECOND");
    node.imds.put(path, &instance_document("THIRD", "2026-11-23T05:59:47Z"));
    credentials.reload(&first);
    assert_eq!(current(&credentials).unwrap(), "SECOND");
}

#[test]
fn web_identity_call_is_unsigned_and_its_file_read_each_time() {
    let stand_in = StandIn::start(|seen, before| {
        assert!(seen.header("authorization").is_none());
        assert!(seen.body.contains(&format!("&WebIdentityToken=CANARY-{before}")), "{}", seen.body);
        Act::Say(answer(200, &[], &session(&format!("WEB{before}"), "2026-11-23T03:59:47Z")))
    });
    let file = TokenFile::new("web", "CANARY-0\n");
    let environment = AwsEnvironment {
        web_identity_token_file: Some(file.path()),
        role_arn: Some("arn:aws:iam::123456789012:role/node".to_owned()),
        ..AwsEnvironment::default()
    };
    let node = node(&stand_in.url());
    let credentials = node_credentials(environment.node_source().unwrap(), None, &node.clients).unwrap();
    assert!(credentials.describe().ends_with("-web` for `arn:aws:iam::123456789012:role/node`"));
    let first = credentials.current(TIMEOUT).unwrap();
    assert_eq!(first.access_key_id, "WEB0");
    file.write("CANARY-1");
    credentials.reload(&first);
    assert_eq!(current(&credentials).unwrap(), "WEB1");
}

#[test]
fn refused_web_identity_means_no_credentials_and_its_token_stays_secret() {
    let file = TokenFile::new("web-refused", "CANARY");
    for (status, code, kind) in [
        (400, "InvalidIdentityToken", StsFailureKind::NoNodeCredentials),
        (403, "AccessDenied", StsFailureKind::NoNodeCredentials),
        (400, "ExpiredTokenException", StsFailureKind::NoNodeCredentials),
        (400, "Throttling", StsFailureKind::Throttled),
        (503, "ServiceUnavailable", StsFailureKind::Unavailable),
    ] {
        let stand_in = StandIn::start(move |_, _| {
            let error = format!("<Error><Code>{code}</Code><Message>CANARY is odd</Message></Error>");
            Act::Say(answer(status, &[], &format!("<ErrorResponse>{error}</ErrorResponse>")))
        });
        let environment = AwsEnvironment {
            web_identity_token_file: Some(file.path()),
            role_arn: Some("arn:aws:iam::123456789012:role/node".to_owned()),
            ..AwsEnvironment::default()
        };
        let node = node(&stand_in.url());
        let credentials = node_credentials(environment.node_source().unwrap(), None, &node.clients).unwrap();
        let failure = current(&credentials).unwrap_err();
        assert_eq!((failure.kind, failure.to_string()), (kind, format!("{code}: [secret] is odd")));
    }
}

fn container(url: &str, token: ContainerToken) -> NodeSource {
    NodeSource::Container(Container { url: ServiceUrl::parse(url).unwrap(), token })
}

#[test]
fn container_endpoint_gets_the_current_token() {
    let stand_in = StandIn::start(|seen, _| {
        let token = seen.header("authorization").unwrap();
        Act::Say(answer(
            200,
            &[],
            &format!(r#"{{"AccessKeyId":"FOR-{token}","SecretAccessKey":"CANARY","Token":"CANARY"}}"#),
        ))
    });
    let file = TokenFile::new("container", "one");
    let url = format!("{}/v1/credentials?id=1", stand_in.url());
    let source = container(&url, ContainerToken::File(file.path()));
    let credentials = node_credentials(source, None, &node(&refused_url()).clients).unwrap();
    let first = credentials.current(TIMEOUT).unwrap();
    file.write("two");
    credentials.reload(&first);
    assert_eq!((first.access_key_id.as_str(), current(&credentials).unwrap().as_str()), ("FOR-one", "FOR-two"));
    assert_eq!(stand_in.lines()[0], "GET /v1/credentials?id=1");
    assert_eq!(credentials.describe(), format!("container endpoint `{url}`"));
}

#[test]
fn container_endpoint_without_credentials_reports_the_cause() {
    for (status, body, code) in [
        (503, r#"{"code":"CredentialsUninitialized","message":"not yet"}"#, "CredentialsUninitialized"),
        (404, "CANARY not found", "NoContainerCredentials"),
        (500, r#"{"AccessKeyId":"A","SecretAccessKey":"CANARY"}"#, "NoContainerCredentials"),
        (200, "CANARY", "Unreadable"),
    ] {
        let stand_in = StandIn::start(move |_, _| Act::Say(answer(status, &[], body)));
        let source = container(&stand_in.url(), ContainerToken::Absent);
        let failure = current(&node_credentials(source, None, &node(&refused_url()).clients).unwrap()).unwrap_err();
        assert_eq!((failure.kind, failure.code.as_str()), (StsFailureKind::NoNodeCredentials, code));
        assert!(!failure.to_string().contains("CANARY"), "{failure}");
    }
}

#[test]
fn multi_line_or_missing_token_is_never_sent() {
    let stand_in = StandIn::start(|_, _| Act::Close);
    let file = TokenFile::new("lines", "CANARY\r\nX: y");
    let empty = TokenFile::new("empty", "");
    for token in [
        ContainerToken::File(file.path()),
        ContainerToken::File(empty.path()),
        ContainerToken::File("/nowhere/at/all".to_owned()),
        ContainerToken::Value(Secret::new("CANARY\n".to_owned())),
    ] {
        let credentials =
            node_credentials(container(&stand_in.url(), token), None, &node(&refused_url()).clients).unwrap();
        let failure = current(&credentials).unwrap_err();
        assert_eq!(failure.code, "NoContainerToken");
        assert!(!failure.to_string().contains("CANARY"), "{failure}");
    }
    assert!(stand_in.lines().is_empty());
}

fn hop() -> AssumeRole {
    plain_call("hop", "node")
}

#[test]
fn hop_signs_with_the_nodes_keys_and_its_session_is_renewed() {
    let stand_in = StandIn::start(|seen, before| {
        assert!(seen.header("authorization").unwrap().contains("Credential=AKIA/"));
        let end = if before == 0 { "2026-11-23T03:59:47Z" } else { "2026-11-23T04:59:47Z" };
        Act::Say(answer(200, &[], &session(&format!("HOP{before}"), end)))
    });
    let node = node(&stand_in.url());
    let credentials = node_credentials(keys("AKIA"), Some(hop()), &node.clients).unwrap();
    assert_eq!(credentials.describe(), "role `arn:aws:iam::123456789012:role/hop`, assumed by environment variables");
    assert_eq!(credentials.role().unwrap().name, "hop");
    assert_eq!(current(&credentials.first().unwrap()).unwrap(), "AKIA");
    assert_eq!(current(&credentials).unwrap(), "HOP0");
    assert_eq!(current(&credentials).unwrap(), "HOP0");
    node.clock.advance(Duration::from_secs(46 * 60));
    assert_eq!(current(&credentials).unwrap(), "HOP1");
}

#[test]
fn refused_hop_leaves_the_node_without_credentials() {
    let stand_in = StandIn::start(|_, _| {
        let error = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>";
        Act::Say(answer(403, &[], &format!("<ErrorResponse>{error}</ErrorResponse>")))
    });
    let credentials = node_credentials(keys("AKIA"), Some(hop()), &node(&stand_in.url()).clients).unwrap();
    let failure = current(&credentials).unwrap_err();
    assert_eq!((failure.kind, failure.code.as_str()), (StsFailureKind::NoNodeCredentials, "AccessDenied"));
    let away = node_credentials(keys("AKIA"), Some(hop()), &node(&refused_url()).clients).unwrap();
    assert_eq!(current(&away).unwrap_err().kind, StsFailureKind::Unavailable);
}
