//! TLS: who is trusted, who we are, and the kubeconfigs that say so.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube2iam::for_tests::{
    ApiServerConnection, Authorities, CallLimits, Kubernetes, Pem, Resource, Roots, Secret, TlsOptions, Verification,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::server::{Reply, Server, Then, Wire};
use crate::{Directory, HandClock, api_server, names};

/// An authority that vouches for servers and clients alike.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
    root: rustls::pki_types::CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::with_key(KeyPair::generate().unwrap())
    }

    pub(crate) fn with_key(key: KeyPair) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "stand-in authority");
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), root: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }

    /// A certificate for a name or address, and its key.
    pub(crate) fn vouch(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (self.vouch_for(name, usage, &key), key)
    }

    /// A certificate for a name or address and this key.
    pub(crate) fn vouch_for(&self, name: &str, usage: ExtendedKeyUsagePurpose, key: &KeyPair) -> rcgen::Certificate {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        params.signed_by(key, &self.issuer).unwrap()
    }

    /// How a server speaks that has a certificate of this authority, to nobody without one of `clients`.
    pub(crate) fn server_config(&self, clients: Option<&Self>) -> Arc<ServerConfig> {
        let (certificate, key) = self.vouch("127.0.0.1", ExtendedKeyUsagePurpose::ServerAuth);
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.root.clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.unwrap())
            }
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap())
    }

    /// Plays replies over TLS, to nobody without a certificate of `clients`.
    fn play(&self, replies: Vec<Reply>, clients: Option<&Self>) -> Server {
        let config = self.server_config(clients);
        Server::play_over(replies, Box::new(move |stream| accept(&config, stream)))
    }
}

/// The server's side of a handshake.
pub(crate) fn accept(config: &Arc<ServerConfig>, mut stream: TcpStream) -> std::io::Result<Box<dyn Wire>> {
    let mut connection = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    connection.complete_io(&mut stream)?;
    Ok(Box::new(StreamOwned::new(connection, stream)))
}

/// A kubeconfig with these fields for cluster and user, as YAML.
pub(crate) fn kubeconfig(server: &Server, cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\npreferences: {{}}\n\
         contexts: [{{name: here, context: {{cluster: c, user: u, namespace: x}}}}]\n\
         clusters:\n- name: c\n  cluster:\n    server: https://{}/\n{cluster}users:\n- name: u\n  user:\n{user}",
        server.address
    )
}

/// Lists namespaces once.
pub(crate) fn list(connection: ApiServerConnection) -> Result<usize, String> {
    let api = api_server(connection, None, &HandClock::default(), CallLimits::default());
    let (names, page) = names(&api, Resource::Namespaces, None);
    page.map(|_| names.len()).map_err(|failure| failure.cause)
}

#[test]
fn a_kubeconfig_brings_its_client_certificate() {
    let (authority, clients, directory) = (Authority::new(), Authority::new(), Directory::new());
    let (certificate, key) = clients.vouch("admin", ExtendedKeyUsagePurpose::ClientAuth);
    directory.file("ca.crt", &authority.pem);
    directory.file("client.crt", &certificate.pem());
    directory.file("client.key", &key.serialize_pem());
    let data = |pem: &str| STANDARD.encode(pem);
    let files = (
        "    certificate-authority: ca.crt\n".to_owned(),
        "    client-certificate: client.crt\n    client-key: client.key\n".to_owned(),
    );
    let inline = (
        format!("    certificate-authority-data: {}\n", data(&authority.pem)),
        format!(
            "    client-certificate-data: {}\n    client-key-data: {}\n",
            data(&certificate.pem()),
            data(&key.serialize_pem())
        ),
    );
    for (cluster, user) in [files, inline] {
        let server = authority.play(vec![Reply::recorded("list-namespaces")], Some(&clients));
        let path = directory.file("config", &kubeconfig(&server, &cluster, &user));
        assert_eq!(list(ApiServerConnection::kubeconfig(&path, Verification::Required).unwrap()), Ok(6));
    }
    let server = authority.play(vec![Reply::recorded("list-namespaces")], Some(&clients));
    let path = directory.file("config", &kubeconfig(&server, "    certificate-authority: ca.crt\n", "    token: t\n"));
    let anonymous = list(ApiServerConnection::kubeconfig(&path, Verification::Required).unwrap());
    assert!(anonymous.is_err(), "{anonymous:?}");
    let path = directory.file(
        "config",
        &kubeconfig(
            &server,
            "    insecure-skip-tls-verify: true\n",
            "    client-certificate: client.crt\n    client-key: client.key\n",
        ),
    );
    assert_eq!(list(ApiServerConnection::kubeconfig(&path, Verification::Required).unwrap()), Ok(6));
}

