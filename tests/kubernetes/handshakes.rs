//! What is spoken under `https`: versions, keys, names, who is believed, and the way through a proxy.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use kube2iam::for_tests::{
    AgentOptions, Authorities, Pem, ProxyEnvironment, ProxyUse, Roots, Secret, TimeLimits, TlsOptions, http_agent,
    http_failure,
};
use rcgen::{ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{cipher_suite, default_provider, kx_group};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

use crate::server::{Reply, Server, Then};
use crate::tls::{Authority, accept};

/// A key such as AWS's servers have. rcgen can't make one with ring; this one was made for these tests.
const RSA_KEY: &str = include_str!("../fixtures/tls/rsa-2048.key");

type Versions<'a> = &'a [&'static SupportedProtocolVersion];

/// A server's way to speak, with a certificate of `authority` for `name`.
fn config(
    authority: &Authority,
    name: &str,
    key: &KeyPair,
    provider: CryptoProvider,
    versions: Versions<'_>,
) -> ServerConfig {
    let certificate = authority.vouch_for(name, ExtendedKeyUsagePurpose::ServerAuth, key);
    let key = key.serialize_der().try_into().unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(versions).unwrap();
    builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap()
}

/// Plays replies over TLS and says how each handshake went.
fn play(replies: Vec<Reply>, config: ServerConfig) -> (Server, Arc<Mutex<Vec<HandshakeKind>>>) {
    let (config, kinds) = (Arc::new(config), Arc::default());
    let theirs: Arc<Mutex<Vec<HandshakeKind>>> = Arc::clone(&kinds);
    let wrap = move |mut stream| {
        let mut connection = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
        connection.complete_io(&mut stream)?;
        theirs.lock().unwrap().push(connection.handshake_kind().unwrap());
        Ok(Box::new(StreamOwned::new(connection, stream)) as Box<dyn crate::server::Wire>)
    };
    (Server::play_over(replies, Box::new(wrap)), kinds)
}

fn options(roots: Roots) -> AgentOptions {
    let limit = Duration::from_secs(10);
    AgentOptions {
        proxy: ProxyUse::None,
        tls: TlsOptions { roots, advice: "check ca.crt".to_owned(), ..TlsOptions::public("the server") },
        limits: TimeLimits {
            connect: limit,
            send: limit,
            response_head: limit,
            response_body: Some(limit),
            idle_read: None,
        },
        idle_connections: 1,
    }
}

fn only(authority: &Authority) -> Roots {
    Roots::Only(Authorities::new(Pem::from(authority.pem.as_bytes())).unwrap())
}

/// The status of one request, or why there is none.
fn ask(options: &AgentOptions, url: &str) -> Result<u16, String> {
    let answer = http_agent(options).unwrap().get(url).call();
    answer.map(|answer| answer.status().as_u16()).map_err(|error| http_failure(&error))
}

fn url(server: &Server) -> String {
    format!("https://{}/", server.address)
}

fn no_content() -> Reply {
    Reply::status("204 No Content", "", "")
}

#[test]
fn every_version_is_spoken_with_every_kind_of_key() {
    let kinds = [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519];
    let made = kinds.map(|kind| KeyPair::generate_for(kind).unwrap());
    let keys: Vec<KeyPair> = made.into_iter().chain([KeyPair::from_pem(RSA_KEY).unwrap()]).collect();
    // the authority's own signatures are of each kind, too
    for (at, key) in keys.iter().enumerate() {
        let authority = Authority::with_key(KeyPair::from_pem(&keys[keys.len() - 1 - at].serialize_pem()).unwrap());
        for versions in [&[&TLS12] as Versions, &[&TLS13], &[&TLS12, &TLS13]] {
            let (server, _) =
                play(vec![no_content()], config(&authority, "127.0.0.1", key, default_provider(), versions));
            let answer = ask(&options(only(&authority)), &url(&server));
            assert_eq!(answer, Ok(204), "{:?} {versions:?}", key.algorithm());
        }
    }
}

#[test]
fn a_server_that_has_but_one_suite_and_one_curve_is_understood() {
    let authority = Authority::new();
    let (elliptic, rsa) = (KeyPair::generate().unwrap(), KeyPair::from_pem(RSA_KEY).unwrap());
    for (key, suite) in [
        (&elliptic, cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        (&elliptic, cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
        (&rsa, cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
        (&rsa, cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
        (&elliptic, cipher_suite::TLS13_AES_128_GCM_SHA256),
        (&elliptic, cipher_suite::TLS13_AES_256_GCM_SHA384),
    ] {
        for group in [kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1] {
            let provider = CryptoProvider { cipher_suites: vec![suite], kx_groups: vec![group], ..default_provider() };
            let versions: Versions = if suite.tls13().is_some() { &[&TLS13] } else { &[&TLS12] };
            let (server, _) = play(vec![no_content()], config(&authority, "127.0.0.1", key, provider, versions));
            assert_eq!(ask(&options(only(&authority)), &url(&server)), Ok(204), "{suite:?} {group:?}");
        }
    }
}

#[test]
fn who_is_not_vouched_for_is_refused_in_words() {
    let (authority, other) = (Authority::new(), Authority::new());
    let both = Roots::BuiltInAnd(Authorities::new(Pem::from(other.pem.as_bytes())).unwrap());
    let unverified = Roots::Unverified;
    for versions in [&[&TLS12] as Versions, &[&TLS13]] {
        let key = KeyPair::generate().unwrap();
        let config = || config(&authority, "127.0.0.1", &key, default_provider(), versions);
        for roots in [Roots::BuiltIn, both.clone(), only(&other)] {
            let (server, _) = play(vec![no_content()], config());
            let refused = ask(&options(roots), &url(&server)).unwrap_err();
            // the other authority has the same name and another key
            let known = ["is signed by an unknown authority", "is not signed by the authority that it names"];
            let expected = known.map(|cause| format!("the server's certificate {cause}; check ca.crt"));
            assert!(expected.contains(&refused), "{refused}");
        }
        let (server, _) = play(vec![no_content()], config());
        assert_eq!(ask(&options(unverified.clone()), &url(&server)), Ok(204));
    }
}

#[test]
fn the_name_in_the_url_is_the_one_that_is_vouched_for() {
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap();
    for (vouched, asked, expected) in [
        ("localhost", "localhost", Ok(204)),
        ("127.0.0.1", "127.0.0.1", Ok(204)),
        ("elsewhere.test", "localhost", Err("is not valid for `localhost`, but for `elsewhere.test`")),
        ("localhost", "127.0.0.1", Err("is not valid for `127.0.0.1`, but for `localhost`")),
    ] {
        let config = config(&authority, vouched, &key, default_provider(), &[&TLS13]);
        let (server, _) = play(vec![no_content()], config);
        let url = format!("https://{asked}:{}/", server.address.port());
        match (ask(&options(only(&authority)), &url), expected) {
            (Ok(status), Ok(expected)) => assert_eq!(status, expected),
            (Err(cause), Err(expected)) => assert!(cause.contains(expected), "{cause}"),
            (answer, _) => panic!("{vouched} {asked}: {answer:?}"),
        }
    }
}

#[test]
fn the_next_connection_takes_the_session_up_again() {
    let authority = Authority::new();
    for versions in [&[&TLS12] as Versions, &[&TLS13]] {
        let config = config(&authority, "127.0.0.1", &KeyPair::generate().unwrap(), default_provider(), versions);
        let closing = Reply { then: Then::Close, ..Reply::status("200 OK", "Connection: close\r\n", "x") };
        let (server, kinds) = play(vec![closing; 2], config);
        let agent = http_agent(&options(only(&authority))).unwrap();
        for _ in 0..2 {
            assert_eq!(agent.get(url(&server)).call().unwrap().body_mut().read_to_string().unwrap(), "x");
        }
        server.finish();
        assert_eq!(*kinds.lock().unwrap(), [HandshakeKind::Full, HandshakeKind::Resumed], "{versions:?}");
    }
}

#[test]
fn a_server_that_says_nothing_costs_no_more_than_the_time_to_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let limits = TimeLimits { connect: Duration::from_millis(200), ..options(Roots::BuiltIn).limits };
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let answer = ask(&AgentOptions { limits, ..options(Roots::BuiltIn) }, &url);
    assert_eq!(answer, Err("no progress in time while connecting".to_owned()));
}

/// Carries one connection to `server`, whatever its CONNECT says, and gives that request.
fn proxy(server: SocketAddr) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let run = move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let mut server = TcpStream::connect(server).unwrap();
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let there = Builder::new().name("proxy-there".to_owned()).spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
        let _ = io::copy(&mut server, &mut client);
        let _ = client.shutdown(Shutdown::Both);
        there.unwrap().join().unwrap();
        head
    };
    (address, Builder::new().name("proxy".to_owned()).spawn(run).unwrap())
}

#[test]
fn a_proxy_carries_what_it_can_not_read() {
    // a name that only the proxy can make something of
    const TARGET: &str = "https://api.stand-in.test/";
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap();
    let (server, _) =
        play(vec![no_content()], config(&authority, "api.stand-in.test", &key, default_provider(), &[&TLS13]));
    let (address, carried) = proxy(server.address);
    let environment = ProxyEnvironment {
        https_proxy: Some(Secret::new(format!("http://user:hunter2@{address}"))),
        http_proxy: None,
        no_proxy: None,
    };
    let proxy = ProxyUse::FromEnvironment { environment, target: TARGET.to_owned() };
    assert_eq!(ask(&AgentOptions { proxy, ..options(only(&authority)) }, TARGET), Ok(204));
    server.finish();
    let head = carried.join().unwrap();
    assert!(head.starts_with("CONNECT api.stand-in.test:443 HTTP/1.1\r\n"), "{head}");
}

#[test]
fn the_targets_tls_goes_through_that_of_a_proxy() {
    const TARGET: &str = "https://api.stand-in.test/";
    let authority = Authority::new();
    let config = authority.server_config(None);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let run = move || {
        let mut wire = accept(&config, listener.accept().unwrap().0).unwrap();
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            wire.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        wire.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").and_then(|()| wire.flush()).unwrap();
        wire.read_exact(&mut byte).unwrap();
        byte[0]
    };
    let proxy = Builder::new().name("proxy".to_owned()).spawn(run).unwrap();
    let environment = ProxyEnvironment {
        https_proxy: Some(Secret::new(format!("https://{address}"))),
        http_proxy: None,
        no_proxy: None,
    };
    let proxied = ProxyUse::FromEnvironment { environment, target: TARGET.to_owned() };
    ask(&AgentOptions { proxy: proxied, ..options(only(&authority)) }, TARGET).unwrap_err();
    let handshake = 22; // RFC 8446, section 5.1
    assert_eq!(proxy.join().unwrap(), handshake, "the proxy was told what is for the target alone");
}
