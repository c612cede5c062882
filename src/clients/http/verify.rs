//! The TLS client configuration, and the verification of server certificates: rustls's own rules, with two exceptions
//! that users need.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage};

use super::trust::{ClientIdentity, Roots, Trusted};

/// The configuration for a server verified against `roots`; `trusted` are the configured ones among them.
pub(super) fn client_config(
    roots: &Roots,
    trusted: Option<Arc<Trusted>>,
    identity: Option<&ClientIdentity>,
) -> ClientConfig {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the default provider has suites for each version");
    let verifier: Arc<dyn ServerCertVerifier> = match roots {
        Roots::Unverified => Arc::new(Unverified(provider)),
        _ => Arc::new(Verified::new(store(roots, trusted.as_deref()), trusted, provider)),
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&identity.0)))),
    }
}

fn store(roots: &Roots, trusted: Option<&Trusted>) -> RootCertStore {
    let built_in = webpki_roots::TLS_SERVER_ROOTS.iter().filter(|_| !matches!(roots, Roots::Only(_)));
    let configured = trusted.into_iter().flat_map(|trusted| &trusted.store.roots);
    built_in.chain(configured).cloned().collect()
}

/// Accepts a certificate that chains to a trusted authority, and, as Go does, one that is itself among the configured
/// ones: self-signed certificates of API servers marked as authorities, and a server certificate configured in place of
/// its authority's. Validity period and name are checked in either case.
#[derive(Debug)]
struct Verified {
    by_authority: Arc<WebPkiServerVerifier>,
    configured: Option<Arc<Trusted>>,
    provider: Arc<CryptoProvider>,
}

impl Verified {
    fn new(store: RootCertStore, configured: Option<Arc<Trusted>>, provider: Arc<CryptoProvider>) -> Self {
        let by_authority = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider)).build();
        Self { by_authority: by_authority.expect("there are roots, and no lists of revocations"), configured, provider }
    }

    /// Whether webpki rejects the certificate only for its issuer: it checks the validity period before returning these
    /// errors, and the name separately.
    fn is_sound(&self, certificate: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> bool {
        let Ok(parsed) = EndEntityCert::try_from(certificate) else { return false };
        let algorithms = self.provider.signature_verification_algorithms.all;
        let result = parsed.verify_for_usage(algorithms, &[], &[], now, KeyUsage::server_auth(), None, None);
        matches!(result, Err(webpki::Error::UnknownIssuer | webpki::Error::CaUsedAsEndEntity))
            && parsed.verify_is_valid_for_subject_name(name).is_ok()
    }
}

impl ServerCertVerifier for Verified {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let result = self.by_authority.verify_server_cert(certificate, intermediates, name, ocsp_response, now);
        let is_configured = || self.configured.as_ref().is_some_and(|configured| configured.contains(certificate));
        if result.is_err() && is_configured() && self.is_sound(certificate, name, now) {
            return Ok(ServerCertVerified::assertion());
        }
        result
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_authority.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_authority.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_authority.supported_verify_schemes()
    }
}

/// Accepts every server: neither certificate nor signature is checked. Only
/// [`Roots::Unverified`] selects it.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
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

    /// More schemes than could be verified, so that no server fails because of its key type.
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let beyond = [SignatureScheme::RSA_PKCS1_SHA1, SignatureScheme::ECDSA_NISTP521_SHA512, SignatureScheme::ED448];
        self.0.signature_verification_algorithms.supported_schemes().into_iter().chain(beyond).collect()
    }
}
