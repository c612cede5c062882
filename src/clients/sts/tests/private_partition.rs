//! Calls with a token in other partitions: to the region's endpoint, through a proxy, and with a server certificate of
//! an authority from `AWS_CA_BUNDLE`. All of this is configured by environment variables.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;

use crossbeam_channel::{Receiver, bounded};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::logic::policy::arn::RoleArn;
use crate::logic::sts::environment::AwsEnvironment;
use crate::os::threads;

/// A request through the proxy: the CONNECT line, and the tunnelled body.
type Tunnelled = (String, String);

/// A file for `AWS_CA_BUNDLE`, removed on drop.
struct Bundle(PathBuf);

impl Bundle {
    fn write(name: &str, pem: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kube2iam-bundle-{name}-{}", std::process::id()));
        std::fs::write(&path, pem).unwrap();
        Self(path)
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The TLS configuration of a server for `host`, and its authority in PEM form.
fn server_for(host: &str) -> (Arc<ServerConfig>, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![host.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    (Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap()), authority)
}

/// A proxy with one tunnel to a TLS server with `config`, which sends the recorded response.
fn proxy(config: Arc<ServerConfig>) -> (SocketAddr, Receiver<Tunnelled>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (report, tunnelled) = bounded(1);
    let serve = move || {
        let (stream, _) = listener.accept().unwrap();
        if let Ok(through) = tunnel(stream, config) {
            drop(report.send(through));
        }
    };
    threads::spawn("proxy", threads::STACK_BYTES, serve).unwrap();
    (address, tunnelled)
}

fn tunnel(mut stream: TcpStream, config: Arc<ServerConfig>) -> std::io::Result<Tunnelled> {
    let line = head(&mut BufReader::new(&stream))?.0;
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let mut inside = StreamOwned::new(ServerConnection::new(config).map_err(std::io::Error::other)?, stream);
    let mut reader = BufReader::new(&mut inside);
    let mut body = vec![0; head(&mut reader)?.1];
    reader.read_exact(&mut body)?;
    inside.write_all(recorded(RECORDED).as_bytes())?;
    inside.conn.send_close_notify();
    inside.flush()?;
    Ok((line, String::from_utf8(body).unwrap()))
}

/// The first line of a head, and its `Content-Length`.
fn head(reader: &mut impl BufRead) -> std::io::Result<(String, usize)> {
    let (mut first, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            return Ok((first, length));
        }
        if first.is_empty() {
            line.clone_into(&mut first);
        }
        let found = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        length = found.map_or(length, |(_, value)| value.trim().parse().unwrap());
    }
}

fn client_of(variables: &[(&str, &str)]) -> StsClient {
    let lookup = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let environment = AwsEnvironment::from_lookup(&lookup);
    let region = RegionSource::Given(environment.region.clone().unwrap());
    let options = StsOptions::new(environment.endpoints().unwrap(), region, &environment).unwrap();
    let wire = Arc::new(StsWire::new(options, WallAt::new(NOW)).unwrap());
    StsClient::new(wire, Arc::new(Numbered(Mutex::new(1))))
}

#[test]
fn token_reaches_the_partitions_endpoint_over_the_proxy_and_a_private_authority() {
    for (region, partition, host) in [
        ("cn-north-1", "aws-cn", "sts.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "aws-us-gov", "sts.us-gov-west-1.amazonaws.com"),
        ("us-iso-east-1", "aws-iso", "sts.us-iso-east-1.c2s.ic.gov"),
    ] {
        let (config, authority) = server_for(host);
        let bundle = Bundle::write(region, &authority);
        let (address, tunnelled) = proxy(config);
        let client = client_of(&[
            ("AWS_REGION", region),
            ("AWS_CA_BUNDLE", bundle.0.to_str().unwrap()),
            ("HTTPS_PROXY", &format!("http://{address}")),
        ]);
        let role = RoleArn::parse(&format!("arn:{partition}:iam::123456789012:role/app")).unwrap();
        let request = AssumeRole { role, ..request() };
        let assumed = client.assume_role_with_web_identity(&request, &Secret::new("to.k.en".to_owned()));
        assert_eq!(assumed.unwrap().life, Duration::from_secs(3_600));
        let (line, body) = tunnelled.recv_timeout(AMPLE).unwrap();
        assert_eq!(line, format!("CONNECT {host}:443 HTTP/1.1"));
        assert!(body.contains(&format!("RoleArn=arn%3A{partition}%3Aiam%3A%3A123456789012%3Arole%2Fapp&")), "{body}");
        assert!(body.ends_with("WebIdentityToken=to.k.en"), "{body}");
    }
}

#[test]
fn token_is_not_sent_to_a_server_of_an_authority_that_is_not_named() {
    let (config, _) = server_for("sts.cn-north-1.amazonaws.com.cn");
    let (_, another) = server_for("sts.cn-north-1.amazonaws.com.cn");
    let bundle = Bundle::write("another", &another);
    let (address, tunnelled) = proxy(config);
    let client = client_of(&[
        ("AWS_REGION", "cn-north-1"),
        ("SSL_CERT_FILE", bundle.0.to_str().unwrap()),
        ("HTTPS_PROXY", &format!("http://{address}")),
    ]);
    let role = RoleArn::parse("arn:aws-cn:iam::123456789012:role/app").unwrap();
    let request = AssumeRole { role, ..request() };
    let failure = client.assume_role_with_web_identity(&request, &Secret::new("to.k.en".to_owned())).unwrap_err();
    assert!(failure.message.contains("is not signed by the authority that it names"), "{failure}");
    assert!(failure.message.contains("AWS_CA_BUNDLE or SSL_CERT_FILE"), "{failure}");
    assert!(tunnelled.recv_timeout(AMPLE).is_err(), "nothing came through");
}
