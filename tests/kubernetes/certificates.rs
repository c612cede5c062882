//! Certificates that people have: servers' that are their own authorities, clients' of version 1, other names.

use std::sync::Arc;

use kube2iam::for_tests::{ApiServerConnection, Authorities, Pem, Roots, TlsOptions, Verification};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};

use crate::Directory;
use crate::server::{Reply, Server};
use crate::tls::{Authority, accept, kubeconfig, list};

/// As `openssl x509 -req` makes it: version 1, without extensions.
const CLIENT_V1: &str = include_str!("../fixtures/tls/client-v1.crt");
const CLIENT_V1_KEY: &str = include_str!("../fixtures/tls/client-v1.key");

/// A self-signed certificate for `name`, as `openssl req -x509` makes it if it is an authority's.
fn self_signed(name: &str, is_ca: IsCa, years: (i32, i32), key: &KeyPair) -> rcgen::Certificate {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    params.is_ca = is_ca;
    (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
    params.self_signed(key).unwrap()
}

fn config(certificate: &rcgen::Certificate, key: &KeyPair) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap())
}

/// Lists namespaces of a server with this configuration, trusting `roots`.
fn ask(config: Arc<ServerConfig>, roots: Roots) -> Result<usize, String> {
    let replies = vec![Reply::recorded("list-namespaces")];
    let server = Server::play_over(replies, Box::new(move |stream| accept(&config, stream)));
    let url = format!("https://{}", server.address);
    let connection = ApiServerConnection::api_server(&url, None, Verification::Required).unwrap();
    let tls = TlsOptions { roots, ..connection.tls.clone() };
    list(ApiServerConnection { tls, ..connection })
}

fn authorities(pem: &str) -> Authorities {
    Authorities::new(Pem::from(pem.as_bytes())).unwrap()
}

#[test]
fn a_server_certificate_that_is_itself_configured_is_accepted_while_valid_and_for_its_names_only() {
    let ca = IsCa::Ca(BasicConstraints::Unconstrained);
    for (name, is_ca, years, expected) in [
        ("127.0.0.1", ca, (2020, 2100), Ok(6)),
        ("127.0.0.1", IsCa::NoCa, (2020, 2100), Ok(6)),
        ("10.0.0.1", ca, (2020, 2100), Err("")),
        ("10.0.0.1", IsCa::NoCa, (2020, 2100), Err("")),
        ("127.0.0.1", ca, (2020, 2021), Err("has expired on 2021-01-01T00:00:00Z")),
        ("127.0.0.1", IsCa::NoCa, (2020, 2021), Err("has expired on 2021-01-01T00:00:00Z")),
        ("127.0.0.1", ca, (2099, 2100), Err("is not valid before 2099-01-01T00:00:00Z")),
    ] {
        let key = KeyPair::generate().unwrap();
        let certificate = self_signed(name, is_ca, years, &key);
        let pem = certificate.pem();
        // as the API server's and as that of STS in AWS_CA_BUNDLE
        for roots in [Roots::Only(authorities(&pem)), Roots::BuiltInAnd(authorities(&pem))] {
            let answer = ask(config(&certificate, &key), roots);
            match (&answer, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(*found, expected),
                (Err(cause), Err(expected)) => assert!(cause.contains(expected), "{cause}"),
                _ => panic!("{name} {years:?}: {answer:?}"),
            }
        }
    }
}

#[test]
fn the_servers_own_certificate_may_stand_in_place_of_its_authoritys() {
    let authority = Authority::new();
    let (certificate, key) = authority.vouch("127.0.0.1", ExtendedKeyUsagePurpose::ServerAuth);
    assert_eq!(ask(config(&certificate, &key), Roots::Only(authorities(&certificate.pem()))), Ok(6));
    // another one of the same authority, name and key is not that one
    let other = authority.vouch_for("127.0.0.1", ExtendedKeyUsagePurpose::ServerAuth, &key);
    let refused = ask(config(&certificate, &key), Roots::Only(authorities(&other.pem()))).unwrap_err();
    assert!(refused.contains("is signed by an unknown authority"), "{refused}");
    // nor is one for clients a server's
    let (client, key) = authority.vouch("127.0.0.1", ExtendedKeyUsagePurpose::ClientAuth);
    let refused = ask(config(&client, &key), Roots::Only(authorities(&client.pem()))).unwrap_err();
    assert!(refused.contains("is not one for servers"), "{refused}");
}

