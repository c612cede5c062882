//! Trusted certificates and the client's own certificate. Files are read again when they change ([`Reread`]).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memchr::memmem;
use ring::digest::{SHA256, digest};
use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::Misconfigured;
use super::reread::Reread;
use crate::os::files::read_bytes;

/// The TLS options for one server.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// Subject of messages: "the API server", "STS".
    pub peer: &'static str,
    /// What to do about a certificate of an unknown authority: "check certificate-authority in FILE".
    pub advice: String,
    pub roots: Roots,
    pub client_certificate: Option<ClientCertificate>,
    /// The name the server's certificate must have, if not the URL's host.
    pub server_name: Option<ServerName<'static>>,
}

impl TlsOptions {
    /// For a server with a certificate of a public authority, if it uses TLS at all.
    pub fn public(peer: &'static str) -> Self {
        let advice = "only public authorities are known here".to_owned();
        Self { peer, advice, roots: Roots::BuiltIn, client_certificate: None, server_name: None }
    }
}

/// The root certificates that a server's certificate must chain to.
#[derive(Clone, Debug)]
pub enum Roots {
    /// Mozilla's roots, compiled in, since a scratch image has no bundle.
    BuiltIn,
    /// Mozilla's and these.
    BuiltInAnd(Authorities),
    /// Only these.
    Only(Authorities),
    /// No verification: `--insecure`.
    Unverified,
}

impl Roots {
    pub(super) fn authorities(&self) -> Option<&Authorities> {
        match self {
            Self::BuiltInAnd(authorities) | Self::Only(authorities) => Some(authorities),
            Self::BuiltIn | Self::Unverified => None,
        }
    }
}

/// Certificates or a key in PEM form.
#[derive(Clone)]
pub enum Pem {
    Text(Zeroizing<Vec<u8>>),
    File(PathBuf),
}

impl Pem {
    /// Reads it and parses it with `make`; an error names the file.
    fn read<T>(&self, make: impl FnOnce(&[u8]) -> Result<T, Misconfigured>) -> Result<T, Misconfigured> {
        match self {
            Self::Text(text) => make(text),
            Self::File(path) => make(&read_bytes(path).map_err(Misconfigured)?)
                .map_err(|error| Misconfigured(format!("failed to read `{}`: {}", path.display(), error.0))),
        }
    }

    fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Text(_) => None,
            Self::File(path) => Some(path.clone()),
        }
    }
}

impl From<&Path> for Pem {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl From<&[u8]> for Pem {
    fn from(text: &[u8]) -> Self {
        Self::Text(Zeroizing::new(text.to_vec()))
    }
}

/// CA certificates, at least one of them usable.
#[derive(Clone)]
pub struct Authorities(pub(super) Arc<Reread<Trusted>>);

impl Authorities {
    /// Reads a PEM bundle. Certificates that can't serve as a root are skipped, since distributions' bundles contain
    /// some.
    pub fn new(pem: Pem) -> Result<Self, Misconfigured> {
        let paths = pem.path().into_iter().collect();
        Reread::new(paths, move || pem.read(Trusted::from_pem)).map(|trusted| Self(Arc::new(trusted)))
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates", self.0.last().store.len())
    }
}

/// A parsed CA bundle.
pub(super) struct Trusted {
    pub(super) store: RootCertStore,
    /// SHA-256 of each certificate of the bundle, in DER form
    fingerprints: Vec<[u8; 32]>,
}

impl Trusted {
    fn from_pem(pem: &[u8]) -> Result<Self, Misconfigured> {
        let certificates = certificates(pem)?;
        let fingerprints = certificates.iter().map(fingerprint).collect();
        let mut store = RootCertStore::empty();
        let (usable, _) = store.add_parsable_certificates(certificates);
        if usable == 0 {
            return Err(Misconfigured("no usable certificate in PEM form".to_owned()));
        }
        Ok(Self { store, fingerprints })
    }

    /// Whether the bundle contains the certificate, byte for byte.
    pub(super) fn contains(&self, certificate: &CertificateDer<'_>) -> bool {
        self.fingerprints.contains(&fingerprint(certificate))
    }
}

impl fmt::Debug for Trusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates", self.fingerprints.len())
    }
}

impl PartialEq for Trusted {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprints == other.fingerprints
    }
}

fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    digest(&SHA256, certificate).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// The client certificate, for servers that request one.
#[derive(Clone)]
pub struct ClientCertificate(pub(super) Arc<Reread<ClientIdentity>>);

impl ClientCertificate {
    /// Reads a chain and its key (PKCS#1, PKCS#8 or SEC1), both in PEM form. Rejects a key that doesn't match the
    /// chain. The certificate isn't validated otherwise, not even its version: the server does that.
    pub fn new(chain: Pem, key: Pem) -> Result<Self, Misconfigured> {
        let paths = chain.path().into_iter().chain(key.path()).collect();
        let make = move || {
            let chain = chain.read(certificates)?;
            let signer = key.read(|pem| {
                let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| unusable_key("no private key in PEM form"))?;
                let loaded = default_provider().key_provider.load_private_key(key);
                loaded.map_err(|_| unusable_key("its kind or encoding is not supported"))
            })?;
            ClientIdentity::of(CertifiedKey::new(chain, signer))
        };
        Reread::new(paths, make).map(|identity| Self(Arc::new(identity)))
    }

    /// Reads the files now; returns whether the certificate has changed.
    pub fn reread(&self) -> bool {
        let before = self.0.last();
        self.0.invalidate();
        !Arc::ptr_eq(&before, &self.0.current())
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates and a key", self.0.last().0.cert.len())
    }
}

/// A parsed chain and its key.
pub(super) struct ClientIdentity(pub(super) Arc<CertifiedKey>);

impl ClientIdentity {
    /// Checks that the certificate contains the key's public key. Compares bytes, since webpki doesn't parse
    /// certificates of versions that are allowed only for clients.
    fn of(certified: CertifiedKey) -> Result<Self, Misconfigured> {
        let Some(certificate) = certified.cert.first() else {
            return Err(Misconfigured("no client certificate in PEM form".to_owned()));
        };
        match certified.key.public_key() {
            Some(public) if memmem::find(certificate, &public).is_none() => {
                Err(unusable_key("it is not the key of the client certificate"))
            }
            _ => Ok(Self(Arc::new(certified))),
        }
    }
}

/// Compares certificates only: a key belongs to one certificate.
impl PartialEq for ClientIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.0.cert == other.0.cert
    }
}

fn unusable_key(cause: &str) -> Misconfigured {
    Misconfigured(format!("unusable client key: {cause}"))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Misconfigured> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| Misconfigured("a certificate in it is not in PEM form, or incomplete".to_owned()))
}
