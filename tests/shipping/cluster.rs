//! A cluster's way in, as a pod sees it: a name that only a DNS server knows, and an API server with a certificate that
//! only the mounted CA vouches for. Loopback, one thread per connection, gone with the test's process.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::tools;

/// The API server's name; `test` is kept from the public DNS (RFC 6761).
pub(crate) const NAME: &str = "api.cluster.test";
/// Where the DNS server listens: an address of loopback that no other program is likely to use.
pub(crate) const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 53, 1, 1);
pub(crate) const TOKEN: &str = "token-of-the-pod";
/// A client that neither speaks nor reads for this long has hung.
const PATIENCE: Duration = Duration::from_secs(20);
/// What openssl needs to be told: a CA, and a server it vouches for.
const CERTIFICATES: &str = "[req]
distinguished_name = name
prompt = no
[name]
CN = test
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[server]
basicConstraints = critical, CA:FALSE
subjectAltName = DNS:api.cluster.test
";

/// A running API server.
pub(crate) struct Cluster {
    pub(crate) port: u16,
    /// The first line and the `authorization` header of each request.
    pub(crate) requests: Receiver<(String, String)>,
}

/// Writes `ca.crt` and what the server needs into `dir`; `false` if the test is to be skipped.
pub(crate) fn make_certificates(dir: &Path) -> bool {
    let Some(openssl) = tools::find("openssl", "Debian: openssl") else { return false };
    fs::write(dir.join("openssl.cnf"), CERTIFICATES).unwrap();
    let make = |name: &str, more: &[&str]| {
        let words = ["req", "-x509", "-config", "openssl.cnf", "-days", "2", "-nodes", "-newkey", "ec"];
        let curve = ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-extensions", name];
        let files = [format!("-keyout={name}.key"), format!("-out={name}.crt")];
        let files: Vec<&str> = files.iter().flat_map(|file| file.split('=')).collect();
        let mut command = Command::new(&openssl);
        tools::run(command.current_dir(dir).args(words).args(curve).args(files).args(more)).unwrap();
    };
    make("ca", &[]);
    make("server", &["-CA", "ca.crt", "-CAkey", "ca.key"]);
    true
}

/// Starts the API server with the certificate in `dir`.
pub(crate) fn serve(dir: &Path) -> Cluster {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let chain = vec![CertificateDer::from_pem_file(dir.join("server.crt")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(dir.join("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let (seen, requests) = channel();
    background("api", move || {
        for stream in listener.incoming() {
            let (config, seen) = (Arc::clone(&config), seen.clone());
            background("api-connection", move || answer(stream.unwrap(), config, &seen));
        }
    });
    Cluster { port, requests }
}

/// Answers one request: lists are empty, a watch stays silent until the client is tired of it.
fn answer(stream: TcpStream, config: Arc<ServerConfig>, seen: &Sender<(String, String)>) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut tls = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match tls.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let first = head.lines().next().unwrap().to_owned();
    let header = |line: &str| {
        line.split_once(": ")
            .filter(|(name, _)| name.eq_ignore_ascii_case("authorization"))
            .map(|(_, value)| value.to_owned())
    };
    let _ = seen.send((first.clone(), head.lines().find_map(header).unwrap_or_default()));
    if first.contains("watch=") {
        let _ =
            tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
        let _ = tls.read(&mut [0]);
    } else {
        let kind = if first.contains("namespaces") { "NamespaceList" } else { "PodList" };
        let body = format!(r#"{{"kind":"{kind}","apiVersion":"v1","metadata":{{"resourceVersion":"7"}},"items":[]}}"#);
        let length = body.len();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
        let _ = write!(tls, "{head}\r\nContent-Length: {length}\r\n\r\n{body}");
    }
    tls.conn.send_close_notify();
    let _ = tls.flush();
}

/// Starts a DNS server that knows [`NAME`] and says so through the channel; `None` if the test is to be skipped.
pub(crate) fn resolve() -> Option<Receiver<()>> {
    let Ok(socket) = UdpSocket::bind((RESOLVER, 53)) else {
        tools::skip("name resolution (needs root and a free port 53 on loopback)");
        return None;
    };
    let (asked, told) = channel();
    background("dns", move || {
        let mut packet = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            let question = &packet[..length];
            let wire: Vec<u8> = NAME
                .split('.')
                .flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat())
                .collect();
            let known = question.get(12..12 + wire.len()) == Some(&wire);
            let _ = socket.send_to(&reply(question, if known { NO_ERROR } else { NAME_ERROR }), from);
            let _ = asked.send(());
        }
    });
    Some(told)
}

/// The question back, with one address if its name is known and it is an address that is asked for (RFC 1035, 4.1).
fn reply(question: &[u8], code: u8) -> Vec<u8> {
    const TYPE_A: [u8; 4] = [0, 1, 0, 1];
    // Past the header the name, a zero byte, type and class; what may follow (EDNS) isn't repeated.
    let end = question.iter().skip(12).position(|byte| *byte == 0).unwrap() + 12 + 5;
    let address = code == NO_ERROR && question[end - 4..end] == TYPE_A;
    let mut reply = question[..end].to_vec();
    reply[2] = 0x81; // an answer, recursion desired
    reply[3] = 0x80 | code; // recursion available
    reply[6..12].copy_from_slice(&[0, u8::from(address), 0, 0, 0, 0]);
    if address {
        // The name is the one at offset 12; an hour to live; four bytes.
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4]);
        reply.extend(Ipv4Addr::LOCALHOST.octets());
    }
    reply
}

/// Response codes of DNS (RFC 1035, 4.1.1).
const NO_ERROR: u8 = 0;
const NAME_ERROR: u8 = 3;

/// Asks for a path over plain HTTP and gives the status; 0 if nobody answers.
pub(crate) fn status_of(port: u16, path: &str) -> u16 {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, PATIENCE) else { return 0 };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
    let mut reply = String::new();
    let _ = stream.read_to_string(&mut reply);
    reply.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// Threads of a stand-in end with the test's process.
fn background(name: &str, work: impl FnOnce() + Send + 'static) {
    thread::Builder::new().name(name.to_owned()).spawn(work).unwrap();
}
