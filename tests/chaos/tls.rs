//! TLS in front of a stand-in, as AWS and API servers have it. What flips bits on the way is found out here, so that
//! no changed answer can pass for a right one.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use super::standins::wire::spawn;

/// An authority that the agent is told to trust.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "chaos");
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    /// A chain and its key in PEM form, for a client.
    pub fn client(&self) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "node");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.signed_by(&key, &self.issuer).unwrap().pem() + &key.serialize_pem()
    }

    /// A server with a certificate of this authority, for everybody or for those that `clients` vouch for.
    fn server(&self, clients: Option<&Self>) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "stand-in");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let chain = vec![params.signed_by(&key, &self.issuer).unwrap().der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(clients.pem.as_bytes()).unwrap()).unwrap();
                let provider = Arc::new(default_provider());
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        Arc::new(builder.with_single_cert(chain, key).unwrap())
    }

    /// Starts a TLS server before `upstream`.
    pub fn guard(&self, upstream: SocketAddr) -> Guard {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind a TLS server");
        let address = listener.local_addr().expect("a bound socket has an address");
        let over = Arc::new(AtomicBool::new(false));
        let config = Arc::new(Mutex::new(self.server(None)));
        let (current, ending) = (config.clone(), over.clone());
        spawn("tls", move || {
            for client in listener.incoming().flatten() {
                if ending.load(Ordering::Relaxed) {
                    break;
                }
                let config = current.lock().clone();
                let _ = serve(client, &config, upstream);
            }
        });
        Guard { address, over, config }
    }
}

/// A TLS server, listening until dropped.
pub struct Guard {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    config: Arc<Mutex<Arc<ServerConfig>>>,
}

impl Guard {
    /// From the next connection on it has a certificate of `authority` and lets in those that `clients` vouch for.
    pub fn renew(&self, authority: &Authority, clients: &Authority) {
        *self.config.lock() = authority.server(Some(clients));
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(client: TcpStream, config: &Arc<ServerConfig>, upstream: SocketAddr) -> std::io::Result<()> {
    let server = TcpStream::connect(upstream)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let session = Session { tls: Mutex::new(ServerConnection::new(config.clone()).unwrap()), client, server };
    let inbound = Arc::new(session);
    let outbound = inbound.clone();
    spawn("tls-in", move || {
        let _ = inbound.pass_in();
        inbound.end();
    });
    spawn("tls-out", move || {
        let _ = outbound.pass_out();
        outbound.end();
    });
    Ok(())
}

struct Session {
    tls: Mutex<ServerConnection>,
    client: TcpStream,
    server: TcpStream,
}

impl Session {
    fn pass_in(&self) -> std::io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            let count = (&self.client).read(&mut buffer)?;
            let (mut part, mut plain) = (&buffer[..count], Vec::new());
            let mut tls = self.tls.lock();
            while !part.is_empty() {
                tls.read_tls(&mut part)?;
                let outcome = tls.process_new_packets();
                self.flush(&mut tls)?;
                outcome.map_err(std::io::Error::other)?;
                // Ends with "would block" or at the client's end; what came before is in `plain`.
                let _ = tls.reader().read_to_end(&mut plain);
            }
            drop(tls);
            (&self.server).write_all(&plain)?;
            if count == 0 {
                return Ok(());
            }
        }
    }

    fn pass_out(&self) -> std::io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            let count = (&self.server).read(&mut buffer)?;
            let mut tls = self.tls.lock();
            if count == 0 {
                tls.send_close_notify();
                return self.flush(&mut tls);
            }
            tls.writer().write_all(&buffer[..count])?;
            self.flush(&mut tls)?;
        }
    }

    fn flush(&self, tls: &mut ServerConnection) -> std::io::Result<()> {
        while tls.wants_write() {
            tls.write_tls(&mut &self.client)?;
        }
        Ok(())
    }

    fn end(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}