#[test]
fn a_key_of_another_certificate_is_refused_at_once() {
    let (authority, directory) = (Authority::new(), Directory::new());
    let (certificate, _) = authority.vouch("admin", ExtendedKeyUsagePurpose::ClientAuth);
    let (_, other_key) = authority.vouch("other", ExtendedKeyUsagePurpose::ClientAuth);
    let server = Server::play(Vec::new());
    directory.file("client.crt", &certificate.pem());
    for (key, cause) in [
        (other_key.serialize_pem(), "unusable client key: it is not the key of the client certificate"),
        ("nothing".to_owned(), "client.key`: unusable client key: no private key in PEM form"),
        (certificate.pem(), "client.key`: unusable client key: no private key in PEM form"),
    ] {
        directory.file("client.key", &key);
        let user = "    client-certificate: client.crt\n    client-key: client.key\n";
        let path = directory.file("config", &kubeconfig(&server, "    insecure-skip-tls-verify: true\n", user));
        let refused = ApiServerConnection::kubeconfig(&path, Verification::Required).unwrap_err().to_string();
        assert!(refused.contains(cause), "{refused}");
    }
}

#[test]
fn only_the_clusters_own_authority_is_trusted() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.play(vec![Reply::recorded("list-namespaces"); 3], None);
    let by_url = |verification| {
        let url = format!("https://{}", server.address);
        ApiServerConnection::api_server(&url, Some(Secret::new("t".to_owned())), verification).unwrap()
    };
    let directory = Directory::new();
    let in_cluster = |ca: &str| {
        let (host, port) = (server.address.ip().to_string(), server.address.port().to_string());
        ApiServerConnection::in_cluster(&host, &port, &directory.file("token", "t"), &directory.file("ca.crt", ca))
            .unwrap()
    };
    let refused = list(by_url(Verification::Required)).unwrap_err();
    let unknown = "the API server's certificate is signed by an unknown authority; name it in a kubeconfig";
    assert!(refused.contains(unknown), "{refused}");
    let refused = list(in_cluster(&other.pem)).unwrap_err();
    let file = directory.0.join("ca.crt");
    // one of the same name that has another key
    let expected = format!("is not signed by the authority that it names; check `{}`", file.display());
    assert!(refused.ends_with(&expected), "{refused}");
    assert_eq!(list(in_cluster(&authority.pem)), Ok(6));
    assert_eq!(list(by_url(Verification::Skipped)), Ok(6));
    let roots = Roots::BuiltInAnd(Authorities::new(Pem::from(authority.pem.as_bytes())).unwrap());
    let connection = by_url(Verification::Required);
    let tls = TlsOptions { roots, ..connection.tls.clone() };
    assert_eq!(list(ApiServerConnection { tls, ..connection }), Ok(6));
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn silence_ends_a_watch_under_tls_too() {
    let authority = Authority::new();
    let server = authority.play(vec![Reply::watch("", Then::Hold)], None);
    let url = format!("https://{}", server.address);
    let connection = ApiServerConnection::api_server(&url, None, Verification::Skipped).unwrap();
    let limits = CallLimits { watch_idle: Duration::from_secs(1), ..CallLimits::default() };
    let api = api_server(connection, None, &HandClock::default(), limits);
    let mut lines = api.watch(Resource::Pods, "1").unwrap();
    assert!(lines.next_line().is_err());
}

#[test]
fn what_is_missing_in_the_cluster_is_named() {
    let (authority, directory) = (Authority::new(), Directory::new());
    let token = directory.file("token", "t");
    let ca = directory.file("ca.crt", &authority.pem);
    let nowhere = directory.0.join("nowhere");
    let empty = directory.file("empty", "");
    let v6 = ApiServerConnection::in_cluster("fd00::1", "443", &token, &ca).unwrap();
    assert_eq!(v6.server, "https://[fd00::1]:443");
    for (host, port, token, ca, cause) in [
        ("10.96.0.1", "443", &nowhere, &ca, "nowhere`: No such file"),
        ("10.96.0.1", "443", &empty, &ca, "empty`: it is empty"),
        ("10.96.0.1", "443", &token, &nowhere, "nowhere`: No such file"),
        ("10.96.0.1", "443", &token, &empty, "empty`: no usable certificate"),
        ("", "443", &token, &ca, "unusable URL `https://:443`"),
        ("10.96.0.1", "http", &token, &ca, "unusable URL `https://10.96.0.1:http`"),
        ("10.96.0.1", "70000", &token, &ca, "unusable URL `https://10.96.0.1:70000`"),
        ("10.96.0.1", "", &token, &ca, "unusable URL `https://10.96.0.1:`"),
        ("a@b", "443", &token, &ca, "unusable URL `b:443`"),
    ] {
        let refused = ApiServerConnection::in_cluster(host, port, token, ca).unwrap_err().to_string();
        assert!(refused.contains(cause), "{refused}");
    }
}
