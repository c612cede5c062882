//! Describes TLS errors: the peer, the cause, and what to check.

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error};

use crate::logic::base::time::Wall;

/// One line about a failed handshake with `peer`. `advice` names where its authority is configured.
pub(super) fn describe(error: &Error, peer: &str, advice: &str) -> String {
    match error {
        Error::InvalidCertificate(cause) => certificate(cause, peer, advice),
        Error::AlertReceived(alert) => format!("{peer} {}", refusal(*alert)),
        Error::PeerIncompatible(_) => format!("{peer} {NOTHING_IN_COMMON}"),
        Error::InvalidMessage(_) => format!("{peer} doesn't speak TLS at this port"),
        Error::PeerMisbehaved(_) | Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            format!("{peer} violates the TLS protocol")
        }
        Error::NoCertificatesPresented => format!("{peer} presented no certificate"),
        Error::DecryptError => format!("data from {peer} was modified in transit"),
        _ => format!("TLS with {peer} failed"),
    }
}

fn certificate(cause: &CertificateError, peer: &str, advice: &str) -> String {
    use CertificateError::{
        BadEncoding, BadSignature, Expired, ExpiredContext, InvalidPurpose, InvalidPurposeContext, NotValidForName,
        NotValidForNameContext, NotValidYet, NotValidYetContext, Other, UnhandledCriticalExtension, UnknownIssuer,
        UnsupportedSignatureAlgorithmContext, UnsupportedSignatureAlgorithmForPublicKeyContext,
    };
    let text = match cause {
        UnknownIssuer => format!("is signed by an unknown authority; {advice}"),
        BadSignature => format!("is not signed by the authority that it names; {advice}"),
        Expired => "has expired".to_owned(),
        ExpiredContext { not_after, .. } => format!("has expired on {}", time(*not_after)),
        NotValidYet => "is not valid yet; check the clocks".to_owned(),
        NotValidYetContext { not_before, .. } => format!("is not valid before {}; check the clocks", time(*not_before)),
        NotValidForName => "is valid for other names only".to_owned(),
        NotValidForNameContext { expected, presented } => {
            format!("is not valid for `{}`, but for {}", expected.to_str(), names(presented))
        }
        InvalidPurpose | InvalidPurposeContext { .. } => "is not one for servers (extended key usage)".to_owned(),
        UnsupportedSignatureAlgorithmContext { .. } | UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "is signed in a way that is not supported (such as with SHA-1 or over P-521)".to_owned()
        }
        UnhandledCriticalExtension => "has a critical extension that is not supported".to_owned(),
        BadEncoding => "can't be read".to_owned(),
        Other(cause) => match cause.0.downcast_ref() {
            Some(webpki::Error::CaUsedAsEndEntity) => {
                format!("is a CA certificate that is not among the trusted ones; {advice}")
            }
            Some(webpki::Error::UnsupportedCertVersion) => {
                "has X.509 version 1, which is not supported for servers".to_owned()
            }
            _ => CANT_BE_VERIFIED.to_owned(),
        },
        _ => CANT_BE_VERIFIED.to_owned(),
    };
    format!("{peer}'s certificate {text}")
}

/// Formats a certificate's names, which rustls lists as `DnsName("a")`, `IpAddress(10.0.0.1)`.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, inner)| inner.trim_end_matches(')'));
        format!("`{}`", inner.trim_matches('"'))
    };
    let mut names: Vec<String> = presented.iter().take(MAX_NAMES).map(bare).collect();
    match presented.len() {
        0 => return "no name at all (only subject alternative names count)".to_owned(),
        found if found > MAX_NAMES => names.push(format!("{} more", found - MAX_NAMES)),
        _ => {}
    }
    names.join(", ")
}

fn time(time: UnixTime) -> String {
    Wall::from_unix_seconds(time.as_secs().try_into().unwrap_or(i64::MAX / 1_000)).rfc3339()
}

fn refusal(alert: AlertDescription) -> String {
    use AlertDescription as A;
    match alert {
        A::HandshakeFailure | A::ProtocolVersion | A::InsufficientSecurity => NOTHING_IN_COMMON.to_owned(),
        A::CertificateRequired => "wants a client certificate; set client-certificate and client-key".to_owned(),
        A::CertificateExpired => "refused the client certificate: it has expired".to_owned(),
        A::CertificateRevoked => "refused the client certificate: it is revoked".to_owned(),
        A::UnknownCA => "refused the client certificate: it is signed by an authority unknown to the server".to_owned(),
        A::BadCertificate | A::CertificateUnknown | A::UnsupportedCertificate | A::AccessDenied | A::DecryptError => {
            format!("refused the client certificate ({})", alert_name(alert))
        }
        A::UnrecognisedName => "doesn't recognise the requested server name".to_owned(),
        alert => format!("ended the TLS connection ({})", alert_name(alert)),
    }
}

/// The name in RFC 8446's spelling, such as `bad_certificate`.
fn alert_name(alert: AlertDescription) -> String {
    let Some(name) = alert.as_str() else { return format!("alert {}", u8::from(alert)) };
    let mut written = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !written.is_empty() {
            written.push('_');
        }
        written.push(letter.to_ascii_lowercase());
    }
    written
}

const NOTHING_IN_COMMON: &str = "and the agent have no TLS version, cipher suite and curve in common";
const CANT_BE_VERIFIED: &str = "can't be verified";
/// Names listed in a message; a certificate may have a hundred.
const MAX_NAMES: usize = 8;