/// Lets in who presents this one certificate.
#[derive(Debug)]
struct Exactly(CertificateDer<'static>);

impl ClientCertVerifier for Exactly {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        if *certificate == self.0 { Ok(ClientCertVerified::assertion()) } else { Err(unknown) }
    }

    /// rustls reads no keys out of certificates of version 1.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[test]
fn a_client_certificate_of_version_1_is_sent_as_it_is() {
    let (authority, directory) = (Authority::new(), Directory::new());
    let (certificate, key) = authority.vouch("127.0.0.1", ExtendedKeyUsagePurpose::ServerAuth);
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let wanted = CertificateDer::from_pem_slice(CLIENT_V1.as_bytes()).unwrap();
    let builder = builder.with_client_cert_verifier(Arc::new(Exactly(wanted)));
    let server_key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = Arc::new(builder.with_single_cert(vec![certificate.der().clone()], server_key).unwrap());
    let replies = vec![Reply::recorded("list-namespaces")];
    let server = Server::play_over(replies, Box::new(move |stream| accept(&config, stream)));
    directory.file("ca.crt", &authority.pem);
    directory.file("client.crt", CLIENT_V1);
    let user = "    client-certificate: client.crt\n    client-key: client.key\n";
    let text = kubeconfig(&server, "    certificate-authority: ca.crt\n", user);
    let connect = |key: &str| {
        directory.file("client.key", key);
        ApiServerConnection::kubeconfig(&directory.file("config", &text), Verification::Required)
    };
    let refused = connect(&KeyPair::generate().unwrap().serialize_pem()).unwrap_err().to_string();
    assert!(refused.contains("it is not the key of the client certificate"), "{refused}");
    assert_eq!(list(connect(CLIENT_V1_KEY).unwrap()), Ok(6));
}

#[test]
fn the_certificate_is_asked_for_the_name_that_the_kubeconfig_gives() {
    let (authority, directory) = (Authority::new(), Directory::new());
    directory.file("ca.crt", &authority.pem);
    let (certificate, key) = authority.vouch("api.internal", ExtendedKeyUsagePurpose::ServerAuth);
    for (name, expected) in [("api.internal", Ok(6)), ("other.internal", Err("is not valid for `other.internal`"))] {
        let config = config(&certificate, &key);
        let replies = vec![Reply::recorded("list-namespaces")];
        let server = Server::play_over(replies, Box::new(move |stream| accept(&config, stream)));
        let cluster = format!("    certificate-authority: ca.crt\n    tls-server-name: {name}\n");
        let path = directory.file("config", &kubeconfig(&server, &cluster, "    token: t\n"));
        let answer = list(ApiServerConnection::kubeconfig(&path, Verification::Required).unwrap());
        match (&answer, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(*found, expected),
            (Err(cause), Err(expected)) => assert!(cause.contains(expected), "{cause}"),
            _ => panic!("{name}: {answer:?}"),
        }
    }
}

#[test]
fn a_refused_client_certificate_is_named_as_the_cause() {
    let (authority, clients, directory) = (Authority::new(), Authority::new(), Directory::new());
    directory.file("ca.crt", &authority.pem);
    for (user, expected) in [
        (None, "the API server wants a client certificate; set client-certificate and client-key"),
        (Some(&authority), "the API server refused the client certificate"),
    ] {
        let config = authority.server_config(Some(&clients));
        let replies = vec![Reply::recorded("list-namespaces")];
        let server = Server::play_over(replies, Box::new(move |stream| accept(&config, stream)));
        let user = user.map_or("    token: t\n".to_owned(), |authority| {
            let (certificate, key) = authority.vouch("node", ExtendedKeyUsagePurpose::ClientAuth);
            directory.file("client.crt", &certificate.pem());
            directory.file("client.key", &key.serialize_pem());
            "    client-certificate: client.crt\n    client-key: client.key\n".to_owned()
        });
        let text = kubeconfig(&server, "    certificate-authority: ca.crt\n", &user);
        let path = directory.file("config", &text);
        let refused = list(ApiServerConnection::kubeconfig(&path, Verification::Required).unwrap()).unwrap_err();
        assert!(refused.contains(expected), "{refused}");
    }
}
