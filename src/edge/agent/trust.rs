//! Who is believed and who we say we are, and what is spoken: TLS 1.2 and 1.3 with AES-GCM over X25519, P-256 or P-384.
//!
//! ring's whole provider would bring ChaCha20, which no server prefers to AES-GCM, and QUIC: code and tables for nobody.

use std::fmt;
use std::sync::Arc;

use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::{cipher_suite, kx_group, sign};
use rustls::crypto::{CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{
    ALL_VERSIONS, CipherSuiteCommon, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    SupportedCipherSuite, Tls13CipherSuite,
};

use super::Misconfigured;

/// Whom a TLS server must be vouched for by.
#[derive(Clone, Debug)]
pub enum Roots {
    /// Mozilla's roots, compiled in: a scratch image has no bundle.
    BuiltIn,
    /// Mozilla's and these.
    BuiltInAnd(Authorities),
    /// None but these.
    Only(Authorities),
    /// Nobody: `--insecure`.
    Unverified,
}

/// Certificates of authorities, at least one of them readable.
#[derive(Clone)]
pub struct Authorities(Arc<RootCertStore>);

impl Authorities {
    /// Reads a PEM bundle. Certificates that can't serve as a root are left out, as bundles of distributions have some.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Misconfigured> {
        let mut store = RootCertStore::empty();
        let (readable, _) = store.add_parsable_certificates(certificates(pem)?);
        if readable == 0 {
            return Err(Misconfigured("no usable certificate in PEM form".to_owned()));
        }
        Ok(Self(Arc::new(store)))
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates", self.0.len())
    }
}

/// Who we are to a server that asks for a certificate.
#[derive(Clone)]
pub struct ClientCertificate(Arc<CertifiedKey>);

impl ClientCertificate {
    /// Reads a chain and its key (PKCS#1, PKCS#8 or SEC1), both in PEM form. Refuses a key that isn't the chain's.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, Misconfigured> {
        let chain = certificates(chain)?;
        let unreadable = |cause: &dyn fmt::Display| Misconfigured(format!("unusable client key: {cause}"));
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| unreadable(&error))?;
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| unreadable(&error))?;
        Ok(Self(Arc::new(certified)))
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates and a key", self.0.cert.len())
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Misconfigured> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| Misconfigured(format!("unreadable certificate: {error}")))
}

/// Both sides of one agent's trust.
pub(super) struct Trust {
    pub(super) roots: Roots,
    pub(super) client_certificate: Option<ClientCertificate>,
}

impl Trust {
    pub(super) fn client_config(&self) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(ALL_VERSIONS)
            .expect("the provider has suites for each version");
        let builder = match self.roots.store() {
            Some(store) => builder.with_root_certificates(store),
            None => builder.dangerous().with_custom_certificate_verifier(Arc::new(NobodyIsVerified)),
        };
        match &self.client_certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => {
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&certificate.0))))
            }
        }
    }
}

impl Roots {
    /// Those who may vouch; `None` if nobody needs to.
    fn store(&self) -> Option<Arc<RootCertStore>> {
        let built_in = webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
        match self {
            Self::BuiltIn => Some(Arc::new(built_in.collect())),
            Self::BuiltInAnd(authorities) => {
                Some(Arc::new(built_in.chain(authorities.0.roots.iter().cloned()).collect()))
            }
            Self::Only(authorities) => Some(Arc::clone(&authorities.0)),
            Self::Unverified => None,
        }
    }
}

/// ring's cryptography, as far as it is used.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            SupportedCipherSuite::Tls13(&TLS13_AES_256_GCM_SHA384),
            SupportedCipherSuite::Tls13(&TLS13_AES_128_GCM_SHA256),
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ],
        kx_groups: vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        signature_verification_algorithms: SIGNATURES,
        secure_random: &Ring,
        key_provider: &Ring,
    }
}

static TLS13_AES_256_GCM_SHA384: Tls13CipherSuite = without_quic(&cipher_suite::TLS13_AES_256_GCM_SHA384);
static TLS13_AES_128_GCM_SHA256: Tls13CipherSuite = without_quic(&cipher_suite::TLS13_AES_128_GCM_SHA256);

const fn without_quic(suite: &SupportedCipherSuite) -> Tls13CipherSuite {
    let SupportedCipherSuite::Tls13(suite) = suite else { unreachable!() };
    Tls13CipherSuite {
        common: CipherSuiteCommon { ..suite.common },
        hkdf_provider: suite.hkdf_provider,
        aead_alg: suite.aead_alg,
        quic: None,
    }
}

/// As `rustls::crypto::ring` has them, which gives them away only together with all its suites.
const SIGNATURES: WebPkiSupportedAlgorithms = {
    use webpki::ring::*;
    WebPkiSupportedAlgorithms {
        all: &[
            ECDSA_P256_SHA256,
            ECDSA_P256_SHA384,
            ECDSA_P384_SHA256,
            ECDSA_P384_SHA384,
            ED25519,
            RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
            RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
            RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
            RSA_PKCS1_2048_8192_SHA256,
            RSA_PKCS1_2048_8192_SHA384,
            RSA_PKCS1_2048_8192_SHA512,
            RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
            RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
            RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
        ],
        // TLS 1.2 doesn't bind a scheme to a curve and tries all; TLS 1.3 takes the first.
        mapping: &[
            (SignatureScheme::ECDSA_NISTP384_SHA384, &[ECDSA_P384_SHA384, ECDSA_P256_SHA384]),
            (SignatureScheme::ECDSA_NISTP256_SHA256, &[ECDSA_P256_SHA256, ECDSA_P384_SHA256]),
            (SignatureScheme::ED25519, &[ED25519]),
            (SignatureScheme::RSA_PSS_SHA512, &[RSA_PSS_2048_8192_SHA512_LEGACY_KEY]),
            (SignatureScheme::RSA_PSS_SHA384, &[RSA_PSS_2048_8192_SHA384_LEGACY_KEY]),
            (SignatureScheme::RSA_PSS_SHA256, &[RSA_PSS_2048_8192_SHA256_LEGACY_KEY]),
            (SignatureScheme::RSA_PKCS1_SHA512, &[RSA_PKCS1_2048_8192_SHA512]),
            (SignatureScheme::RSA_PKCS1_SHA384, &[RSA_PKCS1_2048_8192_SHA384]),
            (SignatureScheme::RSA_PKCS1_SHA256, &[RSA_PKCS1_2048_8192_SHA256]),
        ],
    }
};

/// Randomness and private keys by ring.
#[derive(Debug)]
struct Ring;

impl SecureRandom for Ring {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        SystemRandom::new().fill(bytes).map_err(|_| GetRandomFailed)
    }
}

impl KeyProvider for Ring {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        sign::any_supported_type(&key)
    }
}

/// Takes every server for the one that was meant: neither its certificate nor its signature is looked at. Only
/// [`Roots::Unverified`] asks for this.
#[derive(Debug)]
struct NobodyIsVerified;

impl ServerCertVerifier for NobodyIsVerified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

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

    /// More than could be verified, so that no server fails for its key.
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let beyond = [SignatureScheme::RSA_PKCS1_SHA1, SignatureScheme::ECDSA_NISTP521_SHA512, SignatureScheme::ED448];
        SIGNATURES.supported_schemes().into_iter().chain(beyond).collect()
    }
}
