//! What is spoken, and how a server's certificate is judged: by rustls's own rules, with two exceptions that users have
//! reason to ask for.

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

/// How to speak to a server that `roots` vouch for, of which `trusted` are those that were configured.
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

/// Takes a certificate that an authority vouches for; and one that is itself among those that were configured, as Go
/// does: self-signed ones of API servers, marked as authorities, and a server's own given in place of its authority's.
/// Such a one must be valid now and for the name like any other.
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

    /// Whether webpki finds nothing wrong with the certificate but where it comes from: it looks at the validity in
    /// time before it complains of these, and at the name apart.
    fn is_sound(&self, certificate: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> bool {
        let Ok(parsed) = EndEntityCert::try_from(certificate) else { return false };
        let algorithms = self.provider.signature_verification_algorithms.all;
        let judged = parsed.verify_for_usage(algorithms, &[], &[], now, KeyUsage::server_auth(), None, None);
        matches!(judged, Err(webpki::Error::UnknownIssuer | webpki::Error::CaUsedAsEndEntity))
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
        let judged = self.by_authority.verify_server_cert(certificate, intermediates, name, ocsp_response, now);
        let is_configured = || self.configured.as_ref().is_some_and(|configured| configured.contains(certificate));
        if judged.is_err() && is_configured() && self.is_sound(certificate, name, now) {
            return Ok(ServerCertVerified::assertion());
        }
        judged
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

/// Takes every server for the one that was meant: neither its certificate nor its signature is looked at. Only
/// [`Roots::Unverified`] asks for this.
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

    /// More than could be verified, so that no server fails for its key.
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let beyond = [SignatureScheme::RSA_PKCS1_SHA1, SignatureScheme::ECDSA_NISTP521_SHA512, SignatureScheme::ED448];
        self.0.signature_verification_algorithms.supported_schemes().into_iter().chain(beyond).collect()
    }
}
